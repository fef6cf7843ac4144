"""Experiments."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _native
from ._codecs import Progress
from .errors import ConfigError

if TYPE_CHECKING:
    import pandas
    import polars


def repository() -> Path:
    """The repository around the working directory, else the working directory: where reports and records go, as with the command."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        manifest = folder / "Cargo.toml"
        if (folder / ".git").exists() or (manifest.is_file() and "[workspace]" in manifest.read_text(errors="replace")):
            return folder
    return here


class Results:
    """The rows and charts of an experiment. In a notebook it shows its charts."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        """Where ``results.jsonl``, ``report.md`` and ``index.html`` are."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows that count, in the order in which they were measured: of several attempts at a cell the last.

        Fields are those of ``results.jsonl``: ``kind`` is ``tensor`` or ``model``.
        """
        cells: dict[str, dict[str, dict[str, Any]]] = {}
        with (self.folder / "results.jsonl").open("rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except ValueError:
                    # A line that a crash cut.
                    continue
                cell = cells.setdefault(row["key"], {})
                if row.get("status") == "failed" or any(other.get("status") == "failed" for other in cell.values()):
                    cell.clear()
                cell[row.get("metric", "")] = row
        return [row for cell in cells.values() for row in cell.values()]

    @property
    def frame(self) -> pandas.DataFrame:
        """The rows as a pandas frame, with ``bits_per_weight`` and, of tensors, ``relative_error`` beside what was measured."""
        import pandas

        frame = pandas.DataFrame(self.rows)
        if len(frame):
            frame["bits_per_weight"] = 8 * frame["bytes"] / frame["weights"]
        if "squared_error" in frame:
            frame["relative_error"] = (frame["squared_error"] / frame["energy"]) ** 0.5
        return frame

    @property
    def polars(self) -> polars.DataFrame:
        """The same as a polars frame. Tables within rows, such as a codec's options, are columns of JSON text."""
        import polars

        def plain(value: Any) -> Any:
            return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value

        rows = [{name: plain(value) for name, value in row.items()} for row in self.rows]
        frame = polars.from_dicts(rows, infer_schema_length=None) if rows else polars.DataFrame()
        if len(frame):
            frame = frame.with_columns(bits_per_weight=8 * polars.col("bytes") / polars.col("weights"))
        if "squared_error" in frame.columns:
            frame = frame.with_columns(relative_error=(polars.col("squared_error") / polars.col("energy")) ** 0.5)
        return frame

    @property
    def charts(self) -> dict[str, str]:
        """Every chart of the report as SVG, by its name."""
        return {chart.stem: chart.read_text() for chart in sorted((self.folder / "charts").glob("*.svg"))}

    def _repr_html_(self) -> str:
        charts = "\n".join(f"<figure>{chart}</figure>" for chart in self.charts.values())
        return f"<p>{len(self.rows)} rows in {html.escape(str(self.folder))}</p>\n{charts}"

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r}, {len(self.rows)} rows, {len(self.charts)} charts)"


def bench(
    config: str | PathLike[str],
    *,
    only: Sequence[str] = (),
    out: str | PathLike[str] | None = None,
    cache: str | PathLike[str] | None = None,
    fresh: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Results:
    """Runs an experiment, as ``seedpress bench`` does. Finished cells are not measured twice.

    >>> seedpress.bench("configs/quick.toml").frame.groupby("codec").bits_per_weight.mean()    # doctest: +SKIP

    Args:
        config: The experiment, a TOML file.
        only: A part of the matrix: ``codec=..``, ``model=..`` or ``tensor=..``, a part of the name or a pattern; after ``==`` a whole name.
        out: The report's folder; by default ``reports/<run name>`` in the repository around the working directory.
        cache: Where records are kept between runs; by default ``.seedpress-cache`` there.
        fresh: Measure everything anew.
        threads: Threads for encoders, instead of what the config says.
        progress: Called with weights encoded, weights in all, and the cell in work.

    Returns:
        Rows, a frame, charts. A cell that failed is a row that says why.

    Raises:
        ConfigError: Everything that is wrong with the config, each with its line.
        FileError: A folder that cannot be written, or that another run writes to.
        KeyboardInterrupt: Ctrl-C, after the cell in work; finished cells are kept.
    """
    if not hasattr(_native, "bench"):
        raise ConfigError("this build has no experiments: it was made with --no-default-features")
    place = Path(config)
    name = _native.bench_name(place)
    folder = Path(out) if out is not None else repository() / "reports" / name
    records = Path(cache) if cache is not None else repository() / ".seedpress-cache"
    _native.bench(place, folder, records, list(only), fresh, threads, progress)
    _native.bench_report(folder)
    return Results(folder)
