"""Decodes every stream beside it from the formats' descriptions alone and compares the hash: python decode.py, without packages.

Coded integers are read by the second decoder of `seedpress-entropy`.
"""
import importlib.util
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("entropy", HERE.parents[2] / "entropy/tests/golden/decode.py")
entropy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(entropy)


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def lloyd_max(params, codebook, indices, count):
    (bits,) = params
    levels = struct.unpack(f"<{1 << bits}f", codebook)
    return [levels[index] for index in entropy.fields(indices, bits, count)]


def ecsq(params, codebook, indices, count):
    (step,) = struct.unpack("<f", params)
    offsets = struct.unpack(f"{len(codebook)}b", codebook)
    assert len(offsets) <= 16
    out = []
    for value in entropy.tokens(indices, count):
        magnitude = (value + 1) // 2
        offset = offsets[magnitude - 1] if 0 < magnitude <= len(offsets) else 0
        level = single((magnitude + offset / 256) * step)
        out.append(level if value & 1 else -level)
    return out


if __name__ == "__main__":
    for path in sorted(HERE.glob("*.txt")):
        field = dict(line.split(" ", 1) for line in path.read_text().splitlines())
        count = 100 if path.stem.startswith("lloyd") else 3000 if path.stem == "ecsq-2" else 400
        codec = lloyd_max if path.stem.startswith("lloyd") else ecsq
        values = codec(*(bytes.fromhex(field[key]) for key in ("params", "codebook", "indices")), count)
        hash = 0xCBF29CE484222325
        for byte in struct.pack(f"<{count}f", *values):
            hash = (hash ^ byte) * 0x100000001B3 & entropy.MASK
        assert f"{hash:016x}" == field["fnv1a"], path.stem
        print(path.stem, "agrees")
