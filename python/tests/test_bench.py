"""Experiments from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import seedpress
from seedpress import _native

from .conftest import ROOT, Note

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
    pytest.importorskip("pandas")
    frame = results.frame
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


@experiments
def test_progress_is_told(config: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    seedpress.bench(config, out=tmp_path / "out", cache=tmp_path / "cache", progress=lambda *now: told.append(now))
    assert told[-1][:2] == (6 * 64 * 128, 6 * 64 * 128) and " on " in told[-1][2]

    def stop(done: int, total: int, name: str) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        seedpress.bench(config, out=tmp_path / "out", cache=tmp_path / "cache", fresh=True, progress=stop)


def test_a_folder_of_results_is_read_without_a_run(tmp_path: Path) -> None:
    results = seedpress.Results(ROOT / "reports/seedlm")
    assert results.charts and all(chart.lstrip().startswith("<") for chart in results.charts.values())
    keys = [(row["key"], row.get("metric", "")) for row in results.rows]
    assert keys and len(set(keys)) == len(keys)
    lines = ['{"key":"a","status":"failed"}', '{"key":"a","metric":"x","status":"ok"}', '{"key":"a","metric":"y"}', '{"key":']
    (tmp_path / "results.jsonl").write_text("\n".join(lines))
    assert [row["metric"] for row in seedpress.Results(tmp_path).rows] == ["x", "y"]


def test_frames_of_pandas_and_polars(note: Note) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for folder in ("seedlm", "full"):
        results = seedpress.Results(ROOT / "reports" / folder)
        frame, other = results.frame, results.polars
        assert isinstance(frame, pandas.DataFrame) and isinstance(other, polars.DataFrame)
        assert len(frame) == len(other) == len(results.rows)
        assert frame.bits_per_weight.min() > 0 and frame.bits_per_weight.tolist() == pytest.approx(other["bits_per_weight"].to_list())
        assert frame.relative_error.max() == pytest.approx(other["relative_error"].max())
        worst = other.filter(polars.col("kind") == "tensor").group_by("codec").agg(polars.col("relative_error").max())
        again = frame[frame.kind == "tensor"].groupby("codec").relative_error.max()
        assert {row["codec"]: row["relative_error"] for row in worst.iter_rows(named=True)} == pytest.approx(again.to_dict())
    note("rows of `reports/full` as frames", f"{len(frame)} rows of {frame.shape[1]} columns, the same figures in both")


def test_a_notebook_shows_charts() -> None:
    shown = seedpress.Results(ROOT / "reports/full")._repr_html_()
    assert shown.count("<svg") == len(seedpress.Results(ROOT / "reports/full").charts) > 3 and "<script" not in shown


def test_a_notebook_is_run(tmp_path: Path, note: Note) -> None:
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    lines = f"import seedpress\nseedpress.Results({str(ROOT / 'reports/full')!r})"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(lines)])
    client.NotebookClient(book, timeout=120).execute(cwd=str(tmp_path))
    [output] = book.cells[0].outputs
    charts = output.data["text/html"].count("<svg")
    assert charts > 3
    note("a notebook's output of `seedpress.Results`", f"{charts} charts inline")


def test_a_build_without_experiments_says_so() -> None:
    if not hasattr(_native, "bench"):
        with pytest.raises(seedpress.ConfigError, match="no experiments"):
            seedpress.bench("configs/quick.toml")
