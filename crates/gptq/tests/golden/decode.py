"""Decodes every stream beside it from the format's description alone and compares the hash: python decode.py, without packages."""
import math
import pathlib
import struct


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def packed(data, width, count):
    bits = int.from_bytes(data, "little")
    assert len(data) == -(-count * width // 8)
    return [bits >> i * width & (1 << width) - 1 for i in range(count)]


def decode(params, segments, rows, columns):
    bits, kind = params[0], params[1]
    group, shift, at = 0, 0, 2
    while True:
        group |= (params[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if params[at - 1] < 128:
            break
    (power,) = struct.unpack("<h", params[at:])
    size = min(group or columns, columns)
    groups = -(-columns // size)
    segments = list(segments)
    scales = struct.unpack(f"<{rows * groups}e", segments.pop(0))
    zeros = segments.pop(0)
    zeros = [1 << bits - 1] * (rows * groups) if kind & 1 else packed(zeros, bits, rows * groups)
    group_of, inputs = [column // size for column in range(columns)], [1.0] * columns
    if kind & 2:
        group_of = packed(segments.pop(0), max(1, (groups - 1).bit_length()), columns)
    if kind & 4:
        inputs = struct.unpack(f"<{columns}e", segments.pop(0))
    (codes,) = segments
    out = []
    for at, code in enumerate(packed(codes, bits, rows * columns)):
        row, column = divmod(at, columns)
        unit = row * groups + group_of[column]
        value = single((code - zeros[unit]) * scales[unit])
        out.append(single(math.ldexp(single(value / inputs[column]), power)))
    return out


if __name__ == "__main__":
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
        rows, columns = (int(side) for side in dict(lines)["shape"].split())
        segments = [bytes.fromhex(text) for key, text in lines if key == "segment"]
        hash = 0xCBF29CE484222325
        for byte in struct.pack(f"<{rows * columns}f", *decode(bytes.fromhex(dict(lines)["params"]), segments, rows, columns)):
            hash = (hash ^ byte) * 0x100000001B3 & 2**64 - 1
        assert f"{hash:016x}" == dict(lines)["fnv1a"], path.stem
        print(path.stem, "agrees")
