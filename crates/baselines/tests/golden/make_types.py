"""Makes the vectors of q2_k, q3_k, q4_1, q5_0 and q5_1: python make_types.py, with gguf 0.19.0 and numpy 2.4.6 installed."""
import numpy as np
from gguf import GGMLQuantizationType as T, quants
r = np.random.default_rng(12)
w = np.fromfile("weights.f32", dtype=np.float32)
for n in ["Q4_1", "Q5_0", "Q5_1"]:
    quants.quantize(w.reshape(1, 1024), T[n]).tofile(n.lower() + ".blocks")
for n, size, at in [("Q2_K", 84, [80, 82]), ("Q3_K", 110, [108])]:
    b = r.integers(0, 256, (4, size), dtype=np.uint8)
    for a in at:
        b[:, a:a + 2] = r.normal(0, .01, 4).astype(np.float16).view(np.uint8).reshape(4, 2)
    b.tofile(n.lower() + ".blocks")
for n in ["Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K"]:
    b = np.fromfile(n.lower() + ".blocks", dtype=np.uint8)
    quants.dequantize(b.reshape(1, -1), T[n]).astype(np.float32).tofile(n.lower() + ".f32")
