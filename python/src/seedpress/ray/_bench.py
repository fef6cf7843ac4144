"""Experiments: a task for each model and codec, and rows that survive whoever measured them."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from .. import _native
from .._bench import Results, repository
from .._codecs import Progress
from ..errors import ConfigError
from ._cluster import Task, connected, run
from ._storage import Store, upload

_IDLE = 256 << 20
"""Bytes of memory of a task beside its model."""
_OF_MODEL = 16
"""Bytes for each weight of the model: as it came, restored, and at work in its metric."""
_AT_WORK = 32
"""Bytes for each weight of the largest tensor, while it is encoded."""


@dataclass(frozen=True)
class Cell:
    """One model with one codec."""

    model: str
    codec: str
    keys: tuple[str, ...]
    """Of its rows: hashes of everything that they depend on, the weights and the code included."""
    weights: int
    largest: int

    @property
    def address(self) -> str:
        """Where its rows are in a store."""
        return hashlib.sha256("\n".join(self.keys).encode()).hexdigest()[:32]

    @property
    def memory(self) -> int:
        """Bytes that measuring it takes, about."""
        return _IDLE + _OF_MODEL * self.weights + _AT_WORK * self.largest

    def rows(self, text: str) -> list[dict[str, Any]] | None:
        """The rows of a text, if they are all of this cell's."""
        try:
            rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
            found = [row["key"] for row in rows]
        except (ValueError, KeyError, TypeError):
            return None
        torn = any(found.count(row["key"]) < row.get("cell_rows", 1) for row in rows)
        return None if torn or set(found) != set(self.keys) else rows


def failed(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether one of the rows says that it could not be measured."""
    return any(row.get("status") == "failed" for row in rows)


def measure(config: str, text: str, cell: Cell, only: list[str], store: str, threads: int) -> str:
    """Measures one codec on one model, keeps the rows in the store, and returns them."""
    with tempfile.TemporaryDirectory(prefix="seedpress-") as folder:
        found = _native.bench_cell(config, text, cell.model, cell.codec, only, threads, folder)
    rows = cell.rows(found)
    if rows is None:
        message = f"`{cell.model}` on {platform.node()} is another than where the run was started, or so is seedpress"
        raise ConfigError(f"{message}: all machines need the same files and the same version")
    if not failed(rows):
        Store(store).put(cell.address, found)
    return found


def _there(folder: Path, cells: Sequence[Cell]) -> set[Cell]:
    """Cells whose rows an earlier run has left in the report's folder."""
    if not (folder / "results.jsonl").exists():
        return set()
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in Results(folder).rows:
        rows.setdefault(row["key"], []).append(row)
    of = {cell: [row for key in cell.keys for row in rows.get(key, [])] for cell in cells}
    return {cell for cell, own in of.items() if not failed(own) and cell.rows("\n".join(map(json.dumps, own))) is not None}


def bench(
    config: str | PathLike[str],
    *,
    only: Sequence[str] = (),
    out: str | PathLike[str] | None = None,
    store: str | None = None,
    upload_to: str | None = None,
    address: str | None = None,
    cpus: float = 1,
    memory: int | None = None,
    retries: int = 3,
    progress: Progress | None = None,
) -> Results:
    """Runs an experiment on a cluster: every model with every codec is a task.

    Rows have the keys, bytes and errors that one machine would have measured; times are those of the machine that ran them. A cell whose
    rows are in the store, from this experiment or another, or in the report's folder, is not measured again.

    Args:
        config: The experiment; its text goes with the tasks.
        only: A part of the matrix, as in :func:`seedpress.bench`.
        out: The report's folder, on this machine.
        store: Where rows of finished cells are kept: a folder that all machines see, or an address of fsspec; by default the folder
            ``cells`` of the report's.
        upload_to: An address of fsspec to which the report is copied.
        address: The cluster: ``"auto"``, or where its head is; ``None`` makes this machine one.
        cpus: Processors that a task takes, and threads of its encoder.
        memory: Bytes of memory that a task takes; by default they follow from its model.
        retries: How often a task is tried again where its machine is lost.
        progress: Called with weights encoded, weights in all, and the cell that was finished.

    Returns:
        Rows, a frame, charts, as :func:`seedpress.bench`. A cell that failed is a row that says why, and is tried again by the next run.

    Raises:
        ConfigError: What is wrong with the experiment; a machine with another version of a model.
        SeedpressError: A task that was lost more often than it may be tried again.
    """
    place = Path(config).resolve()
    text, filters = place.read_text(), list(only)
    described = json.loads(_native.bench_cells(place, text, filters))
    # Rows of two names for the same are the same rows.
    cells = list({tuple(cell["keys"]): Cell(**{**cell, "keys": tuple(cell["keys"])}) for cell in described["cells"]}.values())
    folder = Path(out) if out is not None else repository() / "reports" / described["name"]
    folder.mkdir(parents=True, exist_ok=True)
    kept = Store(store or fspath(folder.resolve() / "cells"))
    there = _there(folder, cells)
    new = [cell for cell in cells if cell not in there]
    found = {cell: rows for cell in new if (rows := kept.get(cell.address)) is not None and cell.rows(rows) is not None}
    # The largest first: none is left for the end, when there is nothing beside it.
    missing = sorted((cell for cell in new if cell not in found), key=lambda cell: -cell.weights)
    threads = max(1, int(cpus))
    tasks = [
        Task(
            f"bench {cell.codec} on {cell.model}",
            (fspath(place), text, cell, filters, kept.place, threads),
            cell.memory,
            cell.weights,
        )
        for cell in missing
    ]
    total = sum(cell.weights for cell in cells)
    done = total - sum(task.size for task in tasks)
    if tasks:
        with connected(address) as ray:
            limits = {"cpus": cpus, "memory": memory, "retries": retries, "local": address is None}
            for task, rows in run(ray, measure, tasks, **limits):
                found[task.arguments[2]] = rows
                done += task.size
                if progress is not None:
                    progress(done, total, task.name.removeprefix("bench "))
    # In the order of the matrix, whoever was first. Of several rows with one key the last counts.
    with (folder / "results.jsonl").open("a") as lines:
        lines.writelines(found[cell] for cell in new)
    _native.bench_join(place, text, folder, filters)
    _native.bench_report(folder)
    if upload_to is not None:
        upload(folder, upload_to)
    return Results(folder)
