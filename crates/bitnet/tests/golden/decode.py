"""Decodes every .record beside it into a .f32, from the formats' descriptions alone: python decode.py, with numpy installed."""
import pathlib
import numpy as np


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def power(self):
        return 2.0 ** int(np.frombuffer(self.take(2), "<i2")[0])


def record(data):
    """Codec, shape, parameters, segments of the layers."""
    r = Bytes(data)
    assert r.take(1) == b"\1"
    codec, stage = (r.take(r.take(1)[0]).decode() for _ in range(2))
    assert stage == "" and (r.varint(), r.varint()) == (1, 0)
    r.take(2)
    shape = [r.varint() for _ in range(r.varint())]
    params = Bytes(r.take(r.varint()))
    lengths = [[(r.take(1), r.varint())[1] for _ in range(r.varint())] for _ in range(r.varint())]
    r.take(4)
    layers = []
    for layer in lengths:
        layers.append([r.take(length) for length in layer])
        r.take(4)
    assert r.at == len(data)
    return codec, shape, params, layers


for path in sorted(pathlib.Path(__file__).parent.glob("*.record")):
    codec, (rows, columns), params, layers = record(path.read_bytes())
    scope = params.take(1)[0]
    group, power = params.varint(), params.power()
    total = np.zeros((rows, columns), np.float32)
    for scales, trits in layers:
        digits = np.frombuffer(trits, np.uint8).astype(np.int64)[:, None] // 3 ** np.arange(5) % 3 - 1
        digits = digits.reshape(-1)[:rows * columns].reshape(rows, columns).astype(np.float32)
        unit = np.arange(columns) // (min(group, columns) if scope == 2 else columns)
        levels = np.frombuffer(scales, "<f4" if scope == 0 else "<f2").astype(np.float32)
        levels = np.broadcast_to(levels.reshape(1 if scope == 0 else rows, -1), (rows, unit[-1] + 1))[:, unit]
        total += digits * levels
    assert params.at == len(params.data)
    (total.astype(np.float64) * power).astype("<f4").tofile(path.with_suffix(".f32"))
