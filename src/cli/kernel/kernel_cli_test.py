#!/usr/bin/env python3
"""`gpuio kernel` as a user runs it: what it prints agrees with itself, with the assemblers, and with what the library
reads; every trouble has its message.

    kernel_cli_test.py PATH_OF_GPUIO
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOL = sys.argv.pop(1)
HAS = {name: shutil.which(name) is not None for name in ("ptxas", "spirv-dis", "spirv-val")}
BARE = dict(os.environ, PATH="/nowhere")

# Of the shipped kernels, the same from every compiler that builds this. Another kernel has another: write it here.
HASHES = {
    "scan": "0635bb09f1db4a90",
    "gather": "c620b30ecb3856df",
    "block_sums": "458083fe7d32c38c",
    "vecadd": "0204bb8c980acb39",
    "reduce": "b3938817fc21381a",
    "matmul": "4373f22019c33903",
    "adead_vecadd": "8e7361eb4362727b",
    "adead_matmul": "3a022f53a284e24c",
    "adead_copy": "8a22d2bbdbd3407c",
    "adead_fill": "e36d3eb5b0d088f1",
    "adead_binary": "58072c7c259a5fa3",
    "adead_map": "7e46c3e231f7e0b9",
    "adead_softmax": "bd12456e3838a6b3",
    "adead_layer_norm": "3e641c10f8883621",
    "adead_embedding": "2585ff82c36b279c",
}


def run(*arguments, **more):
    return subprocess.run([TOOL, "kernel", *arguments], capture_output=True, text=True, timeout=100, **more)


def answer(*arguments, **more):
    done = run(*arguments, "--json", **more)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


class Kernel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.file = os.path.join(cls.folder.name, "scan.gkir")
        cls.names = [k["name"] for k in answer("list")]
        assert run("export", "scan", cls.file).returncode == 0

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def failure(self, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 1, done)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_every_kernel_that_comes_with_gpuio_is_right(self):
        self.assertIn("scan", self.names)
        self.assertIn("adead_softmax", self.names)
        self.assertEqual(len(self.names), len(set(self.names)))
        checked = answer("check", *self.names)
        self.assertEqual([k["name"] for k in checked], self.names)
        for kernel in checked:
            self.assertTrue(kernel["right"], kernel)
            for check in kernel["checks"]:
                tool = next((t for t in HAS if t in check["what"]), None)
                self.assertEqual(check["answer"], "right" if tool is None or HAS[tool] else "skipped", check)
        on_demand = next(k for k in checked if k["name"] == "scan")
        self.assertEqual(len(on_demand["checks"]), 5, "the verifier, and two assemblers for two ways of a miss")

    def test_compilers_agree_what_a_kernel_is(self):
        self.assertEqual({k["name"]: k["hash"] for k in answer("list")}, HASHES)

    def test_a_file_says_what_its_kernel_says(self):
        ours, files = answer("stats", "scan"), answer("stats", self.file)
        self.assertEqual(ours, files)
        self.assertTrue(ours["on_demand"])
        self.assertEqual(set(ours["forms"]), {"yield", "wait"})
        self.assertEqual([p["kind"] for p in ours["parameters"]], ["on_demand", "inout", "inout", "inout"] + ["scalar"] * 4)
        self.assertEqual(ours["shared_bytes"], 1024)
        for form in ours["forms"].values():
            self.assertGreater(form["operations"], ours["operations"])
            self.assertEqual(form["registers"] is not None, HAS["ptxas"])
        again = os.path.join(self.folder.name, "again.gkir")
        self.assertEqual(run("export", self.file, again).returncode, 0)
        with open(self.file, "rb") as one, open(again, "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_dumps_are_what_the_numbers_count(self):
        for name in ("scan", "adead_vecadd"):
            stats = answer("stats", name, "--sm", "80")
            form = stats["forms"].get("yield") or stats["forms"]["plain"]
            ptx = answer("dump", name, "--sm", "80")
            self.assertEqual(len(ptx["text"]), form["ptx_bytes"])
            self.assertIn(f".visible .entry {name}", ptx["text"])
            self.assertEqual(run("dump", name, "--sm", "80").stdout, ptx["text"])
            spirv = answer("dump", name, "--spirv")
            self.assertEqual(len(spirv["words"]), form["spirv_words"])
            self.assertEqual(spirv["words"][0], 0x07230203)
            ir = answer("dump", name)["text"]
            instructions = [l for l in ir.splitlines()[1:] if not re.match(r"  [psv][0-9]+ ", l)]
            self.assertEqual(len(instructions), stats["operations"], ir)
        self.assertNotEqual(answer("dump", "scan", "--sm", "80", "--miss", "wait")["text"],
                            answer("dump", "scan", "--sm", "80")["text"])

    def test_spirv_is_text_where_it_can_be(self):
        if HAS["spirv-dis"]:
            self.assertIn("OpEntryPoint GLCompute", run("dump", "adead_copy", "--spirv").stdout)
        words = run("dump", "adead_copy", "--spirv", env=BARE).stdout.split()
        self.assertEqual([int(w, 16) for w in words], answer("dump", "adead_copy", "--spirv")["words"])

    def test_without_the_assemblers_it_says_so(self):
        checks = answer("check", "adead_copy", env=BARE)
        self.assertTrue(checks["right"])
        self.assertEqual([c["answer"] for c in checks["checks"]], ["right", "skipped", "skipped"])
        self.assertIn("ptxas is not in PATH", checks["checks"][1]["message"])
        self.assertIsNone(answer("stats", "adead_copy", env=BARE)["forms"]["plain"]["registers"])

    def test_a_validator_that_is_too_old_is_none(self):
        with tempfile.TemporaryDirectory() as folder:
            old = os.path.join(folder, "spirv-val")
            for said, answered in (("error: 8: Invalid capability operand: 6022", "skipped"), ("error: 9: no", "wrong")):
                with open(old, "w") as file:
                    file.write(f"#!/bin/sh\necho '{said}'\nexit 1\n")
                os.chmod(old, 0o755)
                done = run("check", "adead_copy", "--json", env=dict(BARE, PATH=folder))
                check = json.loads(done.stdout)["checks"][2]
                self.assertEqual(check["answer"], answered, done.stdout)
                self.assertIn(said, check["message"])

    def test_one_file_holds_what_every_device_runs(self):
        for ending in ("spv", "ptx"):
            path = os.path.join(self.folder.name, "matmul." + ending)
            self.assertEqual(run("export", "matmul", path).returncode, 0)
            self.assertEqual(answer("stats", path), answer("stats", "matmul"))
        with open(path) as file:
            self.assertIn(".visible .entry matmul", file.read())

    def test_trouble_is_named(self):
        with open(self.file, "rb") as file:
            good = file.read()
        missing = os.path.join(self.folder.name, "missing")
        for arguments, words in [
            (("stats", "scam"), ["scam", "did you mean scan"]),
            (("stats", missing), [missing, "neither a file"]),
            (("stats", self.folder.name), [self.folder.name, "directory"]),
            (("dump", "scan", "--miss", "hope", "--sm", "80"), ["hope", "yield or wait"]),
            (("dump", "scan", "--miss", "wait"), ["--sm or --spirv"]),
            (("dump", "adead_copy", "--miss", "wait", "--sm", "80"), ["adead_copy", "no on-demand array"]),
            (("check", "scan", "--miss", "hope"), ["hope"]),
            (("export", "scan", self.file + ".spv"), ["scan", "on-demand arrays", "another ending"]),
            (("export", "scan", "/nowhere/at/all"), ["/nowhere/at/all", "No such file"]),
        ]:
            with self.subTest(arguments=arguments):
                message = self.failure(*arguments)
                for word in words:
                    self.assertIn(word, message)
        bad = os.path.join(self.folder.name, "bad.gkir")
        for content, words in [(b"", ["offset 0"]), (good[:-1], ["offset 8"]), (b"ELF!" + good[4:], ["offset 0", "GKIR"]),
                               (good[:4] + b"\x09" + good[5:], ["offset 4", "version 9"])]:
            with self.subTest(words=words):
                with open(bad, "wb") as file:
                    file.write(content)
                message = self.failure("check", bad)
                for word in words + [bad]:
                    self.assertIn(word, message)

    # A wrong kernel is an answer, and a failure of the command.
    def test_a_kernel_that_races_is_wrong(self):
        with open(self.file, "rb") as file:
            good = file.read()
        name = 44 + int.from_bytes(good[24:28], "little")
        counts = [int.from_bytes(good[at : at + 4], "little") for at in (28, 32, 36)]  # parameters, shared, vars
        insts = name + 12 * counts[0] + 8 * counts[1] + counts[2]
        barrier = next(at for at in range(insts, len(good), 36) if good[at] == 48)
        nothing = bytearray(good)
        nothing[barrier : barrier + 36] = bytes([47, 0, 0, 1, 0, 0, 1, 0]) + b"\xff" * 16 + bytes(12)  # a fence instead
        racing = os.path.join(self.folder.name, "racing.gkir")
        with open(racing, "wb") as file:
            file.write(nothing)
        done = run("check", racing)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("verifier: wrong: two lanes may write the same element (line ", done.stdout)
        self.assertEqual(run("check", racing, "--unchecked-races").returncode, 0)

    # The trailer of version 2 of the format: how many texts, then the reason for unchecked races.
    def test_what_its_author_answers_for_marks_a_kernel(self):
        file = os.path.join(self.folder.name, "marked.gkir")
        assert run("export", "vecadd", file).returncode == 0
        with open(file, "rb") as plain:
            kernel = bytearray(plain.read())
        why = b"a permutation"
        kernel += (1).to_bytes(4, "little") + len(why).to_bytes(4, "little") + why
        kernel[4:12] = (2).to_bytes(4, "little") + len(kernel).to_bytes(4, "little")
        with open(file, "wb") as marked:
            marked.write(kernel)
        for command in ("stats", "check"):
            self.assertEqual(answer(command, file)["marks"], ["races unchecked: a permutation"])
            self.assertEqual(answer(command, "vecadd")["marks"], [])
        for command in ("dump", "stats", "check"):
            self.assertIn("races unchecked: a permutation\n", run(command, file).stdout)
        self.assertTrue(all("marks" in k for k in answer("list")))

    # The trailer of version 3: no texts but an empty reason, then the specialization constants.
    def test_specialization_constants(self):
        file, wide = (os.path.join(self.folder.name, name) for name in ("constant.gkir", "wide.spv"))
        assert run("export", "vecadd", file).returncode == 0
        with open(file, "rb") as plain:
            kernel = bytearray(plain.read())
        number = lambda n, size: n.to_bytes(size, "little")
        counts = [int.from_bytes(kernel[at : at + 4], "little") for at in (24, 28, 32, 36)]  # name, parameters, shared, vars
        insts = 44 + counts[0] + 12 * counts[1] + 8 * counts[2] + counts[3]
        at = next(at for at in range(insts, len(kernel), 36) if kernel[at : at + 2] == b"\0\x08")  # a constant, of u32
        kernel[at + 8 : at + 12] = number(0, 4)
        value = int.from_bytes(kernel[at + 24 : at + 32], "little")
        kernel += number(1, 4) + number(0, 4) + number(1, 4) + number(5, 4) + b"WIDTH" + number(8, 4)
        kernel += number(value, 8) + number(1, 8) + number(1000, 8)
        kernel[4:12] = number(3, 4) + number(len(kernel), 4)
        with open(file, "wb") as changed:
            changed.write(kernel)
        constant = {"name": "WIDTH", "type": "u32", "value": str(value), "least": "1", "most": "1000"}
        self.assertEqual(answer("stats", file)["constants"], [constant])
        self.assertEqual(answer("stats", "vecadd")["constants"], [])
        self.assertTrue(answer("check", file, "--set", "WIDTH=77")["right"])
        self.assertIn(f"constant WIDTH u32 = {value}, from 1 to 1000\n", run("dump", file).stdout)
        self.assertEqual(run("export", file, wide, "--set", "WIDTH=77").returncode, 0)
        self.assertEqual(answer("stats", wide)["constants"], [{**constant, "value": "77"}])
        self.assertNotEqual(answer("stats", wide)["hash"], answer("stats", file)["hash"])
        self.assertIn("77", run("dump", file, "--sm", "80", "--set", "WIDTH=77").stdout)
        if HAS["spirv-dis"]:
            self.assertIn("SpecId 0", run("dump", file, "--spirv").stdout)
        for text, words in [
            ("WIDE=1", "no specialization constant WIDE; it has WIDTH"),
            ("WIDTH=1001", "give 1 to 1000"),
            ("WIDTH=-1", "an unsigned integer of 32 bits, which -1 is not"),
            ("WIDTH=1.5", "which 1.5 is not"),
            ("WIDTH=x", "give NAME=VALUE"),
            ("WIDTH", "give NAME=VALUE"),
        ]:
            with self.subTest(text=text):
                self.assertIn(words, self.failure("stats", file, "--set", text))
        self.assertIn("it has none", self.failure("stats", "vecadd", "--set", "WIDTH=1"))


if __name__ == "__main__":
    unittest.main()
