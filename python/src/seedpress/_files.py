"""``.sdp`` files in and out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from numpy.typing import NDArray

from . import _native
from ._arrays import _BACK, Framework, flatten, is_torch, restore
from ._arrays import data as memory
from ._calibration import Calibration
from ._codecs import Progress
from ._summary import Summary
from .errors import ConfigError

if TYPE_CHECKING:
    import torch

PathLikeStr: TypeAlias = str | PathLike[str]
Codec: TypeAlias = str | Mapping[str, str | None]
"""A codec for all tensors, or codecs by patterns of names, of which the first that matches counts; ``None`` keeps a tensor as it is."""


def settings(
    codec: Codec,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    keep_below: int = 1024,
    order: Literal["quality", "tensor"] = "quality",
    verify: bool = True,
    tie: bool = True,
    threads: int = 0,
    max_memory: int | None = None,
    overwrite: bool = True,
) -> _native.Settings:
    """What the native module takes."""
    if order not in ("quality", "tensor"):
        raise ValueError(f"order is 'quality' or 'tensor', not {order!r}")
    rules = [("*", codec)] if isinstance(codec, str) else list(codec.items())
    given = [rule for _, rule in rules if rule is not None]
    for rule in given:
        _native.name(rule)
    for texts in (include, exclude):
        if isinstance(texts, str):
            raise TypeError("include and exclude are lists of patterns")
    return {
        "codecs": rules,
        "include": list(include),
        "exclude": list(exclude),
        "keep_below": keep_below,
        "tensor_major": order == "tensor",
        "verify": verify,
        "tie": tie,
        "threads": threads,
        "max_memory": max_memory,
        "overwrite": overwrite,
    }


def _free(path: PathLikeStr, overwrite: bool) -> str:
    place = fspath(path)
    if not isinstance(place, str):
        raise TypeError("a path is a str or a pathlib.Path")
    if not overwrite and Path(place).exists():
        raise FileExistsError(17, "it is there already, and overwrite=False", place)
    return place


def _statistics(calibration: Mapping[str, Calibration] | None) -> dict[str, _native.Statistics]:
    return {name: known._native for name, known in (calibration or {}).items()}


def save_file(
    tensors: Mapping[str, Any],
    path: PathLikeStr,
    codec: Codec,
    *,
    metadata: Mapping[str, str] | None = None,
    calibration: Mapping[str, Calibration] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    keep_below: int = 1024,
    order: Literal["quality", "tensor"] = "quality",
    verify: bool = True,
    tie: bool = True,
    threads: int = 0,
    max_memory: int | None = None,
    overwrite: bool = True,
    progress: Progress | None = None,
) -> Summary:
    """Compresses named tensors, a ``state_dict`` for example, into an ``.sdp`` file.

    The file has the bytes that ``seedpress compress`` makes of the same tensors in a safetensors file. It is there whole or not at all.

    Args:
        tensors: Arrays of any kind and shape by name. Those of float32, float16 and bfloat16 are compressed, 8-bit floats too; all
            others are kept as they are. Tensors of the same content are stored once.
        path: The file.
        codec: A codec for all of them, as :func:`compress` takes it, or codecs by patterns with ``*`` and ``?``, of which the first that
            matches a name counts: ``{"*head*": "rtn:bits=8", "*.bias": None, "*": "trellis:bits=3"}``. ``None`` keeps a tensor.
        metadata: Kept in the file, as safetensors does.
        calibration: Statistics by tensor, for codecs that make use of them: what :func:`calibrate` collects.
        include: Compress only tensors whose name matches one of these patterns.
        exclude: Keep tensors whose name matches one of these as they are.
        keep_below: Tensors of fewer elements, and vectors, are kept as they are; 0 hands everything to the codec.
        order: ``"quality"`` writes first layers first, so that a beginning of the file is the whole model; ``"tensor"`` one tensor
            after the other.
        verify: Decode every tensor before the file is in its place.
        tie: Store tensors of the same content once.
        threads: Threads; 0 takes every processor. They never change the file.
        max_memory: Bytes that tensors in work at the same time may take together; the default is 384 MiB.
        overwrite: Replace a file that is there.
        progress: Called with bytes done, bytes in all and the tensor in work.

    Returns:
        What became of each tensor, with its errors.

    Raises:
        ConfigError: No such codec, a pattern that matches nothing.
        CalibrationError: Statistics of no tensor, or of other inputs than it has.
        TypeError: A value that is no array.
        OSError: What the operating system refuses.
        KeyboardInterrupt: Ctrl-C, within a fraction of a second; nothing is left behind.
    """
    chosen = settings(
        codec,
        include=include,
        exclude=exclude,
        keep_below=keep_below,
        order=order,
        verify=verify,
        tie=tie,
        threads=threads,
        max_memory=max_memory,
        overwrite=overwrite,
    )
    flat: list[tuple[str, _native.Array]] = []
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"names are str, not {type(name).__name__}")
        flat.append((name, flatten(value, f"`{name}`")))
    place = _free(path, overwrite)
    return Summary._parse(_native.save(flat, dict(metadata or {}), place, chosen, _statistics(calibration), progress))


def compress_file(
    source: PathLikeStr,
    path: PathLikeStr,
    codec: Codec,
    *,
    calibration: Mapping[str, Calibration] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Summary:
    """Compresses a checkpoint on disk into an ``.sdp`` file, in memory that follows its largest tensor.

    Args:
        source: A ``.safetensors`` file, the index of a sharded checkpoint, or a folder that holds either.
        path: The file. It is there whole or not at all.
        codec: As in :func:`save_file`.
        calibration: As in :func:`save_file`.
        progress: As in :func:`save_file`.
        options: ``include``, ``exclude``, ``keep_below``, ``order``, ``verify``, ``tie``, ``threads``, ``max_memory`` and ``overwrite`` of
            :func:`save_file`.

    Raises:
        FileError: A source that is no safetensors checkpoint.
        ConfigError, CalibrationError, OSError, KeyboardInterrupt: As in :func:`save_file`.
    """
    chosen = settings(codec, **options)
    place = _free(path, chosen["overwrite"])
    return Summary._parse(_native.save_checkpoint(fspath(source), place, chosen, _statistics(calibration), progress))


def inspect(source: Any) -> dict[str, Any]:
    """What a file (a path) or data (bytes) holds, without decoding.

    Returns:
        ``complete``, ``bytes`` at hand, ``whole_bytes``, ``index_bytes``, ``order``, ``metadata`` and ``tensors``: for each its ``name``,
        ``kind``, ``codec``, ``dtype``, ``shape``, ``bytes``, ``bits_per_weight``, ``bytes_by_role``, ``layers`` and ``layers_present``.

    Raises:
        OSError, DecodeError: A file that cannot be read, or is no ``.sdp`` file.
    """
    if isinstance(source, str | PathLike):
        text = _native.inspect(fspath(source))
    else:
        text = _native.inspect_bytes(memory(source))
    found: dict[str, Any] = json.loads(text)
    return found


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name matches one of the patterns, in which only ``*`` and ``?`` are special."""
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)


