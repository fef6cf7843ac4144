"""What can go wrong. What the operating system refuses is an ``OSError`` as everywhere; an argument of the wrong kind a ``TypeError``."""

from __future__ import annotations


class SeedpressError(Exception):
    """Every error of this package."""


class ConfigError(SeedpressError, ValueError):
    """A codec, option, pattern or experiment that does not exist or is not legal. The message names what would be."""


class CalibrationError(SeedpressError, ValueError):
    """Numbers that are no statistics of a layer's inputs, or not of this layer's."""


class EncodeError(SeedpressError, ValueError):
    """A tensor that cannot be compressed."""

    tensor: str | None = None
    """The tensor's name."""


class NonFiniteError(EncodeError):
    """NaN or infinity where they were to be refused."""

    count: int = 0
    """How many."""
    first: int = 0
    """The row-major index of the first."""


class DecodeError(SeedpressError, ValueError):
    """Bytes that cannot be decoded, and where in them."""

    tensor: str | None = None
    """The tensor, where known."""
    layer: int | None = None
    """The layer, where the fault lies in one."""
    segment: int | None = None
    """The segment within the layer."""
    offset: int | None = None
    """The byte within the segment, or the header."""


class TruncatedError(DecodeError):
    """Bytes are missing at the end: with more of them it may decode."""

    needed: int = 0
    """Bytes that must be there."""
    have: int = 0
    """Bytes that are."""


class CorruptError(DecodeError):
    """Bytes that nobody writes."""


class LimitError(DecodeError):
    """The data asks for more memory than its length justifies. ``max_memory=`` allows more, for data that is trusted."""

    asked: int = 0
    """Bytes it asks for."""
    allowed: int = 0
    """Bytes still allowed."""


class UnsupportedVersionError(DecodeError):
    """Written by a newer version."""


class UnknownCodecError(DecodeError):
    """Written by a codec that this version does not have."""


class FileError(SeedpressError, ValueError):
    """A file of another kind, or a path that cannot be used so."""


class InternalError(SeedpressError, RuntimeError):
    """A bug of seedpress. Nothing was written."""
