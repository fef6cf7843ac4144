"""Codecs for the chunks of zarr arrays of floats, through numcodecs.

Installed as an entry point: ``numcodecs.get_codec({"id": "seedpress", "codec": "rtn:bits=8"})`` finds it without an import.

>>> import zarr                                                                             # doctest: +SKIP
>>> zarr.create_array("a.zarr", data=values, compressors=Seedpress("trellis:bits=4"), zarr_format=2)   # doctest: +SKIP

Codecs lose precision unless they are named as lossless in :func:`seedpress.codecs`; each chunk is a tensor of its own, with scales of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray_like, ensure_ndarray, ndarray_copy
from numcodecs.registry import register_codec

from . import _native
from ._codecs import compress, decompress


class Seedpress(Codec):
    """Any codec of seedpress as a codec of numcodecs.

    Args:
        codec: As in :func:`seedpress.compress`.
        threads: Threads; 0 takes every processor. Not part of the array's metadata.

    Raises:
        ConfigError: No such codec or option.
    """

    codec_id = "seedpress"

    def __init__(self, codec: str, threads: int = 0) -> None:
        self.codec = _native.name(codec)
        self._threads = threads

    def encode(self, buf: Any) -> bytes:
        """Compresses a chunk of float32, float16 or bfloat16.

        Raises:
            TypeError: A chunk of another type.
        """
        chunk = ensure_ndarray(buf)
        return compress(chunk, self.codec, name="", threads=self._threads)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Restores a chunk.

        Raises:
            DecodeError: Damaged data.
        """
        data = ensure_contiguous_ndarray_like(buf)
        decoded = decompress(np.asarray(data).view(np.uint8).reshape(-1), threads=self._threads)
        return decoded if out is None else ndarray_copy(decoded, out)

    def get_config(self) -> dict[str, Any]:
        """What an array's metadata holds."""
        return {"id": self.codec_id, "codec": self.codec}

    def __repr__(self) -> str:
        return f"Seedpress({self.codec!r})"


register_codec(Seedpress)
