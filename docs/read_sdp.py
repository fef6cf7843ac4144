#!/usr/bin/env python3
"""An independent reader of .sdp files, written from docs/format.md: python3 and nothing else.

It knows the container (versions 1 and 2, whole or in shards), records, the codecs `raw` and `rtn`, and the stage `zstd`, whose frames it decodes itself
(RFC 8878). It is slow and checks every checksum.

    read_sdp.py model.sdp             lists the tensors; model.sdp.index.json those of all its shards
    read_sdp.py model.sdp FOLDER      also writes each tensor's bytes to FOLDER/<place>.bin, as safetensors would hold them
"""

import json
import os
import struct
import sys

# ---------------------------------------------------------------------------------------------------------------- reading

CRC = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    CRC.append(n)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ CRC[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


def check(condition, what):
    if not condition:
        raise ValueError(what)


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, count):
        check(self.at + count <= len(self.data), "truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text(self):
        return bytes(self.take(self.varint())).decode()

    def numbers(self):
        return [self.varint() for _ in range(self.varint())]


# ------------------------------------------------------------------------------------------------- zstd frames (RFC 8878)


class Backward:
    """Bits from the end of a stream; the highest set bit of the last byte marks where they begin."""

    def __init__(self, data):
        check(data and data[-1], "a bit stream without its end mark")
        self.data = bytes(data)
        self.left = 8 * len(data) - 9 + data[-1].bit_length()

    def bits(self, count):
        self.left -= count
        at = self.left
        if at >= 0:
            return int.from_bytes(self.data[at >> 3 : (at >> 3) + 9], "little") >> (at & 7) & ((1 << count) - 1)
        return int.from_bytes(self.data[:9], "little") << -at & ((1 << count) - 1)


def fse_distribution(reader):
    start, used = reader.at, 0

    def bits(count):
        nonlocal used
        window = int.from_bytes(reader.data[start + (used >> 3) : start + (used >> 3) + 8], "little")
        value = window >> (used & 7) & ((1 << count) - 1)
        used += count
        return value

    log = bits(4) + 5
    left, odds = 1 << log, []
    while left > 0:
        width = (left + 1).bit_length()
        value = bits(width)
        low = (1 << (width - 1)) - 1
        threshold = (1 << width) - 1 - (left + 1)
        if value & low < threshold:
            used -= 1
            value &= low
        elif value > low:
            value -= threshold
        odds.append(value - 1)
        left -= abs(value - 1)
        if value == 1:
            repeat = 3
            while repeat == 3:
                repeat = bits(2)
                odds += [0] * repeat
    reader.at = start + (used + 7) // 8
    return odds, log


def fse_table(odds, log):
    size = 1 << log
    symbols, high = [0] * size, size
    for symbol, odd in enumerate(odds):
        if odd == -1:
            high -= 1
            symbols[high] = symbol
    at, step = 0, (size >> 1) + (size >> 3) + 3
    for symbol, odd in enumerate(odds):
        for _ in range(max(odd, 0)):
            symbols[at] = symbol
            at = (at + step) & (size - 1)
            while at >= high:
                at = (at + step) & (size - 1)
    seen, table = [abs(odd) for odd in odds], []
    for symbol in symbols:
        state = seen[symbol]
        seen[symbol] += 1
        width = log - (state.bit_length() - 1)
        table.append((symbol, width, (state << width) - size))
    return table, log


LENGTHS = [(n, 0) for n in range(16)] + [(16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4)]
LENGTHS += [(64 << n, 6 + n) for n in range(11)]
MATCHES = [(n + 3, 0) for n in range(32)] + [(35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3)]
MATCHES += [(67, 4), (83, 4), (99, 5)] + [((128 << n) + 3, 7 + n) for n in range(10)]
LENGTH_ODDS = [4, 3] + [2] * 11 + [1] * 3 + [2] * 9 + [3, 2] + [1] * 5 + [-1] * 4
MATCH_ODDS = [1, 4, 3] + [2] * 6 + [1] * 37 + [-1] * 7
OFFSET_ODDS = [1] * 6 + [2] * 3 + [1] * 15 + [-1] * 5


def huffman_table(reader):
    head = reader.u8()
    if head >= 128:
        count = head - 127
        pairs = reader.take((count + 1) // 2)
        weights = [pairs[n // 2] >> (0 if n % 2 else 4) & 15 for n in range(count)]
    else:
        inner = Reader(reader.take(head))
        table, log = fse_table(*fse_distribution(inner))
        stream = Backward(inner.data[inner.at :])
        states, weights, turn = [stream.bits(log), stream.bits(log)], [], 0
        while True:
            symbol, width, base = table[states[turn]]
            weights.append(symbol)
            states[turn] = base + stream.bits(width)
            turn ^= 1
            if stream.left < 0:
                weights.append(table[states[turn]][0])
                break
    total = sum(1 << weight >> 1 for weight in weights)
    longest = total.bit_length()
    weights.append(((1 << longest) - total).bit_length())
    table = []
    for weight in range(1, longest + 1):
        for symbol, of in enumerate(weights):
            if of == weight:
                table += [(symbol, longest + 1 - weight)] * (1 << (weight - 1))
    check(len(table) == 1 << longest, "a Huffman code that is not complete")
    return table, longest


def huffman_stream(data, count, table, longest):
    stream, out = Backward(data), bytearray()
    window = stream.bits(longest)
    for _ in range(count):
        symbol, width = table[window]
        out.append(symbol)
        window = (window << width | stream.bits(width)) & ((1 << longest) - 1)
    check(stream.left == -longest, "a Huffman stream of another length")
    return out


def literals(reader, memory):
    head = reader.data[reader.at]
    kind, form = head & 3, head >> 2 & 3
    if kind < 2:
        size = {0: 1, 2: 1, 1: 2, 3: 3}[form]
        value = int.from_bytes(reader.take(size), "little") >> (3 if size == 1 else 4)
        return reader.take(value) if kind == 0 else reader.take(1) * value
    size, width = {0: (3, 10), 1: (3, 10), 2: (4, 14), 3: (5, 18)}[form]
    value = int.from_bytes(reader.take(size), "little") >> 4
    count, packed = value & ((1 << width) - 1), value >> width & ((1 << width) - 1)
    body = Reader(reader.take(packed))
    if kind == 2:
        memory["huffman"] = huffman_table(body)
    table, longest = memory["huffman"]
    if form == 0:
        return huffman_stream(body.data[body.at :], count, table, longest)
    sizes = struct.unpack("<HHH", body.take(6))
    each, out = (count + 3) // 4, bytearray()
    for part in range(4):
        rest = len(body.data) - body.at
        data = body.take(sizes[part] if part < 3 else rest)
        out += huffman_stream(data, each if part < 3 else count - 3 * each, table, longest)
    return out


def block(data, out, memory):
    reader = Reader(data)
    bytes_left = literals(reader, memory)
    count = reader.u8()
    if count == 255:
        count = reader.u8() + (reader.u8() << 8) + 0x7F00
    elif count >= 128:
        count = ((count - 128) << 8) + reader.u8()
    at = 0
    if count:
        modes = reader.u8()
        tables = []
        for name, shift, odds, log in (("ll", 6, LENGTH_ODDS, 6), ("of", 4, OFFSET_ODDS, 5), ("ml", 2, MATCH_ODDS, 6)):
            mode = modes >> shift & 3
            if mode == 0:
                memory[name] = fse_table(odds, log)
            elif mode == 1:
                memory[name] = [(reader.u8(), 0, 0)], 0
            elif mode == 2:
                memory[name] = fse_table(*fse_distribution(reader))
            tables.append(memory[name])
        stream = Backward(reader.data[reader.at :])
        (lls, ll_log), (ofs, of_log), (mls, ml_log) = tables
        ll, of, ml = stream.bits(ll_log), stream.bits(of_log), stream.bits(ml_log)
        recent = memory["recent"]
        for number in range(count):
            offset_code = ofs[of][0]
            value = (1 << offset_code) + stream.bits(offset_code)
            base, extra = MATCHES[mls[ml][0]]
            match = base + stream.bits(extra)
            base, extra = LENGTHS[lls[ll][0]]
            length = base + stream.bits(extra)
            if value > 3:
                recent[:] = [value - 3, recent[0], recent[1]]
            else:
                place = value - 1 + (length == 0)
                if place == 3:
                    recent[:] = [recent[0] - 1, recent[0], recent[1]]
                elif place:
                    recent.insert(0, recent.pop(place))
            out += bytes_left[at : at + length]
            at += length
            offset = recent[0]
            check(0 < offset <= len(out), "a match before the beginning")
            while match > 0:
                piece = out[len(out) - offset : len(out) - offset + match] if match < offset else out[-offset:]
                out += piece
                match -= len(piece)
            if number + 1 < count:
                ll = lls[ll][2] + stream.bits(lls[ll][1])
                ml = mls[ml][2] + stream.bits(mls[ml][1])
                of = ofs[of][2] + stream.bits(ofs[of][1])
        check(stream.left == 0, "sequences of another length")
    out += bytes_left[at:]


def zstd(data, expected):
    reader = Reader(data)
    check(reader.u32() == 0xFD2FB528, "no zstd frame")
    head = reader.u8()
    single, checksum = head >> 5 & 1, head >> 2 & 1
    reader.take(0 if single else 1)
    reader.take([0, 1, 2, 4][head & 3])
    reader.take([single, 2, 4, 8][head >> 6])
    out, memory, last = bytearray(), {"recent": [1, 4, 8]}, 0
    while not last:
        value = int.from_bytes(reader.take(3), "little")
        last, kind, size = value & 1, value >> 1 & 3, value >> 3
        if kind == 0:
            out += reader.take(size)
        elif kind == 1:
            out += reader.take(1) * size
        else:
            check(kind == 2, "a reserved kind of block")
            block(reader.take(size), out, memory)
    reader.take(4 * checksum)
    check(len(out) == expected and reader.at == len(data), "a frame of another length")
    return bytes(out)


# -------------------------------------------------------------------------------------------------------- the stage `zstd`


def pack(symbols, width):
    value, held, out = 0, 0, bytearray()
    for symbol in symbols:
        value |= symbol << held
        held += width
        while held >= 8:
            out.append(value & 255)
            value >>= 8
            held -= 8
    if held:
        out.append(value)
    return bytes(out)


def unstage(data):
    reader = Reader(data)
    method = reader.u8()
    if method == 0:
        return data[1:]
    if method == 1:
        size = reader.varint()
        return zstd(data[reader.at :], size)
    tag = reader.u8()
    parameter = reader.u8() if tag == 1 else reader.varint() if tag == 3 else None
    count = reader.varint()
    frame = data[reader.at :]
    if method == 3:
        groups = zstd(frame, (count + 1) // 2)
        symbols = [symbol for group in groups for symbol in (group & 7, group >> 3 & 7)]
        return pack(symbols[:count], parameter)
    check(method == 2, "unknown method of the stage zstd")
    if tag == 0:
        return zstd(frame, count)
    if tag == 1:
        planes = zstd(frame, count * ((parameter + 7) // 8))
        wide = [sum(planes[p * count + n] << 8 * p for p in range((parameter + 7) // 8)) for n in range(count)]
        return pack(wide, parameter)
    if tag == 2:
        digits = zstd(frame, count) + bytes(4)
        return bytes(sum(digits[5 * n + k] * 3**k for k in range(5)) for n in range((count + 4) // 5))
    planes = zstd(frame, count * parameter)
    return bytes(planes[p * count + n] for n in range(count) for p in range(parameter))


# ----------------------------------------------------------------------------------------------------------------- records

TYPES = {0: "F32", 1: "F16", 2: "BF16"}


def record_header(data):
    reader = Reader(data)
    head = {"version": reader.u8()}
    check(head["version"] in (1, 2, 3), "a newer record")
    head["codec"] = bytes(reader.take(reader.u8())).decode()
    head["stage"] = bytes(reader.take(reader.u8())).decode()
    head["formats"] = reader.varint(), reader.varint()
    head["dtype"] = TYPES[reader.u8()]
    head["flags"] = reader.u8()
    head["shape"] = reader.numbers()
    head["params"] = bytes(reader.take(reader.varint()))
    head["layers"] = [
        [(reader.u8(), reader.varint()) for _ in range(reader.varint())] for _ in range(reader.varint())
    ]
    check(reader.u32() == crc32c(data[: reader.at - 4]), "a header's checksum differs")
    return head


def product(numbers):
    result = 1
    for number in numbers:
        result *= number
    return result


def matrix(shape, stacked):
    if len(shape) < 2:
        return 1, product(shape)
    if stacked:
        return product(shape[:-1]), shape[-1]
    return shape[0], product(shape[1:])


def bf16(value):
    """The nearest bfloat16, ties to even, the largest finite one beyond it."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    rounded = bits + 0x7FFF + (bits >> 16 & 1) >> 16
    return (bits >> 16 & 0x8000 | 0x7F7F) if rounded & 0x7FFF >= 0x7F80 else rounded


def element(value, dtype):
    if dtype == "F32":
        return struct.pack("<f", value)
    if dtype == "F16":
        return struct.pack("<e", max(-65504.0, min(65504.0, value)))
    return struct.pack("<H", bf16(value))


def special(bits, dtype):
    """NaN and infinity keep their payload as far as it fits."""
    if dtype == "F32":
        return struct.pack("<I", bits)
    if dtype == "F16":
        return struct.pack("<H", bits >> 16 & 0x8000 | 0x7C00 | bits >> 13 & 0x03FF)
    return struct.pack("<H", bits >> 16)


def rtn(head, segments):
    rows, columns = matrix(head["shape"], head["flags"] & 4)
    reader = Reader(head["params"])
    bits, symmetric, group = reader.u8(), reader.u8(), reader.varint()
    factor = 2.0 ** struct.unpack("<h", reader.take(2))[0]
    group = min(group, columns) if group else columns
    per_row = -(-columns // group)
    scales = struct.unpack("<%de" % (rows * per_row), segments[0])
    field = lambda data, n: int.from_bytes(data[n * bits >> 3 : (n * bits >> 3) + 2], "little") >> (n * bits & 7) & ((1 << bits) - 1)
    largest, values = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0], []
    for n in range(rows * columns):
        unit = n // columns * per_row + n % columns // group
        point = 1 << (bits - 1) if symmetric else field(segments[1], unit)
        value = (field(segments[2], n) - point) * scales[unit] * factor
        values.append(max(-largest, min(largest, value)))
    return values


def bring_up(exceptions, columns, values):
    """Multiplies loud rows by their powers of two."""
    largest, row = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0], 0
    for _ in range(exceptions.varint()):
        row += exceptions.varint()
        factor = 2.0 ** exceptions.u8()
        for n in range(row * columns, (row + 1) * columns):
            single = struct.unpack("<f", struct.pack("<f", values[n]))[0]
            values[n] = max(-largest, min(largest, single * factor))
        row += 1


def record(head, layer):
    check(crc32c(layer[:-4]) == struct.unpack("<I", layer[-4:])[0], "a layer's checksum differs")
    reader = Reader(layer)
    segments = [bytes(reader.take(size)) for _, size in head["layers"][0]]
    exceptions = Reader(segments.pop()) if head["flags"] & 1 else None
    columns = matrix(head["shape"], head["flags"] & 4)[1]
    if head["stage"]:
        check(head["stage"] == "zstd", "this reader knows the stage zstd, not " + head["stage"])
        segments = [unstage(segment) for segment in segments]
    count, dtype = product(head["shape"]), head["dtype"]
    if not count:
        return b""
    if head["codec"] == "raw":
        size = {0: 4, 1: 2, 2: 2}[head["params"][0]]
        cells = [segments[0][n * size : (n + 1) * size] for n in range(count)]
    else:
        check(head["codec"] == "rtn", "this reader knows the codecs raw and rtn, not " + head["codec"])
        values = rtn(head, segments)
        if head["flags"] & 8:
            bring_up(exceptions, columns, values)
        cells = [element(value, dtype) for value in values]
    if exceptions is not None:
        at = 0
        if head["flags"] & 2:
            end = 0
            for _ in range(exceptions.varint()):
                start = end + exceptions.varint()
                end = start + exceptions.varint()
                for n in range(start * columns, end * columns):
                    cells[n] = element(0.0, dtype)
        for _ in range(exceptions.varint()):
            at += exceptions.varint()
            bits = exceptions.u32()
            finite = bits >> 23 & 255 != 255
            cells[at] = element(struct.unpack("<f", struct.pack("<I", bits))[0], dtype) if finite else special(bits, dtype)
    return b"".join(cells)


# --------------------------------------------------------------------------------------------------------------- container


def read(data):
    """Metadata and tensors: dictionaries with name, dtype, shape and bytes."""
    reader = Reader(data)
    check(reader.take(4) == b"SDPR", "not a seedpress container")
    version, coding = reader.u8(), reader.u8()
    check(version in (1, 2), "a newer container")
    stored, decoded = reader.u32(), reader.u32()
    index = reader.take(stored)
    check(reader.u32() == crc32c(data[: 14 + stored]), "the index's checksum differs")
    inner = Reader(zstd(index, decoded) if coding else index)
    quality_major = inner.u8()
    filler = inner.varint() if version > 1 else 0
    check(reader.take(filler) == bytes(filler), "the filler is not zero")
    metadata = {}
    for _ in range(inner.varint()):
        key = inner.text()
        metadata[key] = inner.text()
    tensors = []
    for _ in range(inner.varint()):
        tensor = {"name": inner.text(), "kind": inner.u8(), "parts": []}
        if tensor["kind"] == 0:
            tensor["head"] = record_header(inner.take(inner.varint()))
            tensor["sizes"] = [4 + sum(size for _, size in layer) for layer in tensor["head"]["layers"]]
        elif tensor["kind"] == 1:
            tensor["dtype"], tensor["shape"] = inner.text(), inner.numbers()
            tensor["sizes"] = [inner.varint() + 4]
        else:
            check(tensor["kind"] == 2, "this reader knows no tensors of kind %d" % tensor["kind"])
            tensor["alias"], tensor["sizes"] = inner.varint(), []
        tensors.append(tensor)
    check(inner.at == len(inner.data), "bytes after the index's last tensor")
    deepest = max((len(tensor["sizes"]) for tensor in tensors), default=0)
    places = [(n, layer) for layer in range(deepest) for n, tensor in enumerate(tensors) if layer < len(tensor["sizes"])]
    if not quality_major:
        places.sort()
    for n, layer in places:
        tensors[n]["parts"].append(reader.take(tensors[n]["sizes"][layer]))
    check(reader.at == len(data), "bytes after the payload")
    for tensor in tensors:
        if tensor["kind"] == 0:
            head = tensor["head"]
            tensor["dtype"], tensor["shape"] = head["dtype"], head["shape"]
            tensor["bytes"] = record(head, tensor["parts"][0])
        elif tensor["kind"] == 1:
            body = tensor["parts"][0]
            check(crc32c(body[:-4]) == struct.unpack("<I", body[-4:])[0], "a checksum differs")
            tensor["bytes"] = body[:-4]
    for tensor in tensors:
        if tensor["kind"] == 2:
            other = tensors[tensor["alias"]]
            tensor.update({key: other[key] for key in ("dtype", "shape", "bytes")})
    return metadata, tensors


def read_shards(path, text):
    """The same of an index of shards."""
    index = json.loads(text)
    check(index["format"] == "sdp-shards" and index["version"] == 1, "no index of shards that this reader knows")
    metadata, tensors, seen = {}, [], set()
    for number, shard in enumerate(index["shards"]):
        name = shard["file"]
        check(name not in ("", ".", "..") and not set(name) & set("/\\:\0"), "a shard that is no plain file name")
        check(name not in seen, "a shard that is named twice")
        seen.add(name)
        with open(os.path.join(os.path.dirname(path), name), "rb") as file:
            data = file.read()
        check(len(data) == shard["bytes"], "a shard of another length")
        own, part = read(data)
        mark = "%d/%d %s" % (number + 1, len(index["shards"]), index["set"])
        check(own.pop("sdp:shard", None) == mark, "a shard of another run")
        check(not set(own) & set(metadata), "a key of metadata in two shards")
        check(all(index["weight_map"].get(tensor["name"]) == name for tensor in part), "a tensor in another shard")
        metadata.update(own)
        tensors += part
    check(len({tensor["name"] for tensor in tensors}) == len(tensors) == len(index["weight_map"]), "missing tensors")
    return metadata, tensors


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    metadata, tensors = read(data) if data[:4] == b"SDPR" else read_shards(sys.argv[1], data)
    for key, value in sorted(metadata.items()):
        print("metadata", repr(key), repr(value))
    for n, tensor in enumerate(tensors):
        print(n, tensor["dtype"], tensor["shape"], repr(tensor["name"]))
        if len(sys.argv) > 2:
            with open("%s/%d.bin" % (sys.argv[2], n), "wb") as file:
                file.write(tensor["bytes"])


if __name__ == "__main__":
    main()
