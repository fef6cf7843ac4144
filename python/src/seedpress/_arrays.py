"""Arrays of any library as flat bytes with a data type and a shape, and back."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Framework: TypeAlias = Literal["numpy", "np", "torch", "pt"]
"""Whose arrays to return; the short names are those of safetensors."""

_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
}
"""Data types by what numpy, ml_dtypes and torch call them: what safetensors calls them."""
_BACK = {theirs: ours for ours, theirs in _NAMES.items()}
WEIGHTS = ("F32", "F16", "BF16")
"""Data types that codecs take."""


@dataclass(frozen=True)
class Flat:
    """An array as the native module takes it."""

    bytes: NDArray[np.uint8]
    """Contiguous, native byte order: the array's own memory wherever that is so already."""
    dtype: str
    """As safetensors spells it."""
    shape: tuple[int, ...]


def flatten(value: Any, what: str = "the array") -> Flat:
    """Whatever is an array. No copy is made of what is contiguous, in native byte order and in main memory."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_torch(value, what)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{what} is masked: fill it with .filled(), its mask would be lost")
    array = _to_numpy(value, what)
    name = _NAMES.get(array.dtype.name)
    if name is None or array.dtype.names is not None:
        raise TypeError(f"{what} has the data type {array.dtype}, of which no file is made")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    shape = array.shape
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return Flat(flat, name, shape)


def _to_numpy(value: Any, what: str) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    try:
        return np.asarray(value)
    except Exception as error:
        raise TypeError(f"{what} is a {type(value).__name__}, which is no array: {error}") from error


def _from_torch(tensor: torch.Tensor, what: str) -> Flat:
    import torch

    name = _NAMES.get(str(tensor.dtype).removeprefix("torch."))
    if name is None:
        raise TypeError(f"{what} has the data type {tensor.dtype}, of which no file is made")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise TypeError(f"{what} is {tensor.layout}: only dense tensors are compressed")
    if tensor.device.type == "meta":
        raise TypeError(f"{what} is on the meta device: it has no values")
    dense = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    flat = dense.reshape(-1).view(torch.uint8).numpy()
    return Flat(flat, name, tuple(tensor.shape))


def flatten_weights(value: Any, what: str = "the array") -> Flat:
    """As :func:`flatten`, of floats that codecs take."""
    flat = flatten(value, what)
    if flat.dtype not in WEIGHTS:
        ours = _BACK[flat.dtype]
        raise TypeError(f"{what} holds {ours}: codecs take float32, float16 and bfloat16 (convert it, e.g. .astype('float32'))")
    return flat


def data(value: Any) -> NDArray[np.uint8]:
    """The memory of anything bytes-like, without a copy."""
    if isinstance(value, str):
        raise TypeError("a str is no data: give bytes, or a path as pathlib.Path")
    try:
        return np.frombuffer(value, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise TypeError(f"a {type(value).__name__} holds no bytes: {error}") from error


def is_torch(framework: str) -> bool:
    """Whether a framework's name is torch's."""
    if framework in ("torch", "pt"):
        return True
    if framework in ("numpy", "np"):
        return False
    raise ValueError(f"unknown framework {framework!r}: legal values are 'numpy' and 'torch'")


def restore(flat: NDArray[Any], dtype: str, shape: tuple[int, ...], framework: str, device: Any) -> Any:
    """An array over the memory of ``flat``, with the data type and shape it should have."""
    if is_torch(framework):
        import torch

        bits = flat.view(np.int16) if flat.dtype == np.uint16 else flat
        tensor = torch.from_numpy(bits)
        if dtype != "F32":
            tensor = tensor.view(_torch_dtype(dtype))
        tensor = tensor.reshape(shape)
        return tensor if device is None else tensor.to(device)
    if device is not None and str(device) != "cpu":
        raise ValueError("numpy's arrays are in main memory: device= is for framework='torch'")
    return (flat if dtype == "F32" else flat.view(_numpy_dtype(dtype))).reshape(shape)


def _torch_dtype(dtype: str) -> torch.dtype:
    import torch

    found = getattr(torch, _BACK.get(dtype, ""), None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"this version of torch has no data type {dtype}")
    return found


def _numpy_dtype(dtype: str) -> np.dtype[Any]:
    name = _BACK.get(dtype)
    if name is None:
        raise TypeError(f"numpy has no data type {dtype}")
    if name == "bfloat16" or name.startswith("float8"):
        try:
            import ml_dtypes
        except ImportError:
            raise ImportError(f"{name} in numpy needs the package ml_dtypes; framework='torch' needs torch only") from None
        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)
