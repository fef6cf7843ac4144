"""Makes the vectors with outliers: python make_outliers.py, with gguf 0.19.0 and numpy 2.4.6 installed."""
import numpy as np
from gguf import GGMLQuantizationType as T, quants
w = np.fromfile("weights.f32", dtype=np.float32)
w[[5, 300, 700]] = [1025, -3e4, 4e5]
w.tofile("outliers.f32")
t = np.fromfile("ternary.f32", dtype=np.float32).reshape(4, 256)
t[1] *= 2000 / .0123
t[3] *= 60000 / .25
t.tofile("ternary-outliers.f32")
for n, v in [("Q8_0", w), ("Q4_0", w), ("TQ1_0", t), ("TQ2_0", t)]:
    quants.quantize(v.reshape(1, 1024), T[n]).tofile(n.lower() + "-outliers.blocks")
