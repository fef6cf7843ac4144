"""Decodes every stream beside it from the formats' descriptions alone and compares the hash: python decode.py, without packages."""
import math
import pathlib
import struct

CHUNK = 1 << 16
MASK = 2**64 - 1
TAPS = {2: (0o5, 0o2), 3: (0o13, 0o4), 4: (0o23, 0o4), 5: (0o45, 0o10), 6: (0o103, 0o24), 7: (0o235, 0o126), 8: (0o515, 0o362)}


def single(x):
    """The nearest binary32; the largest finite one where that overflows."""
    largest = (2 - 2.0**-23) * 2.0**127
    try:
        return max(-largest, min(largest, struct.unpack("<f", struct.pack("<f", x))[0]))
    except OverflowError:
        return largest if x > 0 else -largest


def power(x):
    t, y = (x - x // 1) * 0.6931471805599453, 1.0
    for i in range(18, 0, -1):
        y = 1 + (y * t) / i
    return 2.0 ** int(x // 1) * y


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def float(self):
        return struct.unpack("<f", self.take(4))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


class Coder:
    def __init__(self, data):
        self.data, self.at, self.range = data, 8, MASK
        self.value = int.from_bytes(data[:8].ljust(8, b"\0"), "big")

    def refill(self):
        if self.range < 1 << 32:
            self.range <<= 32
            self.value = self.value << 32 | int.from_bytes(self.data[self.at:self.at + 4].ljust(4, b"\0"), "big")
            self.at += 4

    def decision(self, model):
        estimate, count = model
        bound = (self.range >> 16) * max(16, min(65520, estimate >> 6))
        true = self.value < bound
        if true:
            self.range = bound
        else:
            self.value -= bound
            self.range -= bound
        model[0] += ((2**22 - 1 if true else 0) - estimate) * (65536 // (count + 2)) >> 16
        model[1] = min(638, count + 1)
        self.refill()
        return int(true)

    def raw(self, bits=1):
        result = 0
        for _ in range(bits):
            self.range >>= 1
            one = self.value >= self.range
            self.value -= self.range if one else 0
            result = 2 * result + one
            self.refill()
        return result

    def tree(self, models, width):
        node = 1
        while node < 1 << width:
            node = 2 * node + self.decision(models[node])
        return node - (1 << width)

    def finish(self):
        assert (not self.data or self.data[-1]) and self.at >= len(self.data)


def fresh(count):
    return [[2**21, 0] for _ in range(count)]


def trees(coder, count, width):
    models = fresh(1 << width)
    return [coder.tree(models, width) for _ in range(count)]


class Stream:
    """One trellis; `cells`, of a later layer, holds the class of every weight."""

    def __init__(self, params, segments, rows, columns, cells=None):
        p = Bytes(params)
        flags = p.byte()
        self.seed = None
        offset = p.float() if flags & 4 else 0.0
        self.values = [offset] * (rows * columns)
        self.classes, self.magnitudes, self.quantisers = [0] * (rows * columns), [], []
        if flags & 8:
            assert p.at == len(params) and not segments
            return
        if flags & 64:
            self.seed = p.varint()
        step, code, classes = p.float(), p.byte(), p.byte()
        base = classes >> 4 | (p.byte() << 4 if flags & 3 else 0)
        self.count = (classes & 15) + 1
        points = [struct.unpack("2b", p.take(2)) for _ in range(p.byte())]
        for segment in segments:
            assert len(segment) == p.varint()
        assert p.at == len(params)
        segments = iter(segments)

        exponents = [16] * columns
        if flags & 16:
            coder = Coder(next(segments))
            exponents = trees(coder, columns, 5)
            coder.finish()
        scales = [power((16 - e) / 4) for e in exponents]

        # The matrix as it is coded.
        height, width = (columns, rows) if flags & 32 else (rows, columns)
        across, down = [0] * width, [0] * height
        if flags & 3:
            coder = Coder(next(segments))
            down = trees(coder, height, 4) if flags & 1 else down
            across = trees(coder, width, 4) if flags & 2 else across
            coder.finish()

        chunks = -(-rows * columns // CHUNK)
        lengths, tables = [], b""
        if chunks > 1:
            table = Bytes(next(segments))
            lengths = [table.varint() for _ in range(chunks - 1)]
            tables = table.take(len(table.data) - table.at)
        indices = Bytes(next(segments))
        lengths.append(len(indices.data) - sum(lengths))
        assert not list(segments)

        low = code >> 4
        start = [fresh(87) for _ in range(2 * self.count)]
        if chunks > 1:
            coder = Coder(tables)
            for models in start:
                described = coder.raw(4)
                which = list(range(described))
                which += [15 + 3 * i + j for i in range(described) for j in range((0, 1, 3)[min(low, 2)])]
                for at in which:
                    p = 65536 / (1 + 2 ** ((31.5 - coder.raw(6)) / 4))
                    models[at] = [64 * max(16, min(65520, int(p + 0.5))), 48]
            coder.finish()

        self.classes, self.magnitudes, self.quantisers = ([0] * (rows * columns) for _ in range(3))
        h0, h1 = TAPS[code & 15]
        for at in range(rows * columns):
            if at % CHUNK == 0:
                coder, state = Coder(indices.take(lengths.pop(0))), 0
                contexts = [[model[:] for model in models] for models in start]
            row, column = divmod(at, width)
            place = column * columns + row if flags & 32 else at
            if cells:
                element = cells[place]
            else:
                element = max(0, min(self.count - 1, down[row] + across[column] - base)) if flags & 3 else 0
            q = state & 1
            models = contexts[2 * element + q]
            index = 0
            while index < 15 and coder.decision(models[index]):
                index += 1
            high = index
            if high == 15:
                w = 0
                while w < 24 and coder.decision(models[63 + w]):
                    w += 1
                index += 2**w - 1 + coder.raw(w)
            if low:
                top = coder.decision(models[15 + 3 * high])
                index = 2 * index + top
                if low > 1:
                    index = 2 * index + coder.decision(models[16 + 3 * high + top])
                    index = index << low - 2 | coder.raw(low - 2)
            value = 0.0
            if index:
                trained = points[index - 1][q] if index <= len(points) else 0
                value = single(2 * index - q + trained / 64) * step
                value = -value if coder.raw() else value
            value = single(offset + value)
            if flags & 16:
                value = single(value * scales[row if flags & 32 else column])
            self.values[place] = value
            self.classes[place], self.magnitudes[place], self.quantisers[place] = element, index, q
            state = state >> 1 ^ (h0 >> 1 if q else 0) ^ (h1 >> 1 if index & 1 else 0)
            if at % CHUNK == CHUNK - 1 or at == rows * columns - 1:
                coder.finish()


def mixed(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def unrotated(row, seed):
    columns = len(row)
    k = min(8, columns.bit_length() - 1)
    m = 1 << k
    factor = 2.0 ** -(k // 2) * (0.7071067811865476 if k & 1 else 1.0)
    for b in range(-(-columns // m) - 1, -1, -1):
        at = min(b * m, columns - m)
        block = row[at:at + m]
        for d in (1 << i for i in range(k)):
            for i in (i for i in range(m) if not i & d):
                block[i], block[i + d] = block[i] + block[i + d], block[i] - block[i + d]
        for j in range(m):
            word = mixed((seed << 32) + (4 * b + j // 64 + 1) * 0x9E3779B97F4A7C15 & MASK)
            block[j] = single((-block[j] if word >> j % 64 & 1 else block[j]) * factor)
        row[at:at + m] = block


def times(row, matrix):
    """A row times a matrix, terms in order, each sum rounded once (in binary64 the product is exact)."""
    out = []
    for j in range(len(matrix[0])):
        total = 0.0
        for x, line in zip(row, matrix):
            total = single(total + x * line[j])
        out.append(total)
    return out


def transformed(shape, params, layers):
    rows = shape[0] if len(shape) > 1 else 1
    columns = math.prod(shape) // max(1, rows)
    p = Bytes(params)
    assert p.byte() == 128
    kind, segments, basis = p.byte(), layers[0], None
    if kind == 2:
        count = p.byte()
        inner = p.take(p.varint())
        flat = decode([columns, columns], inner, [segments[:count]])
        basis, segments = [flat[at:at + columns] for at in range(0, columns * columns, columns)], segments[count:]
    else:
        assert kind == 1 and columns <= 1024
        scale = lambda k: math.sqrt((2 if k else 1) / columns)
        # The nearest binary32 of a cosine that is good to 1e-15.
        basis = [[single(scale(k) * math.cos(math.pi * ((2 * j + 1) * k % (4 * columns)) / (2 * columns)))
                  for j in range(columns)] for k in range(columns)]
    values = decode(shape, params[p.at:], [segments])
    return [v for at in range(0, rows * columns, columns) for v in times(values[at:at + columns], basis)]


def decode(shape, params, layers):
    if params[0] == 128:
        return transformed(shape, params, layers)
    rows = shape[0] if len(shape) > 1 else 1
    columns = math.prod(shape) // max(1, rows)
    first = before = Stream(params, layers[0], rows, columns)
    values = first.values
    for segments in layers[1:]:
        cells = [3 * q + min(k, 2) + (6 if 2 * c >= first.count else 0)
                 for q, k, c in zip(before.quantisers, before.magnitudes, first.classes)]
        before = Stream(segments[0], segments[1:], rows, columns, cells)
        values = [single(v + (-r if v < 0 else r)) for v, r in zip(values, before.values)]
    if first.seed is not None:
        for at in range(0, rows * columns, columns):
            row = values[at:at + columns]
            unrotated(row, first.seed)
            values[at:at + columns] = row
    return values


def fnv1a(data):
    hash = 0xCBF29CE484222325
    for byte in data:
        hash = (hash ^ byte) * 0x100000001B3 & MASK
    return hash


if __name__ == "__main__":
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        shape, params, layers, expected = [], b"", [[]], []
        for key, text in (line.split(" ", 1) for line in path.read_text().splitlines()):
            if key == "shape":
                shape = [int(side) for side in text.split()]
            elif key == "params":
                params = bytes.fromhex(text)
            elif key == "fnv1a":
                expected.append(text)
                layers.append([])
            else:
                layers[-1].append(bytes.fromhex(text))
        layers.pop()
        for count, hash in enumerate(expected, 1):
            values = decode(shape, params, layers[:count])
            got = f"{fnv1a(struct.pack(f'<{len(values)}f', *values)):016x}"
            assert got == hash, (path.stem, count, got, hash)
        print(path.stem, "agrees")
