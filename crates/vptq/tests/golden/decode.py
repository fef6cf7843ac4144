"""Decodes every stream beside it from the format's description alone and compares the hash: python decode.py, with numpy."""
import pathlib

import numpy as np


def packed(data, width, count):
    assert len(data) == -(-count * width // 8)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * width]
    return bits.reshape(count, width).astype(np.int64) @ (1 << np.arange(width))


def decode(params, segments, rows, columns):
    lying, power, count = params[0], int.from_bytes(params[1:3], "little", signed=True), params[3]
    books = [tuple(params[4 + 3 * i : 7 + 3 * i]) for i in range(count)]
    assert len(params) == 4 + 3 * count
    shape = (rows, columns)
    if lying:
        rows, columns = columns, 1
    segments = list(segments)
    classes = packed(segments.pop(0), max(1, (count - 1).bit_length()), columns) if count > 1 else np.zeros(columns, int)
    out = np.zeros((rows, columns), np.float32)
    for number, (length, first, second) in enumerate(books):
        codewords = np.frombuffer(segments.pop(0), "<f2").astype(np.float32).reshape(-1, length)
        own = np.flatnonzero(classes == number)
        vectors = -(-rows // length)
        index = packed(segments.pop(0), first + second, len(own) * vectors)
        values = codewords[index % 2**first]
        if second:
            values = values + codewords[2**first :][index >> first]
        out[:, own] = values.reshape(len(own), vectors * length)[:, :rows].T
    assert not segments
    return np.ldexp(out, power).reshape(shape)


if __name__ == "__main__":
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
        rows, columns = (int(side) for side in dict(lines)["shape"].split())
        segments = [bytes.fromhex(text) for key, text in lines if key in ("tables", "codebook", "indices")]
        hash = 0xCBF29CE484222325
        for byte in decode(bytes.fromhex(dict(lines)["params"]), segments, rows, columns).astype("<f4").tobytes():
            hash = (hash ^ byte) * 0x100000001B3 & 2**64 - 1
        assert f"{hash:016x}" == dict(lines)["fnv1a"], path.stem
        print(path.stem, "agrees")
