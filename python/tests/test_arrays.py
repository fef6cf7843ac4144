"""One array to bytes and back."""

from __future__ import annotations

import ctypes
import io

import numpy as np
import pytest

import seedpress

WEIGHTS = [np.float32, np.float16]
OTHERS = ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "d", "F", "D", "g", "O", "S3", "U2", "M8[s]", "m8[s]", "V5"]


def error(original: np.ndarray, decoded: np.ndarray) -> float:
    original, decoded = original.astype(np.float64), decoded.astype(np.float64)
    return float(np.linalg.norm(original - decoded) / max(np.linalg.norm(original), 1e-300))


@pytest.mark.parametrize("codec", sorted(seedpress.codecs()))
def test_every_codec_restores_shape_and_type(codec: str, weights: np.ndarray) -> None:
    for dtype in WEIGHTS:
        data = seedpress.compress(weights[:16].astype(dtype), codec)
        back = seedpress.decompress(data)
        assert back.shape == (16, 256) and back.dtype == dtype and back.flags.writeable
        assert codec == "zeros" or error(weights[:16], back) < 0.8
        assert data == seedpress.compress(weights[:16].astype(dtype), codec, threads=1)


def test_layouts_make_no_difference(weights: np.ndarray) -> None:
    expected = seedpress.compress(weights, "rtn")
    read_only = weights.copy()
    read_only.setflags(write=False)
    doubled = np.zeros((64, 512), np.float32)
    doubled[:, ::2] = weights
    alike = [
        np.asfortranarray(weights),
        weights.astype(">f4"),
        doubled[:, ::2],
        weights[::-1][::-1],
        read_only,
        np.frombuffer(weights.tobytes(), np.float32).reshape(64, 256),
        np.frombuffer(b"x" + weights.tobytes(), np.uint8)[1:].view(np.float32).reshape(64, 256),
        memoryview(weights),
    ]
    for array in alike:
        assert seedpress.compress(array, "rtn") == expected


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (3, 0), (7,), (2, 3, 4), (1, 1, 1, 1, 1), (2,) * 10])
@pytest.mark.parametrize("codec", ["raw", "rtn", "trellis:bits=2", "q4_0", "seedlm-progressive:layers=1"])
def test_shapes(shape: tuple[int, ...], codec: str) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    back = seedpress.decompress(seedpress.compress(array, codec))
    assert back.shape == shape
    if codec == "raw":
        np.testing.assert_array_equal(back, array)


def test_non_finite_values_are_kept_or_refused(weights: np.ndarray) -> None:
    weights[3, 5], weights[4, 6], weights[4, 7] = np.nan, np.inf, -np.inf
    back = seedpress.decompress(seedpress.compress(weights, "rtn"))
    np.testing.assert_array_equal(back[~np.isfinite(weights)], weights[~np.isfinite(weights)])
    with pytest.raises(seedpress.NonFiniteError, match="3 NaN or infinite") as raised:
        seedpress.compress(weights, "rtn", non_finite="reject", name="w")
    assert (raised.value.tensor, raised.value.count, raised.value.first) == ("w", 3, 3 * 256 + 5)


@pytest.mark.parametrize("dtype", OTHERS)
def test_other_types_are_refused_by_name(dtype: str) -> None:
    with pytest.raises(TypeError, match="float32|no file is made"):
        seedpress.compress(np.zeros(4, dtype), "rtn")


def test_what_is_no_array_is_refused() -> None:
    for value in [None, "text", object(), {"a": 1}, [[1.0], [1.0, 2.0]], np.ma.masked_array([1.0], [True])]:
        with pytest.raises(TypeError):
            seedpress.compress(value, "rtn")


def test_a_codec_that_does_not_exist_is_an_error_that_helps(weights: np.ndarray) -> None:
    with pytest.raises(seedpress.ConfigError, match="did you mean `trellis`"):
        seedpress.compress(weights, "treliss")
    with pytest.raises(ValueError, match="bits"):
        seedpress.compress(weights, "rtn:bits=99")


def test_zeros_come_back_however_small_they_get() -> None:
    zeros = np.zeros((3000, 4000), np.float32)
    for codec in ["zeros", "rtn+zstd", "trellis:bits=1+ans", "raw+zstd"]:
        data = seedpress.compress(zeros, codec)
        assert len(data) < zeros.nbytes / 25
        np.testing.assert_array_equal(seedpress.decompress(data), zeros)


def test_prefixes_and_damage(weights: np.ndarray) -> None:
    data = seedpress.compress(weights, "trellis-progressive")
    found = seedpress.inspect(data)
    assert found["complete"] and found["tensors"][0]["layers"] > 1
    whole, first = seedpress.decompress(data), seedpress.decompress(data, layers=1)
    assert error(weights, whole) < error(weights, first)
    cut = data[: len(data) * 9 // 10]
    assert error(weights, whole) < error(weights, seedpress.decompress(cut)) <= error(weights, first)
    with pytest.raises(seedpress.TruncatedError) as raised:
        seedpress.decompress(data[:100])
    assert raised.value.needed > raised.value.have
    damaged = bytearray(data)
    damaged[-20] ^= 1
    with pytest.raises(seedpress.CorruptError) as corrupt:
        seedpress.decompress(damaged)
    assert corrupt.value.layer == found["tensors"][0]["layers"] - 1
    for nonsense in [b"", b"SDPR", b"\0" * 100, data + b"x"]:
        with pytest.raises(seedpress.DecodeError):
            seedpress.decompress(nonsense)
    with pytest.raises(seedpress.LimitError, match="max_memory"):
        seedpress.decompress(data, max_memory=1000)


def test_anything_bytes_like_decodes(weights: np.ndarray) -> None:
    data = seedpress.compress(weights, "rtn")
    expected = seedpress.decompress(data)
    buffer = (ctypes.c_char * len(data)).from_buffer_copy(data)
    for alike in [bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), io.BytesIO(data).getbuffer(), buffer]:
        np.testing.assert_array_equal(seedpress.decompress(alike), expected)
    for other in ["text", 3, None]:
        with pytest.raises(TypeError):
            seedpress.decompress(other)


def test_bfloat16_in_numpy(weights: np.ndarray) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    narrow = weights.astype(ml_dtypes.bfloat16)
    back = seedpress.decompress(seedpress.compress(narrow, "raw"))
    assert back.dtype == narrow.dtype
    np.testing.assert_array_equal(back, narrow)


def test_the_list_of_codecs_has_schemas() -> None:
    found = seedpress.codecs()
    assert found["trellis"].uses_calibration is False or found["trellis"].targets_bits
    assert found["raw"].lossless and "bits" in found["trellis"].schema["properties"]
    assert {"zstd", "ans"} <= set(seedpress.stages())


def test_dlpack_without_numpy_conversion(weights: np.ndarray) -> None:
    class Foreign:
        def __dlpack__(self, **options: object) -> object:
            return weights.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return weights.__dlpack_device__()

    assert seedpress.compress(Foreign(), "rtn") == seedpress.compress(weights, "rtn")
