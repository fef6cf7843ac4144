"""Calibration of torch models, and their compression."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _native
from ._calibration import Calibration
from ._files import Codec, File, PathLikeStr, save_file
from ._summary import Summary

if TYPE_CHECKING:
    import torch

_ROWS = 1 << 15
"""Windows of a convolution's input that are taken out together: memory stays within a few hundred MB."""


class CalibrationRun(Mapping[str, Calibration]):
    """Statistics by parameter, collected while the model runs inside the ``with`` of :func:`calibrate`."""

    def __init__(self, model: torch.nn.Module, second_moment: bool, cap: float | None) -> None:
        self._model = model
        self._second_moment = second_moment
        self._cap = cap
        self._names: dict[int, list[str]] = {}
        self._sums: dict[int, _native.Accumulator] = {}
        self._found: dict[str, Calibration] | None = None
        self._observer: Any = None

    def __enter__(self) -> CalibrationRun:
        if self._found is not None:
            raise RuntimeError("these statistics are finished: call calibrate again")
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            self._names.setdefault(id(parameter), []).append(name)
        self._observer = _observer(self._observe)
        self._observer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observer.__exit__(kind, error, trace)
        self._observer = None
        if kind is not None:
            return
        self._found = {}
        for parameter, sums in self._sums.items():
            statistics = Calibration._wrap(sums.finish())
            for name in self._names[parameter]:
                self._found[name] = statistics
        self._sums.clear()

    def _observe(self, weight: torch.Tensor, rows: Callable[[], Iterator[Any]]) -> None:
        key = id(weight)
        if key not in self._names:
            return
        for block in rows():
            if key not in self._sums:
                self._sums[key] = _native.Accumulator(block.shape[-1], not self._second_moment, self._cap)
            self._sums[key].add(block)

    def _all(self) -> dict[str, Calibration]:
        if self._found is None:
            raise RuntimeError("the statistics are there once the `with` block has ended")
        return self._found

    def __getitem__(self, name: str) -> Calibration:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return "CalibrationRun(unfinished)" if self._found is None else f"CalibrationRun({len(self)} parameters)"


def calibrate(model: torch.nn.Module, *, second_moment: bool = True, cap: float | None = None) -> CalibrationRun:
    """Collects what every linear layer and convolution of a torch model multiplies.

    >>> with seedpress.calibrate(model) as stats:           # doctest: +SKIP
    ...     for batch in batches:
    ...         model(batch)
    >>> seedpress.compress_model(model, "trellis:bits=2,hessian=full", stats)   # doctest: +SKIP

    Calls of ``torch.nn.functional.linear``, ``conv1d``, ``conv2d`` and ``conv3d`` with a parameter of the model as weight are seen, whatever
    module makes them, ``MultiheadAttention`` included; padding of any mode, stride and dilation are accounted for. The groups of
    a grouped convolution share one statistic. Not seen: transposed convolutions and embeddings, which have no such inputs, weights that
    are computed before use, and models under ``torch.compile``. Statistics are of 32-bit floats on the processor, whatever the model's
    type and device are.

    Args:
        model: Any model, on any device.
        second_moment: Collect ``mean(x x^T)``, of which a layer of n inputs takes ``4 n^2`` bytes (twice that while its last tile
            is summed); otherwise the mean squares alone.
        cap: As in :meth:`Calibration.from_inputs`; 16 for language models.

    Returns:
        A context manager; after the ``with`` block a mapping of parameter names to :class:`Calibration`.
    """
    return CalibrationRun(model, second_moment, cap)


