"""Ten thousand calls with whatever an array may be: each works or raises an error that says why, and the interpreter lives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import seedpress

from .conftest import Note

try:
    import ml_dtypes

    NARROW = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"]
except ImportError:
    NARROW = []

CALLS = 10_000
CODECS = [
    "raw", "f16", "bf16", "zeros", "rtn", "rtn:bits=2+ans", "nf4", "q4_0", "q6_k", "bitnet", "lloyd-max", "ecsq:bits=2",
    "trellis:bits=2", "bitshift", "rtn+zstd", "raw+planes+ans", "no-such-codec", "rtn:bits=77", "rtn+", "", ":", "a:b=c+d",
]  # fmt: skip
DTYPES = ["f4", "f4", "f4", "f2", "f2", ">f4", ">f2", "f8", "i1", "u2", "i4", ">i8", "?", "c8", "c16", "O", "S4", "M8[ns]", "f4,i2", "g", "U3"]
OBJECTS = ("O", "S4", "M8[ns]", "f4,i2", "U3")
EXPECTED = (TypeError, ValueError, seedpress.SeedpressError, ImportError)


def random_array(random: np.random.Generator) -> np.ndarray:
    rank = int(random.integers(0, 6))
    shape = tuple(int(side) for side in random.choice([0, 1, 2, 3, 5, 8, 17, 33], rank))
    while np.prod(shape) > 4096:
        shape = shape[1:]
    dtype = str(random.choice(DTYPES + 2 * NARROW))
    values = random.normal(size=shape) * 10.0 ** random.integers(-40, 39)
    with np.errstate(all="ignore"):
        if dtype in OBJECTS:
            array = np.empty(shape, dtype)
        else:
            array = values.astype("f4").astype(np.dtype(getattr(ml_dtypes, dtype)) if dtype in NARROW else dtype)
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


def test_no_array_crashes_the_interpreter(note: Note) -> None:
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
                    assert np.array_equal(back.astype(float), array.astype(float), equal_nan=True)
            worked += 1
        except EXPECTED as error:
            assert str(error) and "bug" not in str(error), (array.dtype, array.shape, codec, error)
            refused += 1
    assert worked > CALLS // 8 and refused > CALLS // 10, (worked, refused)
    note("random arrays: every type, layout and shape, whole, cut and damaged", f"{CALLS:,} calls: {worked:,} worked, {refused:,} refused")


def damaged(random: np.random.Generator, data: bytes) -> bytes:
    """A file that was cut, or in which bytes were changed, moved or added; most changes are where the index is."""
    made = bytearray(data)
    for _ in range(random.integers(1, 4)):
        near = int(random.integers(1, 200)) if random.random() < 0.6 else len(made)
        at = int(random.integers(0, max(1, min(near, len(made)))))
        kind = random.integers(0, 6)
        if kind == 0:
            made = made[:at]
        elif kind == 1:
            made[at:at] = random.bytes(int(random.integers(1, 9)))
        elif kind == 2:
            del made[at : at + int(random.integers(1, 9))]
        elif kind == 3 and len(made) > at + 8:
            made[at : at + 8] = random.bytes(8)
        elif len(made) > at:
            made[at] ^= 1 << random.integers(8)
    return bytes(made)


def test_no_file_crashes_the_interpreter(tmp_path: Path, note: Note) -> None:
    random = np.random.default_rng(7)
    tensors = {
        "a.weight": random.normal(size=(40, 48)).astype("f4"),
        "b.weight": random.normal(size=(40, 48)).astype("f2"),
        "steps": np.arange(5),
        "empty": np.zeros((0, 3), "f4"),
    }
    tensors["tied"] = tensors["a.weight"].copy()
    whole = []
    for codec in ("rtn:bits=3+ans", "trellis-progressive", "raw+zstd", "q4_k"):
        seedpress.save_file(tensors, tmp_path / "whole.sdp", codec)
        whole.append((tmp_path / "whole.sdp").read_bytes())
    place, worked, refused = tmp_path / "damaged.sdp", 0, 0
    for turn in range(CALLS // 5):
        place.write_bytes(damaged(random, whole[turn % len(whole)]))
        layers = int(random.integers(1, 4)) if random.random() < 0.3 else None
        max_bytes = int(random.integers(0, 4000)) if random.random() < 0.3 else None

        def by_tensor() -> None:
            with seedpress.open(place, layers=layers, max_bytes=max_bytes) as file:
                for name in list(file)[:2]:
                    file[name].load(), file[name].shape, file[name].dtype
                    np.asarray(file[name])

        calls = [
            lambda: seedpress.load_file(place, layers=layers, max_bytes=max_bytes, threads=1),
            by_tensor,
            lambda: seedpress.inspect(place),
            lambda: seedpress.inspect(place.read_bytes()),
            lambda: seedpress.decompress(place.read_bytes()),
        ]
        for call in calls:
            try:
                call()
                worked += 1
            except EXPECTED as error:
                assert str(error) and not isinstance(error, seedpress.InternalError), error
                refused += 1
    assert worked > CALLS // 50 and refused > CALLS // 4, (worked, refused)
    note("files cut, damaged and grown: `open`, `load_file`, `inspect`, `decompress`",
         f"{worked + refused:,} calls: {worked:,} worked, {refused:,} refused")  # fmt: skip


def test_no_state_dict_crashes_the_interpreter(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    names = ["w", "a.b.weight", "", " ", "\x00", "\n", "ä", "\U0001f600", "x" * 5000, "../w", "__metadata__", "w"]
    worked = refused = 0
    for _ in range(CALLS // 10):
        count = int(random.integers(0, 5))
        tensors = {str(random.choice(names)): random_array(random) for _ in range(count)}
        codec = str(random.choice(CODECS))
        try:
            seedpress.save_file(tensors, tmp_path / "m.sdp", codec, keep_below=0, threads=1)
            back = seedpress.load_file(tmp_path / "m.sdp", threads=1)
            assert {name: tensor.shape for name, tensor in back.items()} == {name: tensor.shape for name, tensor in tensors.items()}
            worked += 1
        except EXPECTED as error:
            assert str(error) and not isinstance(error, seedpress.InternalError), error
            refused += 1
    assert worked > CALLS // 100 and refused > CALLS // 100, (worked, refused)
    assert [path.name for path in tmp_path.iterdir()] == ["m.sdp"]


@pytest.mark.parametrize("codec", ["rtn", "trellis:bits=2"])
def test_statistics_of_every_kind(codec: str, tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    for _ in range(300):
        array = random_array(random)
        try:
            known = seedpress.Calibration.from_inputs(array)
            weight = random.normal(size=(8, known.columns)).astype("f4")
            seedpress.compress(weight, f"{codec},hessian=full" if ":" in codec else f"{codec}:hessian=full", calibration=known, threads=1)
        except EXPECTED as error:
            assert str(error) and not isinstance(error, seedpress.InternalError), error
