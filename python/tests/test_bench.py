"""Experiments from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import seedpress
from seedpress import _native

from .conftest import ROOT

experiments = pytest.mark.skipif(not hasattr(_native, "bench"), reason="built without experiments")

CONFIG = """
[run]
name = "small"

[[codec]]
codec = ["rtn", "bf16"]

[[codec]]
codec = "rtn"
bits = 3

[[model]]
synthetic = "gaussian"
shape = [64, 128]

[[model]]
synthetic = "laplace"
shape = [64, 128]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    place = tmp_path / "small.toml"
    place.write_text(CONFIG)
    return place


@experiments
def test_rows_frame_and_charts(config: Path, tmp_path: Path) -> None:
    run = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
    results = seedpress.bench(config, only=["codec==rtn"], **run)
    assert {row["codec"] for row in results.rows} == {"rtn"} and len(results.rows) == 4
    results = seedpress.bench(config, **run)
    assert len(results.rows) == 12 and len({row["key"] for row in results.rows}) == 12
    assert results.charts and "<svg" in results._repr_html_() and "12 rows" in repr(results)
    pandas = pytest.importorskip("pandas")
    frame = results.frame
    assert isinstance(frame, pandas.DataFrame)
    tensors = frame[frame.kind == "tensor"]
    assert (tensors[tensors.codec == "rtn:bits=3"].bits_per_weight < 4).all() and (tensors.relative_error < 1).all()


@experiments
def test_mistakes_are_said_with_their_line(config: Path, tmp_path: Path) -> None:
    config.write_text(CONFIG.replace("bits = 3", "bits = 99"))
    with pytest.raises(seedpress.ConfigError, match="small.toml:10"):
        seedpress.bench(config, out=tmp_path / "out")
    with pytest.raises(seedpress.ConfigError, match="cannot be read"):
        seedpress.bench(tmp_path / "nothing.toml")
    config.write_text(CONFIG)
    with pytest.raises(seedpress.SeedpressError, match="leaves no cell"):
        seedpress.bench(config, only=["codec==nothing"], out=tmp_path / "out")


def test_a_folder_of_results_is_read_without_a_run(tmp_path: Path) -> None:
    results = seedpress.Results(ROOT / "reports/seedlm")
    assert results.charts and all(chart.lstrip().startswith("<") for chart in results.charts.values())
    keys = [(row["key"], row.get("metric", "")) for row in results.rows]
    assert keys and len(set(keys)) == len(keys)
    lines = ['{"key":"a","status":"failed"}', '{"key":"a","metric":"x","status":"ok"}', '{"key":"a","metric":"y"}', '{"key":']
    (tmp_path / "results.jsonl").write_text("\n".join(lines))
    assert [row["metric"] for row in seedpress.Results(tmp_path).rows] == ["x", "y"]
    pandas = pytest.importorskip("pandas")
    frame = results.frame
    assert isinstance(frame, pandas.DataFrame) and frame.bits_per_weight.between(0, 40).all()


def test_a_build_without_experiments_says_so() -> None:
    if not hasattr(_native, "bench"):
        with pytest.raises(seedpress.ConfigError, match="no experiments"):
            seedpress.bench("configs/quick.toml")
