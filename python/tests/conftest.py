"""What the tests share."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def weights() -> np.ndarray:
    """A matrix of ordinary weights."""
    return np.random.default_rng(1).normal(size=(64, 256)).astype(np.float32)


@pytest.fixture(scope="session")
def command() -> str:
    """The `seedpress` command of this checkout, where it was built."""
    for profile in ("release", "debug"):
        built = ROOT / "target" / profile / "seedpress"
        if built.exists():
            return str(built)
    found = shutil.which("seedpress")
    if found is None:
        pytest.skip("the seedpress command is not built")
    return found


def run(*arguments: str | Path) -> str:
    """What a command prints."""
    return subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True, text=True).stdout
