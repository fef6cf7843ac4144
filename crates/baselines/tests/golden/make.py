"""Makes the golden vectors: python make.py, with gguf 0.19.0 and numpy 2.4.6 installed."""
import numpy as np
from gguf import GGMLQuantizationType as T, quants
r = np.random.default_rng(11)
w = (r.standard_t(4, 1024) * .03).astype(np.float32)
w.tofile("weights.f32")
t = (r.integers(-1, 2, (4, 256)) * np.array([[.5], [.0123], [3.7], [.25]])).astype(np.float32)
t.tofile("ternary.f32")
sizes = {"IQ4_NL": (18, [0]), "Q4_K": (144, [0, 2]), "Q5_K": (176, [0, 2]), "Q6_K": (210, [208])}
for n in ["Q8_0", "Q4_0", "TQ1_0", "TQ2_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"]:
    if n in sizes:
        size, at = sizes[n]
        count = 32 if n == "IQ4_NL" else 4
        b = r.integers(0, 256, (count, size), dtype=np.uint8)
        for a in at:
            b[:, a:a + 2] = r.normal(0, .01, count).astype(np.float16).view(np.uint8).reshape(count, 2)
        b = b.reshape(-1)
    else:
        b = quants.quantize((t if n[0] == "T" else w).reshape(1, 1024), T[n]).reshape(-1)
    b.tofile(n.lower() + ".blocks")
    quants.dequantize(b.reshape(1, -1), T[n]).astype(np.float32).tofile(n.lower() + ".f32")
