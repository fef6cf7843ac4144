"""Progress, Ctrl-C, threads, memory, other processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import seedpress

from .conftest import Note


@pytest.fixture
def long() -> np.ndarray:
    """An array whose compression takes seconds."""
    return np.random.default_rng(0).normal(size=(1024, 2048)).astype(np.float32)


def test_progress_is_told_and_may_stop_the_work(long: np.ndarray) -> None:
    told: list[tuple[int, int, str]] = []
    seedpress.compress(long[:256], "trellis:bits=3", name="w", progress=lambda *now: told.append(now))
    assert told and told[-1][1:] == (long[:256].size, "w") and [now[0] for now in told] == sorted(now[0] for now in told)

    def stop(done: int, total: int, name: str) -> None:
        raise RuntimeError("enough")

    start = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        seedpress.compress(long, "trellis:bits=3,effort=best", progress=stop)
    assert time.monotonic() - start < 60


def test_ctrl_c_ends_a_compression(long: np.ndarray) -> None:
    # A shell that runs the tests in the background has signals of the keyboard ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                seedpress.compress(long, "trellis:bits=3,effort=best")
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_run_meanwhile(long: np.ndarray) -> None:
    counted, done = [0], threading.Event()

    def count() -> None:
        while not done.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    seedpress.compress(long[:256], "trellis:bits=3", threads=1)
    done.set()
    thread.join()
    assert counted[0] > 10


def test_threads_of_python_share_an_array(weights: np.ndarray) -> None:
    expected = seedpress.compress(weights, "trellis")
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(seedpress.compress(weights, "trellis"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(weights: np.ndarray) -> None:
    expected = seedpress.compress(weights, "trellis")
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        assert pool.starmap_async(seedpress.compress, [(weights, "trellis")] * 4).get(timeout=120) == [expected] * 4


def peak(body: str) -> int:
    """Bytes by which the peak of a process's memory exceeds what it held before its last line."""
    script = f"""
import resource, numpy as np, seedpress
def held():
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
def most():
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
def reset():
    open("/proc/self/clear_refs", "w").write("5")
{textwrap.dedent(body)}
"""
    return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's counters of memory")
def test_no_copy_beyond_the_codecs_own(note: Note) -> None:
    size = 64 << 20
    make = f"w = np.random.default_rng(0).standard_normal({size} // 4, np.float32).reshape(-1, 4096)\n"
    small = "seedpress.decompress(seedpress.compress(w[:4], 'rtn'))\n"
    # The record, the file and Python's bytes are a seventh of the array each; a copy of the array would be a whole.
    encoded = peak(make + small + "reset(); before = held(); d = seedpress.compress(w, 'q4_0'); print(most() - before)")
    assert encoded < 0.75 * size, encoded / size
    # Decoding takes the values once.
    decoded = peak(make + small + "d = seedpress.compress(w, 'q4_0'); del w; reset(); before = held(); "
                   "w = seedpress.decompress(d); print(most() - before)")  # fmt: skip
    assert decoded < 1.25 * size, decoded / size
    note("peak memory beside an array of 64 MiB, `q4_0`", f"{encoded / size:.2f} of it to compress, {decoded / size:.2f} to decompress")
