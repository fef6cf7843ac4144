"""The library without Python around it: its example that takes statistics from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import seedpress

from .conftest import run


def compress(command: str, state: Mapping[str, Any], stats: Mapping[str, seedpress.Calibration], codec: str, folder: Path) -> bytes:
    """The file that it makes of torch tensors and statistics, which reach it as numbers in safetensors files."""
    from safetensors.numpy import save_file as save_numbers
    from safetensors.torch import save_file as save_tensors

    save_tensors({name: tensor.clone().contiguous() for name, tensor in state.items()}, folder / "library.safetensors")
    numbers: dict[str, np.ndarray] = {}
    for name, known in stats.items():
        assert known.second_moment is not None
        numbers[f"{name}/second_moment"] = known.second_moment
        if known.mean_abs is not None:
            numbers[f"{name}/mean_abs"] = known.mean_abs
    samples = {name: str(known.samples) for name, known in stats.items()}
    save_numbers(numbers, folder / "statistics.safetensors", metadata=samples)
    run(command, folder / "library.safetensors", folder / "statistics.safetensors", codec, folder / "library.sdp")
    return (folder / "library.sdp").read_bytes()
