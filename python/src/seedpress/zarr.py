"""Any codec of seedpress as what turns the chunks of a zarr 3 array into bytes.

Installed as an entry point: zarr finds it by the name in an array's metadata. For zarr format 2, and numcodecs elsewhere, see
:mod:`seedpress.numcodecs`.

>>> import seedpress.zarr, zarr                                                             # doctest: +SKIP
>>> zarr.create_array("a.zarr", data=values, serializer=seedpress.zarr.Seedpress("trellis:bits=4"), compressors=None)  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.registry import register_codec

from . import _native
from ._codecs import compress, decompress

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "seedpress"
"""What an array's metadata calls it."""


@dataclass(frozen=True)
class Seedpress(ArrayBytesCodec):
    """A serializer of zarr format 3 for arrays of float32 and float16.

    Each chunk is a tensor of its own, with scales of its own, and loses precision unless the codec is named as lossless in
    :func:`seedpress.codecs`. No compressor is needed behind it.

    Args:
        codec: As in :func:`seedpress.compress`.
        threads: Threads for a chunk; zarr works on several chunks at once. Not part of the array's metadata.

    Raises:
        ConfigError: No such codec or option.
    """

    is_fixed_size = False

    codec: str
    threads: int

    def __init__(self, codec: str, threads: int = 1) -> None:
        object.__setattr__(self, "codec", _native.name(codec))
        object.__setattr__(self, "threads", threads)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Seedpress:
        """From an array's metadata."""
        return cls(data["configuration"]["codec"])

    def to_dict(self) -> dict[str, Any]:
        """What an array's metadata holds."""
        return {"name": NAME, "configuration": {"codec": self.codec}}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Whether arrays of this type can be stored.

        Raises:
            TypeError: Neither float32 nor float16.
        """
        native = dtype.to_native_dtype()
        if native.kind != "f" or native.itemsize not in (2, 4):
            raise TypeError(f"an array of {native}: seedpress stores float32 and float16")

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        array = chunk_array.as_numpy_array()
        data = await asyncio.to_thread(compress, array, self.codec, name="", threads=self.threads)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        found = await asyncio.to_thread(decompress, chunk_bytes.as_numpy_array(), threads=self.threads)
        dtype = chunk_spec.dtype.to_native_dtype()
        if found.shape != chunk_spec.shape or found.dtype != dtype.newbyteorder("="):
            raise ValueError(f"a chunk of {found.dtype}{found.shape} where the array has {dtype}{chunk_spec.shape}")
        return chunk_spec.prototype.nd_buffer.from_numpy_array(np.asarray(found, dtype))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before a chunk is compressed."""
        raise NotImplementedError


register_codec(NAME, Seedpress)
