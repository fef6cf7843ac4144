"""Decodes every stream beside it from the format's description alone and compares the hash: python decode.py, without packages."""
import math
import pathlib
import struct

MASK = 2**64 - 1


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def mixed(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def hadamard(block):
    d = 1
    while d < len(block):
        for i in (i for i in range(len(block)) if not i & d):
            block[i], block[i + d] = block[i] + block[i + d], block[i] - block[i + d]
        d *= 2


def value(state):
    x = (0xC6B4F629 * state + 0x5D2C6A93) % 2**32
    c = sum(x.to_bytes(4, "little")) - 510
    return c * (26283 + c * c // 64) // 16


def unrotated(row, seed):
    """A row through the inverse rotation: blocks of a power of two, the last first, each transformed, signed and scaled."""
    m = min(256, 2 ** (len(row).bit_length() - 1))
    for b in reversed(range(-(-len(row) // m))):
        start = min(b * m, len(row) - m)
        block = row[start:start + m]
        hadamard(block)
        words = [mixed((seed << 32) + (4 * b + w + 1) * 0x9E3779B97F4A7C15 & MASK) for w in range(4)]
        order = m.bit_length() - 1
        norm = 0.5 ** (order // 2) * (math.sqrt(0.5) if order % 2 else 1)
        row[start:start + m] = [single((-v if words[i // 64] >> i % 64 & 1 else v) * norm) for i, v in enumerate(block)]
    return row


def by_columns(params, segments, shape):
    """Blocks down the columns."""
    rows, columns = shape[0], math.prod(shape[1:])
    kind, state, step = params[0], params[1], struct.unpack("<f", params[2:6])[0]
    at, power, seed = 6, 0, None
    if kind & 128:
        (power,) = struct.unpack("<h", params[at:at + 2])
        at += 2
    if kind & 32:
        (seed,) = struct.unpack("<I", params[at:at + 4])
        at += 4
    assert at == len(params) and state < 16
    k, L = (kind & 3) + 1, (state & 7) + 9
    segments = list(segments)
    factor = lambda b: 2.0 ** ((b - 128) // 8) * single(2 ** ((b - 128) % 8 / 8)) if b else 0.0
    row_factors = [factor(b) for b in segments.pop(0)] if kind & 64 else [1.0] * rows
    column_factors = [factor(b) for b in segments.pop(0)] if state & 8 else [1.0] * columns
    (indices,) = segments
    width = -(-32 // rows)
    if width > 1:
        width = next(w for w in range(width, width + 8) if w * rows % 8 == 0)
    width = min(width, columns)
    plain, at = [], 0
    for first in range(0, columns, width):
        n = min(width, columns - first) * rows
        blocks = -(-n // 256)
        length = -(-(-(-n // blocks)) // 8) * 8
        for start in range(0, n, length):
            left = min(length, n - start)
            coded = -(-max(left, -(-L // k)) // 8) * 8
            bits = int.from_bytes(indices[at:at + coded * k // 8], "little")
            at += coded * k // 8
            bits |= bits << coded * k
            plain += [single(single(value(bits >> i * k & (1 << L) - 1)) * step) for i in range(left)]
    assert at == len(indices)
    out = [0.0] * (rows * columns)
    for c, scale in enumerate(column_factors):
        column = [single(v * scale) for v in plain[c * rows:(c + 1) * rows]]
        if seed is not None:
            column = unrotated(column, seed)
        for r, v in enumerate(column):
            out[r * columns + c] = single(math.ldexp(single(v * row_factors[r]), power))
    return out


def decode(params, segments, shape):
    count = math.prod(shape)
    if not params[0] & 28:
        return by_columns(params, segments, shape)
    kind, step = params[0], struct.unpack("<f", params[1:5])[0]
    if step == 0:
        assert len(params) == 5 and not segments
        return [0.0] * count
    at, power, seed = 5, 0, None
    if kind & 128:
        (power,) = struct.unpack("<h", params[at:at + 2])
        at += 2
    if kind & 32:
        (seed,) = struct.unpack("<I", params[at:at + 4])
        at += 4
    assert at == len(params)
    k, L = (kind & 3) + 1, (kind >> 2 & 7) + 9
    segments = list(segments)
    factors = [1.0] * -(-count // 256)
    if kind & 64:
        scales = segments.pop(0)
        assert len(scales) == len(factors)
        factors = [2.0 ** ((b - 128) // 8) * single(2 ** ((b - 128) % 8 / 8)) if b else 0.0 for b in scales]
    (indices,) = segments
    out, at = [], 0
    for block, factor in enumerate(factors):
        left = min(256, count - 256 * block)
        n = left if left == 256 else -(-max(left, -(-L // k)) // 8) * 8
        bits = int.from_bytes(indices[at:at + n * k // 8], "little")
        at += n * k // 8
        bits |= bits << n * k
        values = [value(bits >> i * k & (1 << L) - 1) for i in range(n)][:left]
        scale = single(step * factor)
        if seed is not None and left == 256:
            hadamard(values)
            words = [mixed((seed << 32) + (4 * block + w + 1) * 0x9E3779B97F4A7C15 & MASK) for w in range(4)]
            weights = [single(single(v) * single(scale / 16)) for v in values]
            weights = [-v if words[i // 64] >> i % 64 & 1 else v for i, v in enumerate(weights)]
        else:
            weights = [single(single(v) * scale) for v in values]
        out += [single(math.ldexp(v, power)) for v in weights]
    assert at == len(indices)
    return out


if __name__ == "__main__":
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
        shape = [int(side) for side in dict(lines)["shape"].split()]
        segments = [bytes.fromhex(text) for key, text in lines if key in ("scales", "indices")]
        values = decode(bytes.fromhex(dict(lines)["params"]), segments, shape)
        hash = 0xCBF29CE484222325
        for byte in struct.pack(f"<{len(values)}f", *values):
            hash = (hash ^ byte) * 0x100000001B3 & MASK
        assert f"{hash:016x}" == dict(lines)["fnv1a"], path.stem
        print(path.stem, "agrees")
