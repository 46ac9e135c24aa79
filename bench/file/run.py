#!/usr/bin/env python3
"""The file engine against fio (io_uring; the ceiling), NIXL's POSIX plugin (the peer) and plain pread, on one file, one run.

    run.py --bin build/release/bench/file [--pairs 11] [--smoke] [--dir D] [--seconds 0.7] [--cases r4k_direct_d1,…] [--nixl PYTHON]

Every round runs all contenders of a case one after another, so that slow drift of the machine touches all of them. The files are
written anew, one to read (word at byte o is o * K, so every reader but fio checks what it read) and one to write (ours reads back
and checks its last writes). Hot cases run with the file in the page cache, direct ones with none of it there.
As root it raises its own scheduling group, and it tells how much of the machine others used meanwhile.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

# name: pattern, block, depth, direct
CASES = {
    "r4k_direct_d1": ("randread", 4096, 1, 1), "r4k_direct_d32": ("randread", 4096, 32, 1),
    "w4k_direct_d1": ("randwrite", 4096, 1, 1), "w4k_direct_d32": ("randwrite", 4096, 32, 1),
    "r4k_hot_d1": ("randread", 4096, 1, 0), "r4k_hot_d32": ("randread", 4096, 32, 0),
    "w4k_hot_d1": ("randwrite", 4096, 1, 0), "w4k_hot_d32": ("randwrite", 4096, 32, 0),
    "r1m_direct_d8": ("read", 1 << 20, 8, 1), "w1m_direct_d8": ("write", 1 << 20, 8, 1),
    "r1m_hot_d8": ("read", 1 << 20, 8, 0),
}
PEERS = ("fio", "nixl")  # that we mean to reach, all but 5%; a blocking psync and pread stand beside them
TARGET = 0.95


def last_json(command, env=None):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    if p.returncode:
        sys.exit(f"{' '.join(command)}: exit {p.returncode}\n{p.stderr[-2000:]}")
    return json.loads(p.stdout[p.stdout.index("{"):])


def fio(engine):
    def run(job, path, seconds, size):
        pattern, block, depth, direct = job
        env = dict(os.environ, GLIBC_TUNABLES="glibc.malloc.hugetlb=1")  # buffers on huge pages, as ours
        result = last_json(["fio", "--output-format=json", "--name=j", "--filename=" + path, "--rw=" + pattern, f"--bs={block}",
                            f"--size={size}", "--ioengine=" + engine, f"--iodepth={depth}", f"--direct={direct}", "--time_based",
                            f"--runtime={int(seconds * 1000)}ms", "--norandommap", "--randrepeat=0", "--invalidate=0",
                            "--thread"], env)  # a process would make a session of its own, outside our scheduling group
        side = result["jobs"][0]["write" if "write" in pattern else "read"]
        return {"iops": side["iops"], "p50_us": side["clat_ns"]["percentile"]["50.000000"] / 1e3,
                "p99_us": side["clat_ns"]["percentile"]["99.000000"] / 1e3, "route": "fio " + engine}
    return run


def program(command):
    def run(job, path, seconds, size):
        pattern, block, depth, direct = job
        return last_json(command + [path, pattern, str(block), str(depth), str(direct), str(seconds), str(size)])
    return run


def contenders(args):
    """name: runner, and why the others are not measured."""
    found = {"ours": program([os.path.join(args.bin, "bench_file_ours")]),
             "pread": program([os.path.join(args.bin, "bench_file_pread")])}
    missing = {}
    if shutil.which("fio"):
        found["fio"] = fio("io_uring")
        found["fio_psync"] = fio("psync")
    else:
        missing["fio"] = "not installed (apt-get install fio)"
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nixl_posix.py")
    probe = subprocess.run([args.nixl, script, "--probe"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if probe.returncode == 0:
        found["nixl"] = program([args.nixl, script])
    else:
        missing["nixl"] = f"{args.nixl} has no package nixl"
    return found, missing


def write_file(path, size):
    """Through an array of words, 16 MiB at a time."""
    import array
    k, step = 0x9E3779B97F4A7C15, 16 << 20
    with open(path, "wb") as out:
        for base in range(0, size, step):
            words = array.array("Q", ((o * k) & 0xFFFFFFFFFFFFFFFF for o in range(base, min(base + step, size), 8)))
            out.write(words.tobytes())
        out.flush()
        os.fsync(out.fileno())


def forget(path):
    """Out of the page cache: a direct write would first have to drop the pages it finds there."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm(path):
    with open(path, "rb", buffering=0) as f:
        while f.read(4 << 20):
            pass


def busy_s():
    fields = [int(x) for x in open("/proc/stat", encoding="ascii").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def measure_case(args, found, name, size, path):
    job = CASES[name]
    (forget if job[3] else warm)(path)
    runs = {c: [] for c in found if job[2] == 1 or c not in ("fio_psync", "pread")}  # those two know no depth
    busy, own, wall = busy_s(), os.times(), time.time()
    for r in range(args.pairs):
        order = list(runs)
        for c in order[r % len(order):] + order[:r % len(order)]:
            runs[c].append(found[c](job, path, args.seconds, size))
    now = os.times()
    mine = now.children_user + now.children_system - own.children_user - own.children_system
    others = max(0.0, busy_s() - busy - mine) / (time.time() - wall) / os.cpu_count()
    large = job[1] > 65536
    scale = job[1] if large else 1
    p50, p99 = (statistics.median(x[k] for x in runs["ours"]) for k in ("p50_us", "p99_us"))
    return {"unit": "B/s" if large else "IO/s", "more_is_better": True,
            "samples": {c: [x["iops"] * scale for x in got] for c, got in runs.items()},
            "targets": {c: TARGET for c in PEERS if c in runs},
            "note": f"{job[0]} {job[1]} bytes, depth {job[2]}, {'direct' if job[3] else 'page cache'}; ours p50 {p50:.1f} us, "
                    f"p99 {p99:.1f} us, {runs['ours'][0]['route']}; others used {others:.0%} of the machine"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--size", type=int, default=1 << 30)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--nixl", default=sys.executable)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    names = args.cases.split(",")
    if args.smoke:
        args.pairs, args.seconds, args.size = 1, 0.02, 16 << 20
        names = names[::3]
    elif os.geteuid() == 0:
        try:
            with open("/proc/self/autogroup", "w", encoding="ascii") as group:
                group.write("-20")
        except OSError:
            pass
    with tempfile.TemporaryDirectory(dir=args.dir or args.bin) as directory:
        paths = [os.path.join(directory, name) for name in ("read", "written")]
        for path in paths:
            write_file(path, args.size)
        found, missing = contenders(args)
        cases = {n: measure_case(args, found, n, args.size, paths["write" in CASES[n][0]]) for n in names}
    print(json.dumps({"cases": cases, "not_measured": missing}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
