"""What the README says, run as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT


def blocks(path: Path) -> list[str]:
    """The Python in a page."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path) -> str:
    """What a script prints, in a folder of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_lines_of_the_readme(tmp_path: Path) -> None:
    first = next(block for block in blocks(ROOT / "README.md") if "seedpress" in block)
    found = re.fullmatch(r"(\d\.\d\d) bits a weight, relative error (0\.\d{3})\n", run(first, tmp_path))
    assert found is not None and float(found[1]) < 3.2 and float(found[2]) < 0.15


def test_the_lines_of_the_packages_readme(tmp_path: Path) -> None:
    bits, error = run(blocks(ROOT / "python/README.md")[0], tmp_path).split()
    assert float(bits) < 3.2 and float(error) < 0.15


def test_the_lines_about_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = """
import numpy as np, seedpress, torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64))
model.register_buffer("head", torch.randn(40, 40))
batch = torch.randn(128, 64)
batches = [batch]
"""
    named = 'state = {f"layers.{name}": tensor for name, tensor in model.state_dict().items()}\nmodel.state_dict = lambda: state\n'
    torch_lines = next(block for block in blocks(ROOT / "README.md") if "calibrate" in block)
    shown = "print(sorted(state), sorted(path for path in __import__('os').listdir()))"
    assert "model.sdp" in run(model + torch_lines + shown, tmp_path)
    files, calibrated = blocks(ROOT / "python/README.md")[1:3]
    assert "times smaller" in run(model + calibrated, tmp_path)
    assert run(model + named + files, tmp_path).startswith("(64, 64) [[")
