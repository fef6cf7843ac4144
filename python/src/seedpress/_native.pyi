"""The native module: private, and on flat arrays only."""

from collections.abc import Callable
from os import PathLike
from typing import Any, Protocol, TypedDict, final

import numpy as np
from numpy.typing import NDArray

VERSION: str

type_Path = str | PathLike[str]
type_Progress = Callable[[int, int, str], object]

class Array(Protocol):
    @property
    def bytes(self) -> NDArray[np.uint8]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...

class Settings(TypedDict):
    codecs: list[tuple[str, str | None]]
    include: list[str]
    exclude: list[str]
    keep_below: int
    tensor_major: bool
    verify: bool
    tie: bool
    threads: int
    max_memory: int | None
    overwrite: bool

@final
class Statistics:
    def __new__(
        cls,
        samples: int,
        second_moment: NDArray[np.float32] | None,
        mean_square: NDArray[np.float32] | None,
        mean_abs: NDArray[np.float32] | None,
    ) -> Statistics: ...
    @property
    def samples(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def mean_square(self) -> NDArray[np.float32]: ...
    @property
    def mean_abs(self) -> NDArray[np.float32] | None: ...
    @property
    def second_moment(self) -> NDArray[np.float32] | None: ...

@final
class Accumulator:
    def __new__(cls, columns: int, squares_only: bool, cap: float | None) -> Accumulator: ...
    @property
    def samples(self) -> int: ...
    @property
    def columns(self) -> int: ...
    def add(self, rows: NDArray[np.float32]) -> None: ...
    def finish(self) -> Statistics: ...

@final
class File:
    def __new__(cls, path: type_Path, max_bytes: int | None, max_memory: int | None) -> File: ...
    def inspect(self) -> str: ...
    def read(
        self, places: list[int], layers: int | None, threads: int, progress: type_Progress | None
    ) -> list[tuple[NDArray[Any], str]]: ...

@final
class Joiner:
    def __new__(cls, source: type_Path, path: type_Path, settings: Settings) -> Joiner: ...
    def push(self, places: list[int], part: NDArray[np.uint8], memory: list[int]) -> None: ...
    def finish(self) -> int: ...
    def close(self) -> None: ...

def name(codec: str) -> str: ...
def uses_calibration(codec: str) -> bool: ...
def codecs() -> str: ...
def compress(
    array: Array,
    codec: str,
    name: str,
    calibration: Statistics | None,
    reject: bool,
    threads: int,
    progress: type_Progress | None,
) -> bytes: ...
def decompress(
    data: NDArray[np.uint8], layers: int | None, max_memory: int | None, threads: int
) -> tuple[tuple[NDArray[Any], str], list[int], int, int]: ...
def inspect(path: type_Path) -> str: ...
def inspect_bytes(data: NDArray[np.uint8]) -> str: ...
def save(
    tensors: list[tuple[str, Array]],
    metadata: dict[str, str],
    path: type_Path,
    settings: Settings,
    calibration: dict[str, Statistics],
    progress: type_Progress | None,
) -> str: ...
def save_checkpoint(
    source: type_Path,
    path: type_Path,
    settings: Settings,
    calibration: dict[str, Statistics],
    progress: type_Progress | None,
) -> str: ...
def tensors(path: type_Path) -> str: ...
def part(
    path: type_Path, places: list[int], settings: Settings, progress: type_Progress | None
) -> tuple[bytes, list[int], str]: ...
def bench(
    config: type_Path,
    out: type_Path,
    cache: type_Path,
    only: list[str],
    fresh: bool,
    threads: int | None,
    progress: type_Progress | None,
) -> tuple[int, int, int, bool]: ...
def bench_name(config: type_Path) -> str: ...
def bench_cells(config: type_Path, text: str | None, only: list[str]) -> str: ...
def bench_cell(
    config: type_Path, text: str, model: str, codec: str, only: list[str], threads: int, folder: type_Path
) -> str: ...
def bench_join(config: type_Path, text: str, out: type_Path, only: list[str]) -> bool: ...
def bench_report(folder: type_Path) -> None: ...
