"""Checkpoints: a task for some tensors, joined here into the file that one machine would make."""

from __future__ import annotations

import json
import tempfile
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from .. import _native
from .._codecs import Progress
from .._files import Codec, settings
from .._summary import Summary, TensorSummary
from ._cluster import Task, connected, run
from ._storage import exists, is_address, upload

_TOGETHER = 32 << 20
"""Bytes of tensors in a task: enough that starting it costs nothing, few enough that a lost machine costs little."""
_IN_WORK = 8
"""Bytes of memory for each byte of a tensor in work, as 16-bit values are widened and decoded again."""
_IDLE = 256 << 20
"""Bytes of memory of a task beside its tensors."""


def part(source: str, places: list[int], chosen: Any) -> tuple[bytes, list[int], str]:
    """Compresses some tensors of a checkpoint."""
    return _native.part(source, places, chosen, None)


def groups(tensors: list[dict[str, Any]]) -> list[list[int]]:
    """Places of tensors that go together: neighbours, up to a size; those that may be the same, and weights with their scales, whatever it is."""
    partner = list(range(len(tensors)))

    def root(place: int) -> int:
        while partner[place] != place:
            partner[place] = partner[partner[place]]
            place = partner[place]
        return place

    first: dict[tuple[str, str], int] = {}
    narrow = any(str(tensor["dtype"]).startswith(("F8", "F4")) for tensor in tensors)
    for place, tensor in enumerate(tensors):
        marks = [("same", f"{tensor['sample']} {tensor['dtype']} {tensor['shape']}")]
        if narrow:
            # A weight and its scales belong to one module.
            marks.append(("module", tensor["name"].rsplit(".", 2 if tensor["name"].endswith((".scale", ".scale_inv")) else 1)[0]))
        for mark in marks:
            other = first.setdefault(mark, place)
            partner[max(root(place), root(other))] = min(root(place), root(other))
    together: dict[int, list[int]] = {}
    for place in range(len(tensors)):
        together.setdefault(root(place), []).append(place)
    made: list[list[int]] = []
    size = _TOGETHER
    for places in together.values():
        more = sum(int(tensors[place]["bytes"]) for place in places)
        if size + more > _TOGETHER:
            made.append([])
            size = 0
        made[-1].extend(places)
        size += more
    return [sorted(places) for places in made]


def compress(
    source: str | PathLike[str],
    path: str | PathLike[str],
    codec: Codec,
    *,
    address: str | None = None,
    cpus: float = 1,
    memory: int | None = None,
    retries: int = 3,
    progress: Progress | None = None,
    **options: Any,
) -> Summary:
    """Compresses a checkpoint on a cluster.

    The file has the bytes that :func:`seedpress.compress_file` would write. It is written on this machine, whole or not at all; the
    checkpoint is read by those that do the tasks.

    Args:
        source: A ``.safetensors`` file, the index of a sharded checkpoint, or a folder that holds either, under a path that all machines see.
        path: The ``.sdp`` file, on this machine, or an address of fsspec to which it is copied once it is whole.
        codec: As in :func:`seedpress.save_file`.
        address: The cluster: ``"auto"``, or where its head is; ``None`` makes this machine one.
        cpus: Processors that a task takes.
        memory: Bytes of memory that a task takes; by default they follow from its tensors.
        retries: How often a task is tried again where its machine is lost.
        progress: Called with bytes done, bytes in all and what was finished.
        options: Those of :func:`seedpress.save_file`, without ``calibration`` and ``progress``.

    Returns:
        What became of each tensor.
    """
    if is_address(path):
        if not options.get("overwrite", True) and exists(fspath(path)):
            raise FileExistsError(17, "it is there already, and overwrite=False", fspath(path))
        with tempfile.TemporaryDirectory(prefix="seedpress-") as folder:
            whole = Path(folder) / "model.sdp"
            cluster = {"address": address, "cpus": cpus, "memory": memory, "retries": retries}
            summary = compress(source, whole, codec, progress=progress, **cluster, **options)
            upload(whole, fspath(path))
        return summary
    chosen = settings(codec, **options)
    place = fspath(Path(source).resolve())
    if not chosen["overwrite"] and Path(path).exists():
        raise FileExistsError(17, "it is there already, and overwrite=False", fspath(path))
    listed = json.loads(_native.tensors(place))
    tensors = listed["tensors"]
    joiner = _native.Joiner(place, path, chosen)
    tasks = [_task(place, tensors, places, {**chosen, "threads": max(1, int(cpus))}) for places in groups(tensors)]
    summaries: dict[int, TensorSummary] = {}
    done, total = 0, sum(task.size for task in tasks)
    try:
        with connected(address) as ray:
            limits = {"cpus": cpus, "memory": memory, "retries": retries, "local": address is None}
            for task, (data, needed, text) in run(ray, part, tasks, **limits):
                places = task.arguments[1]
                joiner.push(places, np.frombuffer(data, np.uint8), needed)
                summaries.update(zip(places, Summary._parse(text).tensors, strict=True))
                done += task.size
                if progress is not None:
                    progress(done, total, task.name.removeprefix("compress "))
        written = joiner.finish()
    finally:
        joiner.close()
    ordered = tuple(summaries[at] for at in range(len(tensors)))
    return Summary(written, listed["source_bytes"], ordered)


def _task(place: str, tensors: list[dict[str, Any]], places: list[int], chosen: Any) -> Task:
    sizes = [int(tensors[at]["bytes"]) for at in places]
    name = tensors[places[0]]["name"] + (f" and {len(places) - 1} more" if len(places) > 1 else "")
    return Task(f"compress {name}", (place, places, chosen), _IDLE + _IN_WORK * max(sizes), sum(sizes))
