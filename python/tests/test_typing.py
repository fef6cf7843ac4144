"""Types, and what `help` says."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import seedpress


def test_a_users_file_passes_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    user = Path(__file__).with_name("user.py")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, user],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert checked.returncode == 0, checked.stdout


def test_everything_public_is_documented() -> None:
    for name in seedpress.__all__:
        if name != "__version__":
            assert getattr(seedpress, name).__doc__, name
    text = pydoc.plain(pydoc.render_doc(seedpress.compress))
    for word in ["float32", "Raises", "KeyboardInterrupt", "array:", "codec:"]:
        assert word in text
