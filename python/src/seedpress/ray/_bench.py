"""Experiments: a task for each model and codec, and rows that survive whoever measured them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from .. import _native
from .._bench import Results, repository
from ..errors import ConfigError
from ._cluster import Task, connected, run

_MEMORY = 1 << 30
"""Bytes of a task that says nothing else: a model of the zoo, its data and the largest tensor in work."""


class Store:
    """Rows of finished cells by their content: a folder, or anything that fsspec reaches."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        self._remote = "://" in place

    def _file_system(self) -> tuple[Any, str]:
        import fsspec

        file_system, path = fsspec.core.url_to_fs(self.place)
        return file_system, path

    def put(self, key: str, text: str) -> None:
        """Keeps rows. Readers see all of them or none."""
        if self._remote:
            file_system, path = self._file_system()
            file_system.makedirs(path, exist_ok=True)
            file_system.pipe_file(f"{path}/{key}.jsonl", text.encode())
            return
        folder = Path(self.place)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", delete=False) as file:
            file.write(text)
        Path(file.name).rename(folder / f"{key}.jsonl")

    def get(self, key: str) -> str | None:
        """Rows that are there."""
        try:
            if self._remote:
                file_system, path = self._file_system()
                return str(file_system.cat_file(f"{path}/{key}.jsonl").decode())
            return (Path(self.place) / f"{key}.jsonl").read_text()
        except FileNotFoundError:
            return None


def _key(text: str, model: str, codec: str) -> str:
    """What a cell's rows depend on: the experiment, the cell, and this version."""
    parts = json.dumps([_native.VERSION, text, model, codec])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def cell(config: str, text: str, model: str, codec: str, store: str, key: str) -> str:
    """Measures one codec on one model, keeps the rows in the store, and returns them."""
    only = [f"model=={model}", f"codec=={codec}"]
    with tempfile.TemporaryDirectory(prefix="seedpress-") as folder:
        out = Path(folder) / "out"
        try:
            _native.bench(config, text, out, Path(folder) / "cache", only, False, None)
        except ConfigError:
            # The experiment was checked before: it is the model that this machine lacks. Where rows are joined that becomes a row.
            return ""
        rows = (out / "results.jsonl").read_text()
    if not any(json.loads(line).get("status") == "failed" for line in rows.splitlines()):
        Store(store).put(key, rows)
    return rows


def bench(
    config: str | PathLike[str],
    *,
    only: Sequence[str] = (),
    out: str | PathLike[str] | None = None,
    store: str | None = None,
    address: str | None = None,
    cpus: float = 1,
    memory: int | None = None,
    retries: int = 3,
) -> Results:
    """Runs an experiment on a cluster: every model with every codec is a task.

    Rows have the keys, bytes and errors that one machine would have measured; times are those of the machine that ran them. A cell that is
    in the store, or in the report's folder, is not measured again.

    Args:
        config: The experiment; its text goes with the tasks.
        only: A part of the matrix, as in :func:`seedpress.bench`.
        out: The report's folder, on this machine.
        store: Where rows of finished cells are kept: a folder that all machines see, or an address of fsspec; by default the folder
            ``cells`` of the report's.
        address: The cluster: ``"auto"``, or where its head is; ``None`` makes this machine one.
        cpus: Processors that a task takes; set ``threads`` in the config to the same.
        memory: Bytes of memory that a task takes.
        retries: How often a task is tried again where its machine is lost.

    Returns:
        Rows, a frame, charts, as :func:`seedpress.bench`.
    """
    place = Path(config).resolve()
    text = place.read_text()
    name, cells = _native.bench_cells(place, text, list(only))
    folder = Path(out) if out is not None else repository() / "reports" / name
    kept = Store(store or fspath(folder.resolve() / "cells"))
    folder.mkdir(parents=True, exist_ok=True)
    tasks = []
    found: dict[tuple[str, str], str] = {}
    for model, codec in dict.fromkeys(cells):
        key = _key(text, model, codec)
        rows = kept.get(key)
        if rows is not None:
            found[model, codec] = rows
            continue
        arguments = (fspath(place), text, model, codec, kept.place, key)
        tasks.append(Task(f"bench {codec} on {model}", arguments, memory or _MEMORY))
    if tasks:
        with connected(address) as ray:
            for task, rows in run(ray, cell, tasks, cpus=cpus, retries=retries):
                found[task.arguments[2], task.arguments[3]] = rows
    # In the order of the matrix, whoever was first.
    results = folder / "results.jsonl"
    known = {row["key"] for row in Results(folder).rows if row.get("status") != "failed"} if results.exists() else set()
    with results.open("a") as lines:
        for pair in dict.fromkeys(cells):
            lines.writelines(line for line in found[pair].splitlines(True) if json.loads(line)["key"] not in known)
    # Nothing is left to measure: this writes what a run says of itself.
    _native.bench(place, text, folder, folder / ".cache", list(only), False, None)
    _native.bench_report(folder)
    return Results(folder)
