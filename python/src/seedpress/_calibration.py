"""Statistics of a layer's inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native


def _floats(values: Any) -> NDArray[np.float32]:
    """Contiguous 32-bit floats; of torch, jax and others too."""
    from ._arrays import flatten, restore

    flat = flatten(values, "the statistics")
    if flat.dtype == "F32":
        array: NDArray[Any] = restore(flat.bytes.view(np.float32), "F32", flat.shape, "numpy", None)
    elif flat.dtype == "BF16":
        bits = flat.bytes.view(np.uint16).astype(np.uint32) << 16
        array = bits.view(np.float32).reshape(flat.shape)
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"statistics are of real numbers, not of {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.float32)


class Calibration:
    """What a layer multiplies: the second moment ``mean(x x^T)`` of its inputs, or the means of their squares alone.

    Codecs with ``hessian=full`` and those named in :func:`seedpress.codecs` as using calibration choose codes by it, so that the layer's
    output errs least, not its weights. Columns are those of the weight as codecs see it: of ``[out, in]`` the ``in``, of a convolution
    ``[out, in, h, w]`` all of ``in * h * w`` in this order, which is the order of ``torch.nn.functional.unfold``.
    """

    __slots__ = ("_native",)
    _native: _native.Statistics

    def __init__(self) -> None:
        raise TypeError("use Calibration.from_inputs, .from_second_moment or .from_mean_square")

    @classmethod
    def _wrap(cls, statistics: _native.Statistics) -> Calibration:
        made = object.__new__(cls)
        made._native = statistics
        return made

    @classmethod
    def from_inputs(cls, inputs: ArrayLike, *, cap: float | None = None) -> Calibration:
        """From inputs themselves.

        Args:
            inputs: Floats of shape ``[..., columns]``; every leading axis counts samples.
            cap: No sample counts for more than this many times the median energy among its 256 neighbours; 16 tames the first tokens of
                language models, which carry most of all energy.

        Raises:
            CalibrationError: No samples, no columns, NaN or infinity.
        """
        array = _floats(inputs)
        if array.ndim == 0:
            raise ValueError("inputs have the shape [..., columns]")
        sums = _native.Accumulator(array.shape[-1], False, cap)
        sums.add(array.reshape(-1, array.shape[-1]) if array.size else array.reshape(0, array.shape[-1]))
        return cls._wrap(sums.finish())

    @classmethod
    def from_second_moment(cls, moment: ArrayLike, *, samples: int = 1, mean_abs: ArrayLike | None = None) -> Calibration:
        """From ``mean(x x^T)``, a symmetric matrix of shape ``[columns, columns]``.

        Args:
            moment: The matrix, in the squared unit of the inputs.
            samples: Over how many inputs the mean was taken.
            mean_abs: ``mean(|x|)`` by column, for ``awq``.

        Raises:
            CalibrationError: A matrix that is not square, not finite, not symmetric, or no second moment of anything.
        """
        array = _floats(moment)
        if array.ndim != 2:
            raise ValueError(f"a second moment has two axes, not {array.ndim}")
        absolute = None if mean_abs is None else _floats(mean_abs)
        return cls._wrap(_native.Statistics(samples, array, None, absolute))

    @classmethod
    def from_mean_square(cls, squares: ArrayLike, *, samples: int = 1, mean_abs: ArrayLike | None = None) -> Calibration:
        """From ``mean(x^2)`` by column, shape ``[columns]``: enough for codecs that weigh columns apart.

        Raises:
            CalibrationError: No columns, or numbers that are negative or not finite.
        """
        absolute = None if mean_abs is None else _floats(mean_abs)
        return cls._wrap(_native.Statistics(samples, None, _floats(squares), absolute))

    @property
    def samples(self) -> int:
        """Inputs seen."""
        return self._native.samples

    @property
    def columns(self) -> int:
        """Inputs of the layer."""
        return self._native.columns

    @property
    def mean_square(self) -> NDArray[np.float32]:
        """``mean(x^2)`` by column."""
        return self._native.mean_square

    @property
    def mean_abs(self) -> NDArray[np.float32] | None:
        """``mean(|x|)`` by column, where it was collected."""
        return self._native.mean_abs

    @property
    def second_moment(self) -> NDArray[np.float32] | None:
        """``mean(x x^T)``, where it was collected."""
        return self._native.second_moment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Calibration) and bool(self._native == other._native)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind = "mean squares" if self.second_moment is None else "second moment"
        return f"Calibration({kind} of {self.columns} columns over {self.samples} samples)"

    def __reduce__(self) -> tuple[Any, ...]:
        moment = self.second_moment
        squares = self.mean_square if moment is None else None
        return _rebuild, (self.samples, moment, squares, self.mean_abs)


def _rebuild(samples: int, moment: Any, squares: Any, absolute: Any) -> Calibration:
    return Calibration._wrap(_native.Statistics(samples, moment, squares, absolute))
