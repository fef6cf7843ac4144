"""Tasks on a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, SeedpressError

_AHEAD = 4
"""Tasks that may be done before their turn, for each that is at work: a lost machine's task is waited for, not outrun by the whole rest."""


@dataclass(frozen=True)
class Task:
    """A call on some machine."""

    name: str
    """What the dashboard shows."""
    arguments: tuple[Any, ...]
    memory: int
    """Bytes it takes."""
    size: int = 1
    """Its share of the work, for those who watch."""


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


def declared(ray: Any, tasks: Sequence[Task], cpus: float, memory: int | None, local: bool) -> list[int]:
    """Memory to declare for each task: no more than the largest machine has, unless it was asked for by the user.

    Raises:
        ConfigError: No machine is large enough, and none can come.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = {what: max((node.get(what, 0) for node in machines), default=0) for what in ("CPU", "memory")}
    wanted = {"CPU": cpus, "memory": memory or 0}
    for what, unit in (("CPU", "processors"), ("memory", "bytes of memory")):
        if wanted[what] > most[what]:
            message = f"a task takes {wanted[what]:g} {unit}, the largest machine has {most[what]:g}"
            if local:
                raise ConfigError(message)
            warnings.warn(f"{message}: waiting for one that has", stacklevel=4)
    return [memory or min(task.memory, int(most["memory"])) for task in tasks]


def run(
    ray: Any,
    function: Callable[..., Any],
    tasks: Sequence[Task],
    *,
    cpus: float,
    memory: int | None,
    retries: int,
    local: bool,
) -> Iterator[tuple[Task, Any]]:
    """Runs a function on every task and yields results as they come.

    A task whose machine is lost, or that the operating system refused something, is tried again elsewhere. Twice as many as there are
    processors are in flight, so that neither tasks nor results pile up. What a task raises is raised here, and ends the others.
    """
    remote = ray.remote(function)
    limits = declared(ray, tasks, cpus, memory, local)
    flying: dict[Any, int] = {}
    following = 0
    try:
        while True:
            room = max(2, 2 * int(ray.cluster_resources().get("CPU", 1) / max(cpus, 0.01)))
            first = min(flying.values(), default=following)
            while following < len(tasks) and len(flying) < room and following - first < _AHEAD * room:
                options = {"name": tasks[following].name, "num_cpus": cpus, "memory": limits[following]}
                again = {"max_retries": retries, "retry_exceptions": [OSError]}
                flying[remote.options(**options, **again).remote(*tasks[following].arguments)] = following
                following += 1
            if not flying:
                return
            ready, _ = ray.wait(list(flying), num_returns=1)
            for reference in ready:
                task = tasks[flying.pop(reference)]
                yield task, _result(ray, reference, task, retries)
    finally:
        for reference in flying:
            ray.cancel(reference, force=True)


def _result(ray: Any, reference: Any, task: Task, retries: int) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # What the task raised, without what Ray wraps around it.
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise SeedpressError(f"`{task.name}` was tried {retries + 1} times: {str(error).splitlines()[0]}") from error
