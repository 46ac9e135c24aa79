#!/usr/bin/env python3
"""The gpuio tool as a user runs it: results against Python's own count, every trouble with its message.

    cli_test.py PATH_OF_GPUIO

Vulkan is tested where GPUIO_TEST_VULKAN_ICD names a driver (`./dev test` sets it), else said to be skipped.
"""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TOOL = sys.argv.pop(1)
ICD = os.environ.get("GPUIO_TEST_VULKAN_ICD")
ENVIRONMENT = dict(os.environ, **({"VK_DRIVER_FILES": ICD, "VK_ICD_FILENAMES": ICD} if ICD else {}))
TIMEOUT_S = 120


def run(*arguments):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=TIMEOUT_S)


class Tool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.file = os.path.join(cls.folder.name, "data.bin")
        seed = random.randrange(1 << 32)
        print("seed", seed, file=sys.stderr)
        content = bytearray(random.Random(seed).randbytes(400_003))
        for at in (0, 65533, 131072, 262139, 399_998):  # across words, pages and at both ends
            content[at : at + 5] = b"gpuio"
        with open(cls.file, "wb") as out:
            out.write(content)
        cls.content = bytes(content)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def ways(self):
        devices = ["cpu"]
        if ICD:
            devices.append("vulkan")
        else:
            print("vulkan skipped: GPUIO_TEST_VULKAN_ICD is not set", file=sys.stderr)
        for device in devices:
            for mode in ("wait", "yield"):
                yield ["--device", device, "--mode", mode]

    def failure(self, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 1, done)
        self.assertNotIn("verified\n", done.stdout)
        return done.stderr

    def test_scan_counts_what_python_counts(self):
        for way in self.ways():
            for cache in (["--cache", "64KiB", "--page", "64KiB"], ["--cache", "256KiB", "--page", "4KiB"]):
                with self.subTest(way=way, cache=cache):
                    done = run("demo", "scan", self.file, "--json", *way, *cache)
                    self.assertEqual(done.returncode, 0, done)
                    out = json.loads(done.stdout)
                    self.assertTrue(out["verified"])
                    self.assertEqual(out["bytes"], len(self.content))
                    self.assertEqual(out["counts"], [self.content.count(v) for v in range(256)])
                    self.assertEqual(out["needle_count"], self.content.count(b"gpuio"))
                    self.assertEqual(out["mode"], way[3])
                    self.assertEqual(out["device"], way[1])
                    for key in ("seconds", "pages_missed", "hit_rate", "miss_p50_us", "miss_p99_us"):
                        self.assertGreater(out[key], 0, key)

    def test_gather_and_reduce_finish_with_one_frame(self):
        table = os.path.join(self.folder.name, "table.bin")
        for way in self.ways():
            with self.subTest(way=way):
                frame = ["--cache", "64KiB", "--page", "64KiB"]
                self.assertIn("verified", run("demo", "reduce", self.file, *way, *frame).stdout)
                done = run("demo", "gather", "--table", table, "--size", "1MiB", "--rows", "20", *way, *frame)
                self.assertTrue(done.stdout.endswith("verified\n"), done)

    def test_a_uri_names_the_same_file(self):
        self.assertEqual(run("demo", "scan", "file://" + self.file).returncode, 0)

    def test_an_empty_file_has_no_bytes(self):
        empty = os.path.join(self.folder.name, "empty")
        open(empty, "w").close()
        out = json.loads(run("demo", "scan", empty, "--json").stdout)
        self.assertEqual((out["bytes"], sum(out["counts"]), out["verified"]), (0, 0, True))

    def test_trouble_is_named(self):
        missing = os.path.join(self.folder.name, "missing")
        for arguments, words in [
            ((missing,), ["missing", "No such file"]),
            ((self.folder.name,), [self.folder.name, "directory"]),
            ((self.file, "--cache", "1000"), ["1000", "65536", "at least one page"]),
            ((self.file, "--page", "1000"), ["1000", "power of two"]),
            ((self.file, "--device", "toaster"), ["toaster", "cpu"]),
            ((self.file, "--mode", "hope"), ["hope", "wait", "yield"]),
            ((self.file, "--needle", "123456789"), ["123456789", "8"]),
            (("nope://x/y",), ["nope"]),
            (("file://%zz",), ["%"]),
            (("mem://x?size=4096",), ["local file"]),
        ]:
            with self.subTest(arguments=arguments):
                message = self.failure("demo", "scan", *arguments)
                for word in words:
                    self.assertIn(word, message)

    def test_no_permission(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        secret = os.path.join(self.folder.name, "secret")
        open(secret, "w").close()
        os.chmod(secret, 0)
        self.assertIn("ermission", self.failure("demo", "scan", secret))

    def test_a_bad_size_and_an_unknown_command_are_usage_errors(self):
        self.assertIn("12parsecs", run("demo", "scan", self.file, "--cache", "12parsecs").stderr)
        self.assertNotEqual(run("demo", "dance").returncode, 0)
        self.assertEqual(run("--help").returncode, 0)
        self.assertIn("--cache", run("demo", "scan", "--help").stdout)

    def test_interrupt_ends_it(self):
        large = os.path.join(self.folder.name, "large.bin")
        with open(large, "wb") as out:
            out.truncate(8 << 30)  # sparse; scanning it takes minutes
        for way in self.ways():
            with self.subTest(way=way):
                tool = subprocess.Popen([TOOL, "demo", "scan", large, *way], env=ENVIRONMENT, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
                time.sleep(1)
                tool.send_signal(signal.SIGINT)
                self.addCleanup(tool.kill)
                _, errors = tool.communicate(timeout=60)  # a driver compiling the kernel is not interrupted
                self.assertEqual(tool.returncode, 130, errors)
                self.assertIn("cancelled", errors)
        os.unlink(large)

    def test_every_operation_is_measured_and_right(self):
        named = {"attention", "dequantize", "gather_rows", "histogram", "layer_norm", "matmul", "qkv", "quantize", "random",
                 "reduce", "rms_norm", "scan", "scatter_rows", "softmax", "top_k"}
        tiny = ["bench", "kernels", "--size", "tiny", "--seconds", "0.01"]
        done = run(*tiny, "--device", "cpu", "--json")
        self.assertEqual(done.returncode, 0, done)
        out = json.loads(done.stdout)
        self.assertTrue(out["verified"])
        self.assertEqual({c["operation"] for c in out["cases"]}, named)
        for c in out["cases"]:
            for key in ("seconds", "rate", "peer_rate", "ratio", "first_seconds", "rounds"):
                self.assertGreater(c[key], 0, (c, key))
            self.assertAlmostEqual(c["ratio"], c["rate"] / c["peer_rate"], delta=1e-6 * c["ratio"])
        if ICD:  # a software driver takes its time to compile: a few
            done = run(*tiny, "--device", "vulkan", "--only", "softmax,reduce", "--only", "random")
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual([line.split()[0] for line in done.stdout.splitlines()],
                             ["device", "operation", "softmax", "softmax", "reduce", "reduce", "random", "verified"])

    def test_a_benchmark_that_cannot_be_is_named(self):
        for arguments, words in [
            (["--only", "dance"], ["dance", "no such operation", "matmul"]),
            (["--size", "huge"], ["huge", "tiny, small, large"]),
            (["--device", "potato"], ["potato", "known are"]),
            (["--seconds", "0"], ["--seconds 0", "above 0"]),
        ]:
            with self.subTest(arguments=arguments):
                errors = self.failure("bench", "kernels", *arguments)
                for word in words:
                    self.assertIn(word, errors)
        self.assertIn("--only", run("bench", "kernels", "--help").stdout)
        self.assertNotEqual(run("bench").returncode, 0)

    def test_info_and_doctor(self):
        info = json.loads(run("info", "--json").stdout)
        self.assertTrue(info["devices"]["cpu"]["list"])
        for backend in ("vulkan", "cuda"):
            probe = info["devices"][backend]
            self.assertTrue(probe["list"] or probe["reason"], backend)
        findings = json.loads(run("doctor", self.folder.name, "--json").stdout)["findings"]
        self.assertIn("io_uring", [f["name"] for f in findings])
        for f in findings:
            self.assertTrue(f["level"] == "ok" or f["remedy"], f)
        self.assertEqual(run("doctor", "/nonexistent").returncode, 1)


if __name__ == "__main__":
    unittest.main()
