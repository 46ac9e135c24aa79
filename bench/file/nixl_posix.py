#!/usr/bin/env python3
"""NIXL's POSIX plugin as a contender: the job of job.hpp, `depth` descriptors a batch, a fresh request each, polled to its end.

    nixl_posix.py FILE randread|randwrite|read|write BLOCK DEPTH DIRECT SECONDS SIZE   prints one line of JSON
    nixl_posix.py --probe                                                             exits 0 where NIXL can run
Run it with a Python that has the packages numpy and nixl.
"""
import json
import logging
import mmap
import os
import sys
import time


def main():
    import numpy as np
    from nixl._api import nixl_agent, nixl_agent_config
    if sys.argv[1:] == ["--probe"]:
        return 0
    logging.disable(logging.INFO)
    path, pattern = sys.argv[1:3]
    block, depth, direct = (int(x) for x in sys.argv[3:6])
    seconds, size = float(sys.argv[6]), int(sys.argv[7])
    word, blocks = np.uint64(0x9E3779B97F4A7C15), size // block
    write, rand = pattern.endswith("write"), pattern.startswith("rand")

    def content(offset):
        return np.arange(offset, offset + block, 8, dtype=np.uint64) * word

    huge = 2 << 20
    room = mmap.mmap(-1, block * depth + 2 * huge)
    room.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(room, dtype=np.uint8)
    start = -raw.ctypes.data % huge
    memory = raw[start:start + block * depth]
    memory[:] = 1
    fd = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | (os.O_DIRECT if direct else 0))
    agent = nixl_agent("bench", nixl_agent_config(backends=[]))
    agent.create_backend("POSIX", {"use_aio": "true"})
    kept = [agent.register_memory([(memory.ctypes.data, block * depth, 0, "")], "DRAM"),
            agent.register_memory([(0, size, fd, "")], "FILE")]
    offsets = np.arange(blocks, dtype=np.int64) * block
    there = np.stack([offsets, np.full(blocks, block), np.full(blocks, fd)], 1).astype(np.uint64)
    here = np.stack([memory.ctypes.data + np.arange(depth) * block, np.full(depth, block), np.zeros(depth)], 1).astype(np.uint64)
    file_list = agent.prep_xfer_dlist("bench", agent.get_xfer_descs(there, "FILE"))
    memory_list = agent.prep_xfer_dlist("NIXL_INIT_AGENT", agent.get_xfer_descs(here, "DRAM"))
    slots = np.arange(depth, dtype=np.int32)
    chance = np.random.default_rng()
    orders = chance.permutation(blocks).astype(np.int32) if rand else np.arange(blocks, dtype=np.int32)
    windows = max(1, blocks // depth)
    latencies, cpu, begin, n = [], os.times(), time.perf_counter(), 0
    while True:
        t = time.perf_counter()
        if t - begin >= seconds:
            break
        index = orders[n % windows * depth:][:depth]
        if write:
            view = memory.view(np.uint64).reshape(depth, block // 8)
            for i in range(depth):
                o = int(index[i]) * block
                if block == 4096:
                    view[i, 0], view[i, -1] = np.uint64(o) * word, np.uint64(o + 4088) * word
        request = agent.make_prepped_xfer("WRITE" if write else "READ", memory_list, slots, file_list, index)
        state = agent.transfer(request)
        while state == "PROC":
            state = agent.check_xfer_state(request)
        if state != "DONE":
            sys.exit(f"transfer ended as {state}")
        agent.release_xfer_handle(request)
        latencies.append(time.perf_counter() - t)
        n += 1
    wall, after = sum(latencies), os.times()
    used = after[0] + after[1] - cpu[0] - cpu[1]
    if not write:
        for i in range(depth):
            if not (memory[i * block:(i + 1) * block].view(np.uint64) == content(int(index[i]) * block)).all():
                sys.exit("wrong data")
    ios = n * depth
    print(json.dumps({"iops": round(ios / wall), "MBps": round(ios * block / wall / 1e6, 1),
                      "p50_us": round(float(np.percentile(latencies, 50)) * 1e6, 2),
                      "p99_us": round(float(np.percentile(latencies, 99)) * 1e6, 2),
                      "cpu_us_per_io": round(used * 1e6 / ios, 3), "route": "NIXL POSIX aio"}))
    sys.stdout.flush()
    os._exit(0)  # the agent's threads have nothing to say at the end


if __name__ == "__main__":
    sys.exit(main())