class LazyTensor:
    """A tensor of an open file, decoded when it is asked for.

    ``tensor[10:20]`` gives rows, ``numpy.asarray(tensor)`` all of it. Codecs decode whole tensors: the file keeps the last one decoded, so
    that reading it slice by slice decodes it once.
    """

    def __init__(self, file: File, place: int, found: Mapping[str, Any]) -> None:
        self._file = file
        self._place = place
        self._found = found

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._found["name"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions, outermost first."""
        return tuple(self._found["shape"])

    @property
    def dtype(self) -> str:
        """The data type in the words of numpy and torch, e.g. ``bfloat16``."""
        return _BACK.get(self.get_dtype(), self.get_dtype())

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def codec(self) -> str | None:
        """What compressed it; ``None`` for what was kept as it is."""
        found: str | None = self._found.get("codec")
        return found

    @property
    def stored_bytes(self) -> int:
        """Bytes it takes in the file."""
        return int(self._found["bytes"])

    @property
    def layers(self) -> tuple[int, int]:
        """Layers at hand, and layers there are."""
        return int(self._found["layers_present"]), int(self._found["layers"])

    def load(self, layers: int | None = None) -> Any:
        """Decodes it, from the first ``layers`` layers or all at hand.

        Raises:
            TruncatedError: Its first layer is not at hand.
            DecodeError: Damaged data.
        """
        return self._file._load(self._place, layers)

    def get_shape(self) -> list[int]:
        """As a slice of safetensors."""
        return list(self.shape)

    def get_dtype(self) -> str:
        """The data type as safetensors spells it, e.g. ``BF16``."""
        return str(self._found.get("source_dtype") or self._found["dtype"]).upper()

    def __getitem__(self, index: Any) -> Any:
        part = self._file._whole(self._place)[index]
        # The file's own copy stays as it is, whatever is done to the part.
        return part.clone() if is_torch(self._file._framework) else part.copy()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np

        return np.asarray(self._file._read(self._place, self._file._layers, "numpy"), dtype=dtype)

    def __repr__(self) -> str:
        return f"LazyTensor({self.name!r}, shape={self.shape}, dtype={self.dtype}, codec={self.codec})"


class File(Mapping[str, LazyTensor]):
    """An open ``.sdp`` file: a mapping of names to :class:`LazyTensor`. Its index is read when it is opened, a tensor when it is asked for.

    ``keys``, ``get_tensor``, ``get_slice`` and ``metadata`` are those of ``safetensors.safe_open``.
    """

    def __init__(
        self,
        path: PathLikeStr,
        framework: Framework = "numpy",
        device: Any = None,
        *,
        layers: int | None = None,
        max_bytes: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        is_torch(framework)
        if layers is not None and layers < 1:
            raise ValueError("layers is 1 or more")
        self._framework = framework
        self._device = device
        self._layers = layers
        self._native: _native.File | None = _native.File(fspath(path), max_bytes, max_memory)
        self._found: dict[str, Any] = json.loads(self._native.inspect())
        by_name = {tensor["name"]: tensor for tensor in self._found["tensors"]}
        self._tensors: dict[str, LazyTensor] = {}
        for place, tensor in enumerate(self._found["tensors"]):
            described = {**by_name[tensor["as"]], **tensor} if tensor["kind"] == "same" else tensor
            self._tensors[tensor["name"]] = LazyTensor(self, place, {**described, "bytes": tensor.get("bytes", 0)})
        self._places = list(self._tensors.values())
        self._kept: tuple[int, Any] | None = None

    def _open(self) -> _native.File:
        if self._native is None:
            raise ValueError("the file is closed")
        return self._native

    def _read(self, place: int, layers: int | None, framework: str) -> Any:
        if layers is not None and layers < 1:
            raise ValueError("layers is 1 or more")
        tensor = self._places[place]
        [(flat, dtype)] = self._open().read([place], layers, 0, None)
        device = self._device if is_torch(framework) else None
        return restore(flat, dtype, tensor.shape, framework, device)

    def _load(self, place: int, layers: int | None) -> Any:
        return self._read(place, layers or self._layers, self._framework)

    def _whole(self, place: int) -> Any:
        if self._kept is None or self._kept[0] != place:
            self._kept = None
            self._kept = (place, self._load(place, None))
        return self._kept[1]

    def __getitem__(self, name: str) -> LazyTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def get_tensor(self, name: str) -> Any:
        """Decodes a tensor."""
        return self[name].load()

    def get_slice(self, name: str) -> LazyTensor:
        """A tensor to be sliced."""
        return self[name]

    def metadata(self) -> dict[str, str]:
        """The metadata it was saved with."""
        return dict(self._found["metadata"])

    def inspect(self) -> dict[str, Any]:
        """As :func:`seedpress.inspect`."""
        found: dict[str, Any] = json.loads(self._open().inspect())
        return found

    def load(self, names: Sequence[str] | None = None, *, threads: int = 0, progress: Progress | None = None) -> dict[str, Any]:
        """Decodes several tensors at once, all of them by default."""
        places = {tensor.name: tensor._place for tensor in self._tensors.values()}
        chosen = list(self._tensors) if names is None else list(names)
        read = self._open().read([places[name] for name in chosen], self._layers, threads, progress)
        shapes = [self._tensors[name].shape for name in chosen]
        return {
            name: restore(flat, dtype, shape, self._framework, self._device)
            for name, shape, (flat, dtype) in zip(chosen, shapes, read, strict=True)
        }

    def close(self) -> None:
        """Closes it; arrays that were decoded stay."""
        self._native = self._kept = None

    def __enter__(self) -> File:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"File({len(self)} tensors, {self._found['bytes']} of {self._found['whole_bytes']} bytes)"


def open(  # noqa: A001
    path: PathLikeStr,
    framework: Framework = "numpy",
    device: Any = None,
    *,
    layers: int | None = None,
    max_bytes: int | None = None,
    max_memory: int | None = None,
) -> File:
    """Opens an ``.sdp`` file, tensor by tensor.

    >>> with seedpress.open("model.sdp") as file:          # doctest: +SKIP
    ...     file["layers.0.weight"].shape, file["layers.0.weight"][:8]

    Args:
        path: The file, or the beginning of one.
        framework: ``"numpy"`` or ``"torch"``.
        device: Where torch tensors are moved.
        layers: Decode from the first so many layers.
        max_bytes: Take so many bytes for all there is: what a cut download would give.
        max_memory: Bytes that decoding a tensor may take, for files that are trusted; the default follows from the file's length.

    Raises:
        OSError, DecodeError: A file that cannot be read, or is no ``.sdp`` file.
        LimitError: It declares more than its length justifies.
    """
    return File(path, framework, device, layers=layers, max_bytes=max_bytes, max_memory=max_memory)


@overload
def load_file(
    path: PathLikeStr,
    framework: Literal["numpy", "np"] = "numpy",
    device: None = None,
    *,
    layers: int | None = None,
    max_bytes: int | None = None,
    max_memory: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]: ...
@overload
def load_file(
    path: PathLikeStr,
    framework: Literal["torch", "pt"],
    device: torch.device | str | None = None,
    *,
    layers: int | None = None,
    max_bytes: int | None = None,
    max_memory: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, torch.Tensor]: ...
def load_file(
    path: PathLikeStr,
    framework: Framework = "numpy",
    device: Any = None,
    *,
    layers: int | None = None,
    max_bytes: int | None = None,
    max_memory: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    threads: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Loads the tensors of an ``.sdp`` file.

    Args:
        path: The file, or the beginning of one.
        framework: ``"numpy"`` or ``"torch"``. bfloat16 in numpy needs the package ml_dtypes.
        device: Where torch tensors are moved.
        layers: Decode from the first so many layers.
        max_bytes: Take so many bytes for all there is.
        max_memory: As in :func:`open`.
        include: Load only tensors whose name matches one of these patterns.
        exclude: Of those, leave out what matches one of these.
        threads: Threads; 0 takes every processor.
        progress: Called with bytes done, bytes in all and the tensor in work.

    Returns:
        Arrays by name, in the file's order, each in its source's data type and shape.

    Raises:
        TruncatedError: Of a tensor not even the first layer is at hand.
        OSError, DecodeError: As :func:`open`.
        ConfigError: A pattern that matches nothing.
    """
    with File(path, framework, device, layers=layers, max_bytes=max_bytes, max_memory=max_memory) as file:
        for pattern in (*include, *exclude):
            if not any(_matches(name, [pattern]) for name in file):
                raise ConfigError(f"no tensor matches `{pattern}`")
        names = [name for name in file if (not include or _matches(name, include)) and not _matches(name, exclude)]
        return file.load(names, threads=threads, progress=progress)