def _observer(observe: Callable[[torch.Tensor, Callable[[], Iterator[Any]]], None]) -> Any:
    """A torch function mode that hands weights and inputs of products to ``observe``."""
    import torch
    import torch.nn.functional as F
    from torch.overrides import TorchFunctionMode

    convolutions = {F.conv1d: 1, F.conv2d: 2, F.conv3d: 3}

    def linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        observe(weight, lambda: _linear_rows(input))
        return F_linear(input, weight, bias)

    F_linear = F.linear

    class Observer(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func == F_linear:
                input, weight = _arguments(("input", "weight"), args, kwargs)
                observe(weight, lambda: _linear_rows(input))
            elif func in convolutions:
                names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
                input, weight, _, stride, padding, dilation, groups = _arguments(names, args, kwargs)
                observe(
                    weight,
                    lambda: _windows(input, weight, convolutions[func], stride or 1, padding or 0, dilation or 1, groups or 1),
                )
            elif func == F.multi_head_attention_forward:
                # Its own products are out of a mode's sight: it finds the observing one under the function's name.
                F.linear = linear
                try:
                    return func(*args, **kwargs)
                finally:
                    F.linear = F_linear
            return func(*args, **kwargs)

    return Observer()


def _arguments(names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    return [args[at] if at < len(args) else kwargs.get(name) for at, name in enumerate(names)]


def _floats(tensor: torch.Tensor) -> Any:
    import torch

    return np.ascontiguousarray(tensor.detach().to(device="cpu", dtype=torch.float32).numpy())


def _linear_rows(input: torch.Tensor) -> Iterator[Any]:
    yield _floats(input.reshape(-1, input.shape[-1]))


def _windows(
    input: torch.Tensor, weight: torch.Tensor, axes: int, stride: Any, padding: Any, dilation: Any, groups: int
) -> Iterator[Any]:
    """What a convolution's weight multiplies, one window a row, columns in the order of the weight ``[out, in / groups, *kernel]``."""
    kernel = tuple(weight.shape[2:])

    def per_axis(value: Any) -> tuple[int, ...]:
        return (int(value),) * axes if isinstance(value, int) else tuple(int(step) for step in value) * (axes // len(value))

    steps, spread = per_axis(stride), per_axis(dilation)
    values = _floats(input)
    if values.ndim == axes + 1:
        values = values[None]
    if padding == "same":
        whole = [far * (size - 1) for far, size in zip(spread, kernel, strict=True)]
        sides = [(both // 2, both - both // 2) for both in whole]
    else:
        sides = [(side, side) for side in per_axis(0 if padding == "valid" else padding)]
    values = np.pad(values, [(0, 0), (0, 0), *sides])
    reach = tuple(far * (size - 1) + 1 for far, size in zip(spread, kernel, strict=True))
    every = np.lib.stride_tricks.sliding_window_view(values, reach, axis=tuple(range(2, 2 + axes)))
    # [batch, channels, *positions, *kernel], of which each step-th position and spread-th element counts.
    chosen = every[(slice(None), slice(None), *(slice(None, None, s) for s in steps), *(slice(None, None, s) for s in spread))]
    positions = chosen.shape[2 : 2 + axes]
    share = chosen.shape[1] // groups
    columns = share * math.prod(kernel)
    order = (0, *range(2, 2 + axes), 1, *range(2 + axes, 2 + 2 * axes))
    # Samples a block, so that no more than a few hundred MB of windows are there at once.
    samples = max(1, _ROWS // max(1, math.prod(positions)))
    for start in range(0, chosen.shape[0], samples):
        for group in range(groups):
            block = chosen[start : start + samples, group * share : (group + 1) * share]
            yield np.ascontiguousarray(block.transpose(order)).reshape(-1, columns)


def compress_model(
    model: torch.nn.Module,
    codec: Codec,
    calibration: Mapping[str, Calibration] | None = None,
    path: PathLikeStr | None = None,
    **options: Any,
) -> Summary:
    """Compresses a torch model: in place, or to a file.

    In place, every tensor that was compressed is replaced by what decodes from its bytes, so that the model can be evaluated as it would be
    loaded. The sizes in the summary are those of the file that was written for it.

    Args:
        model: Any model; its ``state_dict`` is what is compressed.
        codec: As in :func:`save_file`.
        calibration: What :func:`calibrate` collected, or statistics by parameter name.
        path: An ``.sdp`` file to write, for :func:`load_file` and ``load_state_dict``; the model stays as it is then.
        options: Those of :func:`save_file`.

    Returns:
        What became of each tensor.

    Warns:
        UserWarning: The codec would have made use of statistics that tensors did not have, where ``calibration`` was given.
    """
    import torch

    state = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    known = {name: statistics for name, statistics in (calibration or {}).items() if name in state}
    if path is not None:
        summary = save_file(state, path, codec, calibration=known, **options)
    else:
        with tempfile.TemporaryDirectory(prefix="seedpress-") as folder:
            place = Path(folder) / "model.sdp"
            summary = save_file(state, place, codec, calibration=known, **options)
            with File(place, "torch") as file, torch.no_grad():
                for tensor in summary.tensors:
                    if tensor.codec or tensor.same:
                        state[tensor.name].copy_(file.get_tensor(tensor.name))
    without = [tensor.name for tensor in summary.tensors if tensor.uncalibrated]
    if without and calibration is not None:
        shown = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        warnings.warn(f"{len(without)} tensors were compressed without statistics of their inputs: {shown}", stacklevel=2)
    return summary
