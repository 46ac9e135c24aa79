#!/usr/bin/env python3
"""histogram_test.py PROGRAM [ARGUMENT...]: the example counts as Python does, and says what is wrong with a missing file."""
import collections
import random
import subprocess
import sys
import tempfile

program = sys.argv[1:]
data = random.Random(7).randbytes(300_000) + b"gpuio" * 20_000
with tempfile.NamedTemporaryFile() as file:
    file.write(data)
    file.flush()
    out = subprocess.run([*program, file.name], stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
counted = {int(v, 16): int(n) for v, n in (line.split() for line in out.splitlines())}
assert counted == collections.Counter(data), "the counts differ"
missing = subprocess.run([*program, "/nowhere/at/all"], stderr=subprocess.PIPE, timeout=60)
assert missing.returncode == 1 and b"/nowhere/at/all" in missing.stderr, missing
print("as Python counts")
