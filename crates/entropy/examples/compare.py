"""Compares `planes+ans` with ZipNN and zstd -19 on the same tensors in one run, one thread.

Usage: compare.py [--zstd] <path of the built `lossless` example> model.safetensors...
Needs zipnn 0.5.4, zstandard and numpy from PyPI.

Tensors of 16 Ki binary32 values and more, each by itself, as they are and cast to bfloat16 and binary16. Sizes as shares of the raw
bytes, speeds in MB/s of raw bytes; the fastest of seven runs of each tensor counts on either side. zstd -19, which takes minutes,
is measured with `--zstd`, one run of its encoder.
"""

import argparse
import json
import math
import os
import re
import struct
import subprocess
import time

import numpy as np
import zstandard
from zipnn import ZipNN

RUNS = 7


def tensors(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    for name, entry in sorted(json.loads(data[8 : 8 + length]).items()):
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            if end - start >= 4 << 14:
                yield np.frombuffer(data[start:end], dtype="<f4")


def bfloat16(values):
    bits = values.view(np.uint32)
    return ((bits + ((bits >> 16) & 1) + 0x7FFF) >> 16).astype("<u2")


def fastest(job, runs=RUNS):
    best = math.inf
    for _ in range(runs):
        started = time.perf_counter()
        result = job()
        best = min(best, time.perf_counter() - started)
    return result, best


def total(buffers, compress, decompress, runs=RUNS):
    size = encode = decode = 0
    for buffer in buffers:
        coded, seconds = fastest(lambda: compress(buffer), runs)
        back, back_seconds = fastest(lambda: decompress(coded))
        assert bytes(back) == buffer, "lossy"
        size, encode, decode = size + len(coded), encode + seconds, decode + back_seconds
    raw = sum(map(len, buffers)) / 1e6
    return size, raw / encode, raw / decode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--zstd", action="store_true")
    parser.add_argument("lossless")
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    print("| tensors | raw bytes | planes+ans | ZipNN | zstd -19 | encode MB/s planes+ans / ZipNN | decode MB/s planes+ans / ZipNN |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for path in arguments.models:
        environment = {**os.environ, "STAGES": "planes+ans", "RUNS": str(RUNS)}
        command = [arguments.lossless, path]
        lines = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()
        values = list(tensors(path))
        casts = [("float32", lambda v: v), ("bfloat16", bfloat16), ("float16", lambda v: v.astype("<f2"))]
        for line, (dtype, cast) in zip(lines, casts):
            own, own_encode, own_decode = map(int, re.search(r"ans (\d+) .*? (\d+)/(\d+)", line).groups())
            buffers = [cast(value).tobytes() for value in values]
            raw = sum(map(len, buffers))
            codec = ZipNN(input_format="byte", bytearray_dtype=dtype, threads=1)
            # ZipNN works on the array it is given: a fresh one each time.
            size, encode, decode = total(buffers, lambda buffer: codec.compress(bytearray(buffer)), codec.decompress)
            zstd = "-"
            if arguments.zstd:
                compressor = zstandard.ZstdCompressor(level=19)
                zstd = f"{sum(len(compressor.compress(buffer)) for buffer in buffers) / raw:.4f}"
            print(f"| {path.split('/')[-2]}, {dtype} | {raw} | {own / raw:.4f} | {size / raw:.4f} | {zstd} "
                  f"| {own_encode} / {encode:.0f} | {own_decode} / {decode:.0f} |", flush=True)


main()
