"""The largest difference of two files of logits, relative to the standard deviation of the first: python compare.py A.npy B.npy"""

import sys

import numpy as np

a, b = (np.load(path).astype(np.float64) for path in sys.argv[1:])
assert a.shape == b.shape, (a.shape, b.shape)
print(f"{np.abs(a - b).max() / a.std():.2e} {(a.argmax(-1) == b.argmax(-1)).mean():.3f}")
