"""Decodes every stream beside it from the format's description alone and compares the hash: python decode.py, with numpy."""
import pathlib

import numpy as np


def decode(params, segments, rows, columns):
    bits, group, power = params[0], params[1], int.from_bytes(params[2:4], "little", signed=True)
    assert len(params) == 4 and group < 128
    size = min(group or columns, columns)
    groups = -(-columns // size)
    scale, zero = (np.frombuffer(part, "<f2").astype(np.float32).reshape(rows, groups) for part in segments[:2])
    data = np.unpackbits(np.frombuffer(segments[2], np.uint8), bitorder="little")[: rows * columns * bits]
    codes = (data.reshape(-1, bits) @ (1 << np.arange(bits))).reshape(rows, columns).astype(np.float32)
    of = np.arange(columns) // size
    return np.ldexp((codes - zero[:, of]) * scale[:, of], power)


if __name__ == "__main__":
    for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")):
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
        rows, columns = (int(side) for side in dict(lines)["shape"].split())
        segments = [bytes.fromhex(text) for key, text in lines if key in ("scales", "indices")]
        hash = 0xCBF29CE484222325
        for byte in decode(bytes.fromhex(dict(lines)["params"]), segments, rows, columns).astype("<f4").tobytes():
            hash = (hash ^ byte) * 0x100000001B3 & 2**64 - 1
        assert f"{hash:016x}" == dict(lines)["fnv1a"], path.stem
        print(path.stem, "agrees")
