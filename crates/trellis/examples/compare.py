"""Compares the trellis codec with nncodec (NNC, ISO/IEC 15938-17) on the same tensors in one run.

Usage: compare.py [--rates 1,1.5,2.4,3.2,4] [--threads 1] <path of the built `rival` example> tensor.npy|model.safetensors[:tensor]|normal:RxC...
Needs nncodec 2.1.3 and safetensors from PyPI. Of a model without a tensor named, all matrices of 16 Ki weights and more are taken.

Each tensor goes through nncodec at the quantisation parameters whose bits come nearest to the rates, dependent quantisation and
everything else as nncodec's defaults have it; `rival` then codes it at the very size nncodec needed. Gain: how much lower the
trellis's squared error is at equal bytes (the last hundredths of a bit that `rival` misses the size by counted at 6.02 dB a bit).
Times are the fastest of three runs on either side.
"""

import argparse
import math
import os
import subprocess
import tempfile
import time

import numpy as np
from nncodec import tensor as nnc
from safetensors import safe_open

RUNS = 3


def tensors(source):
    if source.startswith("normal:"):
        shape = tuple(map(int, source.split(":")[1].split("x")))
        yield "N(0,1) " + "x".join(map(str, shape)), np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    elif source.endswith(".npy"):
        yield os.path.basename(source), np.load(source).astype(np.float32)
    else:
        path, _, wanted = source.partition(".safetensors")
        wanted = wanted.lstrip(":")
        with safe_open(path + ".safetensors", "np") as model:
            for name in model.keys():
                shape = model.get_slice(name).get_shape()
                big = len(shape) >= 2 and math.prod(shape) >= 1 << 14
                if name == wanted or not wanted and big:
                    yield f"{path.split('/')[-2]} {name}", model.get_tensor(name).astype(np.float32)


def fastest(job):
    best = math.inf
    for _ in range(RUNS):
        started = time.perf_counter()
        result = job()
        best = min(best, time.perf_counter() - started)
    return result, best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rates", default="1,1.5,2.4,3.2,4")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--effort", default="default")
    parser.add_argument("rival")
    parser.add_argument("sources", nargs="+")
    arguments = parser.parse_args()
    environment = {**os.environ, "RAYON_NUM_THREADS": arguments.threads}
    print("| tensor | bits nnc | bits trellis | gain dB | encode nnc / trellis M/s | decode nnc / trellis M/s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    below, count_all = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, weights in (pair for source in arguments.sources for pair in tensors(source)):
            raw = os.path.join(folder, "tensor")
            weights.tofile(raw)
            reference = weights.astype(np.float64)
            power = float((reference**2).sum())
            coded = {}

            def encode(qp):
                if qp not in coded:
                    coded[qp] = nnc.encode(weights, {"qp": qp, "use_dq": True, "results": folder})
                return len(coded[qp]) * 8 / weights.size

            for rate in map(float, arguments.rates.split(",")):
                # A quantisation parameter counts quarter octaves of the step; about four of them are a bit.
                qp = math.floor(4 * math.log2(2.2 * float(weights.std())) - 4 * rate)
                while encode(qp) > rate:
                    qp += 1
                while encode(qp) < rate:
                    qp -= 1
                qp = min((qp, qp + 1), key=lambda one: abs(encode(one) - rate))
                bytes_, seconds = fastest(lambda: nnc.encode(weights, {"qp": qp, "use_dq": True, "results": folder}))
                back, back_seconds = fastest(lambda: nnc.decode(bytes_))
                error = float(((reference - back.astype(np.float64).reshape(weights.shape)) ** 2).sum()) / power
                bits = len(bytes_) * 8 / weights.size
                command = [arguments.rival, raw, ",".join(map(str, weights.shape)), f"{bits:.4f}", arguments.effort]
                line = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
                own_bits, own_error, own_encode, own_decode = map(float, line.split())
                gain = 10 * np.log10(error / own_error) + 6.0206 * (bits - own_bits)
                millions = weights.size / 1e6
                below, count_all = below + (gain < 0.5), count_all + 1
                print(f"| {name} | {bits:.3f} | {own_bits:.3f} | {gain:.2f} | {millions / seconds:.2f} / {own_encode:.2f} "
                      f"| {millions / back_seconds:.2f} / {own_decode:.1f} |", flush=True)
    print(f"\n{count_all - below} of {count_all} points at .5 dB or more")


main()
