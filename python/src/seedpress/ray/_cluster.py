"""Tasks on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A call on some machine."""

    name: str
    """What the dashboard shows."""
    arguments: tuple[Any, ...]
    memory: int
    """Bytes it takes."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; what was connected before stays so."""
    import ray

    mine = not ray.is_initialized()
    if mine:
        ray.init(address=address, log_to_driver=False)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def run(
    ray: Any,
    function: Callable[..., Any],
    tasks: Iterable[Task],
    *,
    cpus: float,
    retries: int,
) -> Iterator[tuple[Task, Any]]:
    """Runs a function on every task and yields results as they come.

    A task whose machine is lost is tried again elsewhere. Twice as many as there are processors are in flight, so that neither tasks nor
    results pile up. What a task raises is raised here, once.
    """
    remote = ray.remote(function)
    waiting = iter(tasks)
    flying: dict[Any, Task] = {}
    while True:
        room = max(2, 2 * int(ray.cluster_resources().get("CPU", 1) / max(cpus, 0.01)))
        while len(flying) < room and (task := next(waiting, None)) is not None:
            options = {"name": task.name, "num_cpus": cpus, "memory": task.memory, "max_retries": retries}
            flying[remote.options(**options).remote(*task.arguments)] = task
        if not flying:
            return
        ready, _ = ray.wait(list(flying), num_returns=1)
        for reference in ready:
            yield flying.pop(reference), ray.get(reference)
