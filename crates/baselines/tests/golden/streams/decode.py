"""Decodes every .record beside it into a .f32, from the formats' descriptions alone: python decode.py, with numpy installed."""
import pathlib
import numpy as np

NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                0.7229568362236023, 1.0], dtype=np.float32)


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


def symbols(data, width, count):
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:count * width]
    return (bits.reshape(count, width) << np.arange(width)).sum(1).astype(np.int64)


def shifted(values, power):
    return (np.asarray(values, np.float32).astype(np.float64) * power).astype(np.float32)


def rtn(shape, params, layers):
    bits, symmetric = params.take(2)
    group, power = params.varint(), params.power()
    rows, columns = shape
    group = min(group or columns, columns)
    scales, points, codes = layers[0]
    scales = np.frombuffer(scales, "<f2").astype(np.float32).reshape(rows, -1)
    points = np.full(scales.size, 1 << (bits - 1)) if symmetric else symbols(points, bits, scales.size)
    codes = symbols(codes, bits, rows * columns).reshape(rows, columns)
    unit = np.arange(columns) // group
    steps = (codes - points.reshape(rows, -1)[:, unit]).astype(np.float32)
    return shifted(steps * scales[:, unit], power)


def nf4(shape, params, layers):
    block, double = params.varint(), params.take(1)[0]
    count = int(np.prod(shape))
    scales, scale_codes, codes = layers[0]
    maxima = np.frombuffer(scales, "<f4")
    if double:
        mean = np.float64(np.frombuffer(params.take(4), "<f4")[0])
        at = np.frombuffer(scale_codes, np.uint8).astype(np.float64) - 127
        maxima = np.clip(mean + maxima.astype(np.float64)[np.arange(at.size) // 256] * at / 127, 0, None).astype(np.float32)
    return NF4[symbols(codes, 4, count)] * maxima[np.arange(count) // block]


def cast(kind, data):
    if kind == "bf16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"f32": "<f4", "f16": "<f2"}[kind]).astype(np.float32)


for path in sorted(pathlib.Path(__file__).parent.glob("*.record")):
    codec, shape, params, layers = record(path.read_bytes())
    match codec:
        case "raw":
            values = cast(["f32", "f16", "bf16"][params.take(1)[0]], layers[0][0])
        case "f16" | "bf16":
            values = cast(codec, layers[0][0])
        case "zeros":
            values = np.zeros(shape, np.float32)
        case "rtn":
            values = rtn(shape, params, layers)
        case "nf4":
            values = nf4(shape, params, layers)
    assert params.at == len(params.data)
    np.asarray(values, "<f4").tofile(path.with_suffix(".f32"))
