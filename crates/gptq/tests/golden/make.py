"""Codes of GPTQ and AWQ by a straightforward implementation of the papers, in binary64: python make.py, with numpy.

Written from the descriptions alone, with numpy's inverse and Cholesky factor and no blocks; scales are rounded to binary16 before use.
Per case: scales (binary16), zero points (bytes), with AWQ the inputs' scales (binary16), codes (bytes), all row-major."""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
ROWS, COLUMNS, GROUP = 40, 96, 32


def half(x):
    return np.asarray(x, np.float64).astype(np.float16).astype(np.float64)


def grid(w, bits, symmetric):
    """Scale and zero point of every row."""
    top = 2**bits - 1
    low, high = np.minimum(w.min(1), 0), np.maximum(w.max(1), 0)
    if symmetric:
        high = np.maximum(high, -low)
        return half(2 * high / top), np.full(len(w), 2 ** (bits - 1), float)
    scale = half((high - low) / top)
    return scale, np.clip(np.round(-low / scale), 0, top)


def codes(w, scale, zero, bits):
    return np.clip(np.round(w / scale[:, None]) + zero[:, None], 0, 2**bits - 1)


def value(q, scale, zero):
    return (q - zero[:, None]) * scale[:, None]


def gptq(w, h, bits, symmetric, group, order, static):
    w, n = w.copy(), w.shape[1]
    perm = np.argsort(-np.diag(h), kind="stable") if order else np.arange(n)
    size = group or n
    fixed = [grid(w[:, g : g + size], bits, symmetric) for g in range(0, n, size)]
    h = h + 0.01 * np.mean(np.diag(h)) * np.eye(n)
    u = np.linalg.cholesky(np.linalg.inv(h[np.ix_(perm, perm)])).T
    w = w[:, perm]
    q, grids = np.zeros_like(w), []
    for i in range(n):
        if static or not group:
            scale, zero = fixed[perm[i] // size]
        elif i % size == 0:
            scale, zero = grid(w[:, i : i + size], bits, symmetric)
            grids.append((scale, zero))
        q[:, i] = codes(w[:, i : i + 1], scale, zero, bits)[:, 0]
        error = (w[:, i] - (q[:, i] - zero) * scale) / u[i, i]
        w[:, i:] -= np.outer(error, u[i, i:])
    out = np.zeros_like(q)
    out[:, perm] = q
    return grids or fixed, out


def awq(w, h, mean_abs, bits, group):
    n = w.shape[1]
    size = group or n
    starts = range(0, n, size)

    def quantised(w, limits=None):
        parts = []
        for g in starts:
            part = w[:, g : g + size]
            fitted = part if limits is None else np.clip(part, -limits[g][:, None], limits[g][:, None])
            scale, zero = grid(fitted, bits, False)
            q = codes(part, scale, zero, bits)
            parts.append((scale, zero, q, value(q, scale, zero)))
        return parts

    best = None
    for step in range(20):
        s = np.maximum(mean_abs ** (step * 0.05), 1e-4)
        s = half(s / np.sqrt(s.max() * s.min()))
        error = w - np.hstack([part[3] for part in quantised(w * s)]) / s
        cost = np.sum(error @ h * error)
        if best is None or cost < best[0]:
            best = (cost, s)
    s = best[1]
    w = w * s
    limits = {}
    for g in starts:
        columns = slice(g, g + size)
        block = h[columns, columns] / np.outer(s[columns], s[columns])
        largest = np.abs(w[:, columns]).max(1)
        costs = []
        for step in range(10):
            limit = largest * (1 - step / 20)
            scale, zero = grid(np.clip(w[:, columns], -limit[:, None], limit[:, None]), bits, False)
            error = w[:, columns] - value(codes(w[:, columns], scale, zero, bits), scale, zero)
            costs.append(np.sum(error @ block * error, 1))
        limits[g] = largest * (1 - np.argmin(costs, 0) / 20)
    parts = quantised(w, limits)
    return [part[:2] for part in parts], np.hstack([part[2] for part in parts]), s


def save(name, grids, q, inputs=None):
    scales, zeros = (np.stack([grid[i] for grid in grids], 1) for i in (0, 1))
    parts = [scales.astype("<f2"), zeros.astype(np.uint8)]
    parts += [] if inputs is None else [inputs.astype("<f2")]
    (HERE / f"{name}.codes").write_bytes(b"".join(part.tobytes() for part in parts + [q.astype(np.uint8)]))


if __name__ == "__main__":
    rng = np.random.default_rng(7)
    mixing = rng.normal(size=(COLUMNS, COLUMNS)) * 0.3 + np.eye(COLUMNS)
    x = rng.normal(size=(400, COLUMNS)) @ mixing * np.exp(rng.normal(size=COLUMNS))
    w = (rng.normal(size=(ROWS, COLUMNS)) * np.exp(0.5 * rng.normal(size=(ROWS, 1))) * 0.05).astype("<f4")
    h, mean_abs = (x.T @ x / len(x)).astype("<f4"), np.abs(x).mean(0).astype("<f4")
    for name, array in (("weights", w), ("moment", h), ("mean-abs", mean_abs)):
        (HERE / f"{name}.f32").write_bytes(array.tobytes())
    w, h, mean_abs = (array.astype(np.float64) for array in (w, h, mean_abs))
    save("gptq-4", *gptq(w, h, 4, True, GROUP, False, False))
    save("gptq-3-order", *gptq(w, h, 3, False, GROUP, True, False))
    save("gptq-2-static", *gptq(w, h, 2, False, GROUP, True, True))
    save("gptq-8-row", *gptq(w, h, 8, True, 0, False, False))
    save("awq-4", *awq(w, h, mean_abs, 4, GROUP))
    save("awq-3-row", *awq(w, h, mean_abs, 3, 0))
