"""numcodecs and zarr."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import seedpress

from .conftest import Note, run

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


def test_a_zarr_array_of_format_2(tmp_path: Path, note: Note) -> None:
    zarr = pytest.importorskip("zarr")
    from seedpress.numcodecs import Seedpress

    values = np.random.default_rng(0).normal(size=(100, 70)).astype(np.float32)
    for codec, exact in [("raw+planes+ans", True), ("trellis:bits=6", False)]:
        place = tmp_path / codec.split(":")[0]
        made = zarr.create_array(place, shape=values.shape, chunks=(32, 32), dtype="f4", compressors=Seedpress(codec), zarr_format=2)
        made[:] = values
        back = zarr.open_array(place, mode="r")[:]
        assert float(np.abs(back - values).max()) < (1e-9 if exact else 0.3)
    note("zarr format 2, `raw+planes+ans` and `trellis:bits=6` through numcodecs", "read back, exactly and within 6 bits")


def test_a_zarr_array_of_format_3(tmp_path: Path, note: Note) -> None:
    zarr = pytest.importorskip("zarr", minversion="3")
    from seedpress.zarr import Seedpress

    values = np.random.default_rng(0).normal(size=(100, 70)).astype(np.float32)
    for dtype in ("f4", "f2", ">f4"):
        array = values.astype(dtype)
        for codec, furthest in [("raw+planes+ans", 0.0), ("trellis:bits=6", 0.3)]:
            place = tmp_path / f"{dtype}-{codec.split(':')[0]}"
            zarr.create_array(place, data=array, chunks=(32, 32), serializer=Seedpress(codec), compressors=None)
            back = zarr.open_array(place, mode="r")
            assert "seedpress" in (place / "zarr.json").read_text()
            assert back.dtype == array.dtype.newbyteorder("=") and float(np.abs(back[:].astype(float) - array.astype(float)).max()) <= furthest
            np.testing.assert_array_equal(back[40:50, 3], back[:][40:50, 3])
    # In shards, and with a compressor behind it.
    made = zarr.create_array(
        tmp_path / "shards", data=values, chunks=(32, 32), shards=(64, 64), serializer=Seedpress("raw"), compressors="auto"
    )
    np.testing.assert_array_equal(made[:], values)
    with pytest.raises(TypeError, match="int64"):
        zarr.create_array(tmp_path / "whole", data=np.arange(9), serializer=Seedpress("raw"))
    with pytest.raises(seedpress.ConfigError):
        Seedpress("nothing")
    note("zarr format 3, `raw+planes+ans` and `trellis:bits=6` as serializer, in shards too", "read back, exactly and within 6 bits")


def test_zarr_finds_it_by_name_without_an_import(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", minversion="3")
    from seedpress.zarr import Seedpress

    values = np.ones((10, 10), np.float32)
    zarr.create_array(tmp_path / "a", data=values, serializer=Seedpress("raw"), compressors=None)
    script = f"import zarr; print(float(zarr.open_array({str(tmp_path / 'a')!r})[:].sum()))"
    assert run(sys.executable, "-c", script) == "100.0\n"
