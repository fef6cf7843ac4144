"""Decodes every stream beside it from the formats' descriptions alone: python decode.py, with zstandard installed for zstd's frames.

The segments are made again here, by the generator that `../golden.rs` describes them with.
"""
import math
import pathlib

try:
    import zstandard
except ImportError:
    zstandard = None

MASK = 2**64 - 1


class NoZstd(Exception):
    pass


def unzstd(frame, size):
    if zstandard is None:
        raise NoZstd
    return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count:self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def fields(data, width, count):
    bits = int.from_bytes(data, "little")
    assert len(data) == -(-width * count // 8) and bits >> width * count == 0
    text = f"{bits:0{width * count + 1}b}"[::-1]
    return [int(text[at:at + width][::-1], 2) for at in range(0, width * count, width)]


def packed(values, width):
    text = "".join(f"{value:0{width}b}" for value in reversed(values))
    return int("0" + text, 2).to_bytes(-(-width * len(values) // 8), "little")


def trits(digits):
    digits = digits + [0] * (-len(digits) % 5)
    return bytes(sum(digits[at + i] * 3**i for i in range(5)) for at in range(0, len(digits), 5))


def table(r):
    """Of every slot: symbol, frequency, start."""
    frequencies, highest = [], r.byte()
    while len(frequencies) <= highest:
        frequency = r.varint()
        frequencies += [frequency] if frequency else [0] * (1 + r.varint())
    slots = []
    for symbol, frequency in enumerate(frequencies):
        slots += [(symbol, frequency, len(slots))] * frequency
    assert len(slots) == 4096 and len(frequencies) == highest + 1
    return slots


def ans_block(data, slots, lanes, count):
    r = Bytes(data)
    states = [int.from_bytes(r.take(4), "little") for _ in range(lanes)]
    out = []
    for i in range(count):
        x = states[i % lanes]
        symbol, frequency, start = slots[x & 4095]
        x = frequency * (x >> 12) + (x & 4095) - start
        if x < 1 << 16:
            x = x << 16 | int.from_bytes(r.take(2), "little")
        states[i % lanes] = x
        out.append(symbol)
    assert r.at == len(data) and states == [1 << 16] * lanes
    return out


def ans(data, count):
    if count == 0:
        assert not data
        return []
    r = Bytes(data)
    slots, lanes = table(r), r.byte()
    blocks = [min(1 << 18, count - at) for at in range(0, count, 1 << 18)]
    lengths = [r.varint() for _ in blocks]
    out = []
    for length, block in zip(lengths, blocks):
        out += ans_block(r.take(length), slots, lanes, block)
    assert r.at == len(data)
    return out


def tokens(data, count):
    """Symbols of up to 16 bits; no golden stream here has them, those of `seedpress-scalar` do."""
    r = Bytes(data)
    coded = ans(r.take(r.varint()), count)
    raw, out = int.from_bytes(r.rest(), "little"), []
    for token in coded:
        if token >= 128:
            highest = 7 + (token - 128) // 8
            low = highest - 3
            token = 1 << highest | (token & 7) << low | raw & (1 << low) - 1
            raw >>= low
        out.append(token)
    assert raw == 0
    return out


def plane(r, width, count):
    if count == 0:
        return []
    method = r.byte()
    body = r.take(r.varint())
    if method == 0:
        return fields(body, width, count)
    return ans(body, count) if method == 1 else list(unzstd(body, count))


def layout(r):
    """The number of symbols, the bytes of each, and what makes a segment of them."""
    tag = r.byte()
    parameter = r.byte() if tag == 1 else r.varint() if tag == 3 else 0
    count = r.varint()
    if tag == 1:
        return count, -(-parameter // 8), parameter, lambda s: packed([int.from_bytes(b, "little") for b in s], parameter)
    if tag == 2:
        return count, 1, 2, lambda s: trits([b[0] for b in s])
    return count, parameter if tag == 3 else 1, 0, b"".join


def floats(r):
    kind, count, rows, columns = r.byte(), r.varint(), r.byte(), r.byte()
    size, width = [(4, 8), (2, 8), (2, 5)][kind]
    if rows == columns == 0:
        exponents = mixed(r, width, count)
    else:
        row = r.varint() if rows > 1 or columns > 1 else 1
        row_labels = plane(r, 3, count // row) if rows > 1 else [0] * (count // row)
        column_labels = plane(r, 3, row) if columns > 1 else [0] * row
        classes = [row_labels[i // row] * columns + column_labels[i % row] for i in range(count)]
        streams = [iter(plane(r, width, classes.count(of))) for of in range(rows * columns)]
        exponents = [next(streams[of]) for of in classes]
    often = [e for e in range(1 << width) if exponents.count(e) >= 512]
    heads = {e: iter(plane(r, 3, exponents.count(e))) for e in often}
    rare = iter(plane(r, 3, sum(e not in heads for e in exponents)))
    heads = [next(heads.get(e, rare)) for e in exponents]
    mantissa = 7 if width == 5 else 4
    rests = plane(r, mantissa + 1, count)
    tails = [plane(r, 8, count) for _ in range(2)] if kind == 0 else [[], []]
    out = b""
    for i in range(count):
        rest = rests[i]
        sign, low = rest >> mantissa, rest & (1 << mantissa) - 1
        upper = sign << 15 | exponents[i] << mantissa + 3 | heads[i] << mantissa | low
        out += bytes([tails[0][i], tails[1][i]]) if kind == 0 else b""
        out += upper.to_bytes(2, "little")
    return out


def stage_ans(data):
    r = Bytes(data)
    method = r.byte()
    if method == 0:
        return r.rest()
    if method == 3:
        out = floats(r)
    elif method == 4:
        size = r.varint()
        return unzstd(r.rest(), size)
    else:
        count, size, width, join = layout(r)
        if method == 16:
            out = join([bytes([symbol]) for symbol in mixed(r, width, count)])
        else:
            planes = [plane(r, 8, count) for _ in range(size)]
            symbols = list(zip(*planes))
            if method == 2:
                bits = 8 * size
                whole = [int.from_bytes(symbol, "little") for symbol in symbols]
                symbols = [(v >> 1 | (v & 1) << bits - 1).to_bytes(size, "little") for v in whole]
            out = join([bytes(symbol) for symbol in symbols])
    assert r.at == len(data)
    return out


def stage_zstd(data):
    r = Bytes(data)
    method = r.byte()
    if method == 0:
        return r.rest()
    if method == 1:
        size = r.varint()
        return unzstd(r.rest(), size)
    count, size, _, join = layout(r)
    if method == 2:
        data = unzstd(r.rest(), count * size)
        return join([bytes(data[p * count + i] for p in range(size)) for i in range(count)])
    data = unzstd(r.rest(), -(-count // 2))
    symbols = [byte >> shift & 7 for byte in data for shift in (0, 3)][:count]
    return join([bytes([symbol]) for symbol in symbols])


class Coder:
    def __init__(self, data):
        self.data, self.at, self.range = data, 8, MASK
        self.value = int.from_bytes(data[:8].ljust(8, b"\0"), "big")

    def decision(self, p):
        bound = (self.range >> 16) * p
        true = self.value < bound
        if true:
            self.range = bound
        else:
            self.value -= bound
            self.range -= bound
        if self.range < 1 << 32:
            self.range <<= 32
            self.value = self.value << 32 | int.from_bytes(self.data[self.at:self.at + 4].ljust(4, b"\0"), "big")
            self.at += 4
        return int(true)

    def finish(self):
        assert (not self.data or self.data[-1]) and self.at >= len(self.data)


def kept(x, least, most):
    return max(least, min(most, x))


LOGIT = [kept(round(256 * math.log((i + 0.5) / (4095.5 - i))), -2047, 2047) for i in range(4096)]
LOGISTIC = [kept(round(65536 / (1 + math.exp(-x / 256))), 16, 65520) for x in range(-2047, 2048)]


def mixed(r, width, count):
    row, centre, spread = r.varint(), r.varint(), r.varint()
    chunks = [min(1 << 20, count - at) for at in range(0, count, 1 << 20)]
    lengths = [r.varint() for _ in chunks]
    out = []
    for length, chunk in zip(lengths, chunks):
        out += mixed_chunk(r.take(length), width, chunk, row or chunk, centre, spread, row > 0)
    return out


def mixed_chunk(data, width, count, row, centre, spread, has_rows):
    coder, symbols, counters = Coder(data), [], {}
    weights = [[19660] * 7 for _ in range(1 << width)]
    middle = min(centre // 2, (1 << width) - 1)
    of_row, of_column = spread, [spread] * min(row, count)
    for at in range(count):
        column = at % row
        above = symbols[at - row] if at >= row else middle
        left = symbols[at - 1] if column else middle
        levels = [min(8 * activity // spread, 15) for activity in (of_row, of_column[column])]
        values = [0, above, left, levels[0], levels[1], tuple(levels), (above, left) if width <= 4 else 0]
        node = 1
        for _ in range(width):
            models = [counters.setdefault((i, value, node), [1 << 21, 0]) for i, value in enumerate(values)]
            logits = [LOGIT[kept(e >> 6, 16, 65520) >> 4] for e, _ in models]
            mine = weights[node]
            p = LOGISTIC[kept(sum(w * l for w, l in zip(mine, logits)) >> 16, -2047, 2047) + 2047]
            true = coder.decision(p)
            error = 65536 * true - p
            for i, l in enumerate(logits):
                mine[i] = kept(mine[i] + (l * (error >> 2) >> 14), -(1 << 20), 1 << 20)
            for model in models:
                model[0] += ((2**22 - 1 if true else 0) - model[0]) * (65536 // (model[1] + 2)) >> 16
                model[1] = min(638, model[1] + 1)
            node = 2 * node + true
        symbols.append(node - (1 << width))
        distance = 16 * abs(2 * symbols[-1] - centre)
        of_row += distance - of_row >> 4
        if has_rows:
            of_column[column] += distance - of_column[column] >> 3
    coder.finish()
    return symbols


def dice(state):
    def die(sides):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        return (state >> 40) % sides
    return die


def more():
    die, data = dice(13), b""
    for at in (i * 9 % 1400 for i in range(1400)):
        exponent, sides = [(100, 128), (101, 64), (102, 16)][min(at // 512, 2)]
        exponent = 102 if at == 512 else exponent
        data += ((die(2) << 8 | exponent) << 7 | die(sides)).to_bytes(2, "little")
    yield "bf16-512", data
    yield "no-rows", packed([die(2) if i // 100 % 2 == 0 else 2 + die(3) + die(4) for i in range(600)], 3)
    yield "bursts", packed([8 + die(8) if i // 60 % 25 == 20 and i % 60 < 30 else 0 for i in range(6000)], 4)
    yield "bits-3-sparse", packed([1 + die(7) if die(9) == 0 else 0 for _ in range(3000)], 3)


def segments():
    die = dice(11)
    for width in (1, 2, 3, 4, 8, 12):
        yield f"bits-{width}", packed([sum(die(16) for _ in range(4)) << 8 >> 14 - width for _ in range(300)], width)
    yield "trits", trits([die(2) + die(2) for _ in range(301)])
    for name in ("f32", "bf16", "f16"):
        data = b""
        for _ in range(200):
            upper = die(2) << 15 | (60 + die(3) + die(3)) << 8 | die(256)
            data += die(1 << 16).to_bytes(2, "little") if name == "f32" else b""
            data += upper.to_bytes(2, "little")
        yield name, data
    exponents = [100 + 12 * (i // 64 % 2) + 4 * (i % 64 // 32) + die(2) for i in range(64 * 80)]
    yield "bf16-classes", b"".join((e << 7).to_bytes(2, "little") for e in exponents)
    yield "records-18", bytes(i % 18 * 5 + die(4) for i in range(40 * 18))
    yield "opaque", bytes(die(256) for _ in range(100))
    yield "repetitive", bytes(i % 200 * 57 & 255 for i in range(1200))
    yield "one-symbol", bytes([0b01010101]) * 1250
    yield from (("empty-bits", b""), ("empty-floats", b""), ("empty", b""))
    for name, count, rare in (("lanes-4", 20000, 20), ("two-blocks", 270000, 3000)):
        yield name, packed([1 + die(3) if die(rare) == 0 else 0 for _ in range(count)], 2)


if __name__ == "__main__":
    expected = {**dict(segments()), **dict(more())}
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        agree, left = 0, []
        for name, text in (line.split(" ", 1) for line in path.read_text().splitlines()):
            try:
                got = (stage_zstd if path.stem.startswith("zstd") else stage_ans)(bytes.fromhex(text))
            except NoZstd:
                left.append(name)
                continue
            assert got == expected[name], (path.stem, name)
            agree += 1
        print(path.stem, agree, "agree" + (f"; need zstandard: {', '.join(left)}" if left else ""))
