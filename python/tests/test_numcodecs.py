"""numcodecs and zarr."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import seedpress

numcodecs = pytest.importorskip("numcodecs")


def test_numcodecs_finds_it_by_name(weights: np.ndarray) -> None:
    codec = numcodecs.get_codec({"id": "seedpress", "codec": "rtn:bits=8"})
    assert codec.get_config() == {"id": "seedpress", "codec": "rtn:bits=8"}
    assert codec == numcodecs.get_codec(codec.get_config()) and "rtn:bits=8" in repr(codec)
    encoded = codec.encode(weights)
    back = codec.decode(encoded)
    np.testing.assert_array_equal(back, seedpress.decompress(seedpress.compress(weights, "rtn:bits=8", name="")))
    out = np.zeros_like(weights)
    codec.decode(encoded, out)
    np.testing.assert_array_equal(out, back)
    with pytest.raises(TypeError, match="int64"):
        codec.encode(np.arange(5))
    with pytest.raises(seedpress.ConfigError):
        numcodecs.get_codec({"id": "seedpress", "codec": "nothing"})


def test_a_zarr_array_of_floats(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    from seedpress.numcodecs import Seedpress

    values = np.random.default_rng(0).normal(size=(100, 70)).astype(np.float32)
    for codec, exact in [("raw+planes+ans", True), ("trellis:bits=6", False)]:
        place = tmp_path / codec.split(":")[0]
        made = zarr.create_array(place, shape=values.shape, chunks=(32, 32), dtype="f4", compressors=Seedpress(codec), zarr_format=2)
        made[:] = values
        back = zarr.open_array(place, mode="r")[:]
        assert float(np.abs(back - values).max()) < (1e-9 if exact else 0.3)
