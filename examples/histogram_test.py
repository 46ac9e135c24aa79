#!/usr/bin/env python3
"""histogram_test.py PROGRAM [ARGUMENT...]: the example counts as Python does, and says what is wrong with a missing file."""
import collections
import os
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
    # A folder for compiled kernels that cannot be made: said once, and nothing else changes.
    icd, again = os.environ.get("GPUIO_TEST_VULKAN_ICD"), out
    if icd:
        again = subprocess.run([*program, file.name], capture_output=True, check=True, timeout=100, env=dict(
            os.environ, VK_DRIVER_FILES=icd, VK_ICD_FILENAMES=icd, GPUIO_FLAGS="1", GPUIO_KERNEL_CACHE_SIZE="1MiB",
            GPUIO_KERNEL_CACHE_FOLDER="/proc/gpuio/kernels"))
        assert again.stderr.count(b"kernel cache: ") == 1 and b"/proc/gpuio" in again.stderr, again.stderr
        again = again.stdout.decode()
assert again == out, "another result on Vulkan"
counted = {int(v, 16): int(n) for v, n in (line.split() for line in out.splitlines())}
assert counted == collections.Counter(data), "the counts differ"
missing = subprocess.run([*program, "/nowhere/at/all"], stderr=subprocess.PIPE, timeout=60)
assert missing.returncode == 1 and b"/nowhere/at/all" in missing.stderr, missing
print("as Python counts")
