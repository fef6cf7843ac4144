"""What the tests share."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

Note = Callable[[str, str], None]
"""Notes what was checked and what was found."""

_PACKAGES = {
    "test_ray": ["ray", "fsspec"],
    "test_torch": ["torch"],
    "test_transformers": ["transformers", "torch"],
    "test_examples": ["transformers", "torch"],
    "test_numcodecs": ["zarr", "numcodecs"],
    "test_bench": ["pandas", "polars"],
    "test_fuzz": ["numpy", "ml_dtypes"],
    "test_typing": ["mypy"],
}
_rows: list[tuple[str, str, str]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", type=Path, help="a file for a table of what was found")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    table = session.config.getoption("--table")
    if table is None:
        return
    lines = ["| with | checked | found |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in _rows]
    failed, run = session.testsfailed, session.testscollected
    lines.append(f"| numpy {np.__version__} | all tests of the package | {failed} of {run} failed |")
    table.write_text("\n".join(lines) + "\n")


def _version(package: str) -> str | None:
    try:
        return f"{package} {importlib.metadata.version(package).partition('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return None


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Iterator[Note]:
    """Rows for the table of a run of everything; a test that fails has none."""
    versions = ", ".join(filter(None, map(_version, _PACKAGES.get(request.path.stem, ["numpy"]))))
    noted: list[tuple[str, str, str]] = []
    yield lambda checked, found: noted.append((versions, checked, found))
    _rows.extend(noted)


@pytest.fixture
def weights() -> np.ndarray:
    """A matrix of ordinary weights."""
    return np.random.default_rng(1).normal(size=(64, 256)).astype(np.float32)


def _built(name: str) -> str | None:
    """A binary of this checkout, where it was built: the newest."""
    found = [path for profile in ("release", "debug") if (path := ROOT / "target" / profile / name).exists()]
    return str(max(found, key=lambda path: path.stat().st_mtime)) if found else None


@pytest.fixture(scope="session")
def command() -> str:
    """The `seedpress` command of this checkout, where it was built."""
    found = _built("seedpress") or shutil.which("seedpress")
    if found is None:
        pytest.skip("the seedpress command is not built")
    return found


@pytest.fixture(scope="session")
def statistics_command() -> str:
    """The library's example that takes statistics from a file: `cargo build --example statistics`."""
    found = _built("examples/statistics")
    if found is None:
        pytest.skip("the example `statistics` is not built")
    return found


def run(*arguments: str | Path) -> str:
    """What a command prints."""
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
