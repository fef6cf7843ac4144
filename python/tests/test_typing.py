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


def test_the_stubs_are_what_the_native_module_has(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    if not hasattr(seedpress._native, "bench"):
        pytest.skip("built without experiments")
    # Names that only type checkers see.
    allowed = tmp_path / "allowed"
    allowed.write_text("\n".join(f"seedpress._native.{name}" for name in ("__all__", "Array", "Settings", "type_Path", "type_Progress")))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "seedpress._native", "--allowlist", str(allowed)],
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
