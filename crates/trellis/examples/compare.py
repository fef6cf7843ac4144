"""Compares the trellis codec with nncodec (NNC, ISO/IEC 15938-17) on the same tensors in one run.

Usage: compare.py <path of the built `rival` example> tensor.npy...
Each tensor goes through nncodec at several qp; `rival` then codes it at the very size nncodec needed.
"""

import math
import subprocess
import sys
import tempfile
import time

import numpy as np
from nncodec import tensor as nnc

rival, paths = sys.argv[1], sys.argv[2:]
print("| tensor | bpw nnc | bpw trellis | gain dB | encode nnc / trellis M/s | decode nnc / trellis M/s |")
print("| --- | --- | --- | --- | --- | --- |")
for path in paths:
    weights = np.load(path).astype(np.float32)
    raw = path + ".f32"
    weights.tofile(raw)
    power = float((weights.astype(np.float64) ** 2).sum())
    for step in (1.1, 0.75, 0.55, 0.3, 0.15):
        # A quantisation parameter counts quarter octaves of the step.
        qp = int(math.floor(4 * math.log2(step * float(weights.std()))))
        started = time.time()
        coded = nnc.encode(weights, {"qp": qp, "use_dq": True, "results": tempfile.gettempdir()})
        encode = time.time() - started
        started = time.time()
        back = nnc.decode(coded)
        decode = time.time() - started
        error = float(((weights.astype(np.float64) - back.astype(np.float64).reshape(weights.shape)) ** 2).sum()) / power
        bits = len(coded) * 8 / weights.size
        shape = ",".join(map(str, weights.shape))
        line = subprocess.run([rival, raw, shape, f"{bits:.4f}"], capture_output=True, text=True, check=True).stdout
        own_bits, own_error, own_encode, own_decode = map(float, line.split())
        gain = 10 * np.log10(error / own_error) + 6.0206 * (bits - own_bits)
        count = weights.size / 1e6
        print(f"| {path.split('/')[-1]} | {bits:.3f} | {own_bits:.3f} | {gain:.2f} "
              f"| {count / encode:.1f} / {own_encode:.1f} | {count / decode:.1f} / {own_decode:.1f} |", flush=True)
