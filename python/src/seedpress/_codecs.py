"""One array to bytes and back; which codecs there are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from numpy.typing import NDArray

from . import _native
from ._arrays import data as memory
from ._arrays import flatten_weights, restore
from ._calibration import Calibration

if TYPE_CHECKING:
    import torch

Progress: TypeAlias = Callable[[int, int, str], object]
"""Called about ten times a second with what is done, the total and the tensor's name. What it raises ends the work and is raised."""


@dataclass(frozen=True)
class CodecInfo:
    """A codec."""

    id: str
    """What names begin with: ``trellis`` in ``trellis:bits=3``."""
    format: int
    """Newest version of its bytes."""
    summary: str
    """What it is and its source."""
    options: dict[str, Any]
    """Every option with its default."""
    schema: dict[str, Any]
    """JSON schema of the options: types, ranges, help texts."""
    progressive: bool
    """Whether it writes layers, each of which refines the ones before, so that a prefix decodes."""
    lossless: bool
    """Whether 32-bit floats come back exactly."""
    targets_bits: bool
    """Whether it has the option ``bits``, in bits per weight."""
    uses_calibration: bool
    """Whether it makes use of a :class:`Calibration` with its default options."""


def codecs() -> dict[str, CodecInfo]:
    """Every codec by its id, with its options and their JSON schema."""
    return {codec["id"]: CodecInfo(**codec) for codec in json.loads(_native.codecs())["codecs"]}


def stages() -> dict[str, str]:
    """Every entropy stage by its id, with one line of what it is. A stage follows a codec: ``rtn:bits=4+ans``."""
    return {stage["id"]: stage["summary"] for stage in json.loads(_native.codecs())["stages"]}


def compress(
    array: Any,
    codec: str,
    *,
    calibration: Calibration | None = None,
    name: str = "tensor",
    non_finite: Literal["keep", "reject"] = "keep",
    threads: int = 0,
    progress: Progress | None = None,
) -> bytes:
    """Compresses one array.

    The bytes are an ``.sdp`` file of one tensor: what :func:`decompress`, :func:`inspect` and, once written to disk, :func:`open` and the
    ``seedpress`` command read. They are the same on any machine and any number of threads.

    Args:
        array: A numpy array, torch tensor, or anything with ``__array__`` or ``__dlpack__``, of float32, float16 or bfloat16 and any
            shape. Rows are outputs, everything else inputs; NaN and infinity are kept bit for bit. Contiguous 32-bit floats in main
            memory are not copied: do not write to them meanwhile.
        codec: ``id``, ``id:option=value,option=value`` or either with ``+stage``, as in ``trellis:bits=3`` and ``rtn:group=64+ans``.
            See :func:`codecs`.
        calibration: Statistics of what the weight multiplies, for codecs that make use of them.
        name: What the tensor is called. Tensors of three axes are taken for matrices of experts where a part of the name is
            ``expert``, ``experts`` or ``moe``.
        non_finite: ``"reject"`` raises where values are NaN or infinite.
        threads: Threads; 0 takes every processor.
        progress: Called with weights done, weights in all, and the name.

    Raises:
        ConfigError: No such codec or option, a value that is not legal.
        CalibrationError: Statistics of other inputs than this tensor has.
        NonFiniteError: NaN or infinity, with ``non_finite="reject"``.
        TypeError: No array, or one of another data type.
        KeyboardInterrupt: Ctrl-C, within a fraction of a second.
    """
    if non_finite not in ("keep", "reject"):
        raise ValueError(f"non_finite is 'keep' or 'reject', not {non_finite!r}")
    statistics = None if calibration is None else calibration._native
    return _native.compress(flatten_weights(array), codec, name, statistics, non_finite == "reject", threads, progress)


@overload
def decompress(
    data: Any,
    *,
    framework: Literal["numpy", "np"] = "numpy",
    device: None = None,
    layers: int | None = None,
    max_memory: int | None = None,
    threads: int = 0,
) -> NDArray[Any]: ...
@overload
def decompress(
    data: Any,
    *,
    framework: Literal["torch", "pt"],
    device: torch.device | str | None = None,
    layers: int | None = None,
    max_memory: int | None = None,
    threads: int = 0,
) -> torch.Tensor: ...
def decompress(
    data: Any,
    *,
    framework: Literal["numpy", "np", "torch", "pt"] = "numpy",
    device: Any = None,
    layers: int | None = None,
    max_memory: int | None = None,
    threads: int = 0,
) -> Any:
    """Decodes what :func:`compress` wrote, or the beginning of it.

    Args:
        data: Anything bytes-like. Of a progressive codec any prefix that holds the first layer decodes.
        framework: ``"numpy"`` or ``"torch"``. The array is the decoder's own memory, not a copy. bfloat16 in numpy needs ml_dtypes.
        device: Where a torch tensor is moved.
        layers: Decode from the first so many layers.
        max_memory: Bytes that decoding may take, for data that is trusted; the default follows from the length of the data, so that a few
            bytes from a stranger cannot ask for gigabytes.
        threads: Threads; 0 takes every processor.

    Returns:
        An array of the shape and data type that was compressed, writable.

    Raises:
        TruncatedError: Bytes are missing; ``needed`` says how many there must be.
        CorruptError: Damaged data.
        LimitError: It asks for more memory than it may.
        FileError: Data of more tensors than one.
    """
    if layers is not None and layers < 1:
        raise ValueError("layers is 1 or more")
    (flat, dtype), shape, _, _ = _native.decompress(memory(data), layers, max_memory, threads)
    return restore(flat, dtype, tuple(shape), framework, device)
