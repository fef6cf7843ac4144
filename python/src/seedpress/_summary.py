"""What became of a model's tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TensorSummary:
    """One tensor."""

    name: str
    dtype: str
    """Data type at the source, as safetensors spells it."""
    elements: int
    source_bytes: int
    stored_bytes: int
    """Bytes in the file, its line of the index apart."""
    codec: str | None
    """What compressed it, if anything did."""
    kept: str | None
    """Why it was kept as it is, if it was."""
    same: str | None
    """The tensor of the same content under which it is stored, if there is one."""
    relative_error: float | None
    """``||w - v|| / ||w||`` of what decodes, where that was looked at."""
    median_row_error: float | None
    """The middle row's."""
    worst_row_error: float | None
    """The worst row's."""
    uncalibrated: bool
    """Whether its codec would have made use of a calibration, and had none."""


@dataclass(frozen=True)
class Summary:
    """A compressed model."""

    file_bytes: int
    """Length of the file: what all sizes are about."""
    source_bytes: int
    """Bytes of the tensors, or of the files they came from."""
    tensors: tuple[TensorSummary, ...]

    @property
    def ratio(self) -> float:
        """How many times smaller the file is."""
        return self.source_bytes / self.file_bytes

    @property
    def bits_per_weight(self) -> float:
        """Bits of the file for each element of all tensors."""
        return 8 * self.file_bytes / max(1, sum(tensor.elements for tensor in self.tensors))

    @classmethod
    def _parse(cls, text: str, **other: Any) -> Summary:
        found: dict[str, Any] = {**json.loads(text), **other}
        tensors = tuple(TensorSummary(**tensor) for tensor in found.pop("tensors"))
        return cls(tensors=tensors, **found)

    def __str__(self) -> str:
        groups: dict[str, list[int]] = {}
        for tensor in self.tensors:
            kept = f"kept: {tensor.kept}" if tensor.kept else "same as another"
            group = groups.setdefault(tensor.codec or kept, [0, 0, 0])
            for at, value in enumerate((1, tensor.source_bytes, tensor.stored_bytes)):
                group[at] += value
        lines = [f"{what}: {count} tensors, {source:,} -> {stored:,} bytes" for what, (count, source, stored) in groups.items()]
        lines.append(
            f"{self.source_bytes:,} -> {self.file_bytes:,} bytes: {self.ratio:.2f} times smaller, "
            f"{self.bits_per_weight:.3f} bits per weight"
        )
        return "\n".join(lines)
