"""Ten thousand calls with whatever an array may be: each works or raises an error that says why, and the interpreter lives."""

from __future__ import annotations

import numpy as np

import seedpress

CALLS = 10_000
CODECS = [
    "raw", "f16", "bf16", "zeros", "rtn", "rtn:bits=2+ans", "nf4", "q4_0", "q6_k", "bitnet", "lloyd-max", "ecsq:bits=2",
    "trellis:bits=2", "bitshift", "rtn+zstd", "raw+planes+ans", "no-such-codec", "rtn:bits=77", "rtn+", "", ":", "a:b=c+d",
]  # fmt: skip
DTYPES = ["f4", "f4", "f4", "f2", "f2", ">f4", ">f2", "f8", "i1", "u2", "i4", ">i8", "?", "c8", "c16", "O", "S4", "M8[ns]"]
EXPECTED = (TypeError, ValueError, seedpress.SeedpressError, ImportError)


def random_array(random: np.random.Generator) -> np.ndarray:
    rank = int(random.integers(0, 6))
    shape = tuple(int(side) for side in random.choice([0, 1, 2, 3, 5, 8, 17, 33], rank))
    while np.prod(shape) > 4096:
        shape = shape[1:]
    dtype = str(random.choice(DTYPES))
    values = random.normal(size=shape) * 10.0 ** random.integers(-40, 39)
    with np.errstate(all="ignore"):
        array = values.astype("f4").astype(dtype) if dtype not in ("O", "S4", "M8[ns]") else np.empty(shape, dtype)
    if array.size and array.dtype.kind == "f" and random.random() < 0.2:
        array.reshape(-1)[random.integers(array.size)] = random.choice([np.nan, np.inf, -np.inf])
    kind = random.integers(0, 6)
    if kind == 1:
        array = np.asfortranarray(array)
    elif kind == 2 and array.ndim:
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    elif kind == 3 and array.ndim:
        array = array[::-1]
    elif kind == 4:
        array = array.T
    elif kind == 5:
        array = np.broadcast_to(array, (2, *array.shape))
    if random.random() < 0.3:
        array.setflags(write=False)
    return array


def test_no_array_crashes_the_interpreter() -> None:
    random = np.random.default_rng(20_240_601)
    worked = refused = 0
    for _ in range(CALLS):
        array, codec = random_array(random), str(random.choice(CODECS))
        try:
            data = seedpress.compress(array, codec, threads=1)
            if random.random() < 0.3:
                cut = bytearray(data[: random.integers(len(data) + 1)])
                if cut:
                    cut[random.integers(len(cut))] ^= 1 << random.integers(8)
                data = cut
                seedpress.decompress(data, threads=1)
            else:
                back = seedpress.decompress(data, threads=1)
                assert back.shape == array.shape and back.dtype == array.dtype.newbyteorder("=")
                if codec in ("raw", "raw+planes+ans"):
                    np.testing.assert_array_equal(back, array)
            worked += 1
        except EXPECTED as error:
            assert str(error) and "bug" not in str(error), (array.dtype, array.shape, codec, error)
            refused += 1
    assert worked > CALLS // 8 and refused > CALLS // 10, (worked, refused)
