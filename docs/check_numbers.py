"""Recomputes every number of the reports' pages and of the prose from the rows, without the code that drew them.

usage: python3 docs/check_numbers.py [ROOT]      exit status 1 if anything differs

Only the standard library. What is recomputed: the data of every page (reports/*/index.html), every line of every summary.csv, the figures of
the tables in every report.md, the tables of the codecs' pages, and README.md and the pages below docs that have templates.
"""

import csv
import json
import math
import re
import sys
from collections import defaultdict
from pathlib import Path

from check_tables import Tables
from numbers_of_rows import bits, fixed, gap, per_second, plain_text, relative_mse, row_speed, significant, tensor_speed, total

BROKEN_BELOW = 0.5
SIZES = [1.2, 2.2, 3.4, 4.6, 8.6]
KL = "KL divergence"


class Report:
    """The rows of a folder that count, and what the page groups them by."""

    def __init__(self, folder):
        self.folder = folder
        self.run = json.loads((folder / "run.json").read_text())
        cells = {}
        foreign = folder / "foreign.jsonl"
        stored = (folder / "results.jsonl").read_bytes() + (foreign.read_bytes() if foreign.exists() else b"")
        for line in stored.split(b"\n")[:-1]:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                continue
            cell = cells.setdefault(row["key"], {})
            if row["status"] == "failed":
                cell.clear()
            for name in [name for name, old in cell.items() if old["status"] == "failed"]:
                del cell[name]
            cell[row.get("metric")] = row
        rows = [row for cell in cells.values() for row in cell.values()]
        self.tensors = [row for row in rows if row["kind"] == "tensor"]
        self.models = [row for row in rows if row["kind"] == "model"]
        self.labels = {row["codec"]: row["label"] or row["codec"] for row in reversed(self.models + self.tensors)}
        self.ids = {row["codec"]: row["codec_id"] for row in self.tensors}
        self.stages = {row["codec"]: row["stage"] for row in self.tensors}
        self.options = {row["codec"]: row["options"] or {} for row in self.tensors}
        self.foreign = {row["codec"] for row in rows if row.get("foreign")}
        order = ["plain", "calibrated", "sequential", "plan", "sequential_plan"]
        self.told = {}
        for row in self.tensors:
            if row.get("mode"):
                self.told[row["codec"]] = max(self.told.get(row["codec"], "plain"), row["mode"], key=order.index)
        self.calibrated = {row["codec"] for row in self.tensors if row["calibrated"]}
        self.synthetic = {row["model"] for row in self.tensors if row["synthetic"]}
        self.by_cell = defaultdict(list)
        for row in self.tensors:
            self.by_cell[row["codec"], row["model"]].append(row)
        self.by_model = defaultdict(list)
        for row in self.models:
            self.by_model[row["codec"], row["model"]].append(row)
        votes = defaultdict(lambda: [0, 0])
        for row in self.tensors:
            if row["status"] == "ok":
                planned = row["codec_id"] == "plan" and row["stored_by"] != "raw"
                votes[row["model"], row["tensor"]][0] += row["stored_by"] is not None and not planned
                votes[row["model"], row["tensor"]][1] += 1
        self.policy = {place for place, (stored, count) in votes.items() if 2 * stored > count}
        found = list(dict.fromkeys(row["model"] for row in self.tensors + self.models))
        order = self.run["models"]
        self.model_names = sorted(found, key=lambda name: order.index(name) if name in order else len(order))

    def measured(self, codec, model=None):
        """Tensors above the small-tensor policy; of all real models without a model."""
        rows = [row for (c, m), own in self.by_cell.items() if c == codec and (m == model or model is None) for row in own]
        keep = lambda row: row["status"] == "ok" and row["weights"] > 0 and (row["model"], row["tensor"]) not in self.policy
        return [row for row in rows if keep(row) and (model or not row["synthetic"])]

    def whole(self, codec, model, metric=None):
        rows = [row for row in self.by_model[codec, model] if row["status"] == "ok"]
        return next((row for row in rows if metric in (None, row["metric"])), None)

    def metrics(self, model):
        return list(dict.fromkeys(row["metric"] for row in self.models if row["model"] == model and row["metric"]))

    def floor(self):
        return next((codec for codec, own in self.ids.items() if own == "zeros"), None)

    def mode(self, codec):
        if codec in self.foreign:
            return "foreign"
        if codec in self.told:
            return "planned" if self.told[codec].endswith("plan") else self.told[codec]
        if self.ids.get(codec) == "plan":
            return "planned"
        if self.options.get(codec, {}).get("sequential") is True or codec.endswith(" sequential"):
            return "sequential"
        return "calibrated" if codec in self.calibrated else "plain"

    def family(self, codec):
        name = self.ids[codec] + ("+" + self.stages[codec] if self.stages[codec] else "")
        return name if self.mode(codec) in ("plain", "planned") else f"{name} {self.mode(codec)}"

    def kept(self, codec, model):
        headline = (self.metrics(model) or [None])[0]
        floor = self.whole(self.floor(), model, headline) if headline and self.floor() else None
        row = self.whole(codec, model, headline) if headline else None
        if not floor or not row or None in (floor["compressed"], row["baseline"], row["compressed"]):
            return None
        if floor["compressed"] == row["baseline"]:
            return None
        return (row["compressed"] - floor["compressed"]) / (row["baseline"] - floor["compressed"])

    def broken(self, codec, model):
        if self.ids.get(codec) == "zeros":
            return False
        kept = self.kept(codec, model)
        if kept is not None:
            return kept < BROKEN_BELOW
        rows = [row for row in self.by_cell[codec, model] if row["status"] == "ok"]
        return bool(rows) and not relative_mse(rows) < 1

    def divergence_models(self):
        return [model for model in self.model_names if model not in self.synthetic and KL in self.metrics(model)]

    def average(self, codec):
        """Bits per weight and the geometric mean of ratios to the reference."""
        models = self.divergence_models()
        known = list(self.ids)
        reference = next((name for name in ("q4_k", "q4_0", "nf4", "rtn") if name in known), None)
        if reference is None:
            lossy = lambda c: all((self.whole(c, m, KL) or {"compressed": 0})["compressed"] > 0 for m in models)
            reference = next((c for c in self.run["codecs"] if c in known and self.ids[c] != "zeros" and lossy(c)), None)
        rows = [(self.whole(codec, model, KL), self.whole(reference, model, KL)) for model in models] if reference else []
        if not rows or any(a is None or b is None for a, b in rows):
            return None
        logs = [math.log(a["compressed"] / b["compressed"]) if a["compressed"] else -math.inf for a, b in rows]
        bits = 8 * sum(a["bytes"] for a, _ in rows) / sum(a["weights"] for a, _ in rows)
        return bits, math.exp(sum(logs) / len(logs)), reference


class Check:
    """Counts comparisons and names differences."""

    def __init__(self):
        self.count, self.bad = 0, []

    def same(self, where, found, wanted, tolerance=2e-6):
        self.count += 1
        if found is None or wanted is None:
            equal = found is wanted or (found is None and wanted is not None and not math.isfinite(wanted))
        elif isinstance(wanted, str) or isinstance(found, str):
            equal = found == wanted
        else:
            equal = found == wanted or abs(found - wanted) <= tolerance * max(abs(found), abs(wanted))
        if not equal:
            self.bad.append(f"{where}: {found!r} stands there, the rows say {wanted!r}")


def check_page(report, check):
    page = (report.folder / "index.html").read_text()
    data = json.loads(re.search(r'id="rows">(.*?)</script>', page, re.S)[1])
    name = report.folder.name
    metrics = data["metrics"]
    seen = set()
    for cell in data["cells"]:
        codec, model = data["codecs"][cell["c"]]["name"], data["models"][cell["m"]]["name"]
        seen.add((codec, model))
        where = f"{name}/index.html, {codec} on {model}"
        row = report.whole(codec, model)
        check.same(where + ", bytes", cell.get("b"), row and row["bytes"])
        check.same(where + ", weights", cell.get("n"), row and row["weights"])
        values = cell.get("v", {})
        for index, metric in enumerate(metrics):
            own = report.whole(codec, model, metric)
            wanted = own and [own["compressed"], *(own["interval"] or [None, None])]
            found = values.get(str(index))
            check.same(f"{where}, {metric}", found is None, wanted is None)
            for a, b in zip(found or [], wanted or []):
                check.same(f"{where}, {metric}", a, b)
        rows = report.measured(codec, model)
        if rows:
            wanted = [total(rows, field) for field in ("bytes", "weights", "squared_error", "energy")]
            for a, b in zip(cell["e"], wanted):
                check.same(where + ", sums", a, b)
        else:
            check.same(where + ", sums", cell.get("e"), None)
        for place, field in enumerate(("encode_seconds", "decode_seconds")):
            wanted = row_speed(row, field) or tensor_speed(report.by_cell[codec, model], field)
            check.same(f"{where}, {field}", cell["s"][place], wanted, 5.1e-3)
        check.same(where + ", broken", bool(cell.get("x")), report.broken(codec, model))
    wanted = {place for place in list(report.by_cell) + list(report.by_model) if report.by_cell[place] or report.by_model[place]}
    for place in wanted - seen:
        if report.by_model[place] or any(row["status"] == "ok" for row in report.by_cell[place]):
            check.bad.append(f"{name}/index.html lacks {place}")
    for index, model in enumerate(data["models"]):
        for place, own in model["metrics"].items():
            row = next(row for row in report.models if row["model"] == model["name"] and row["metric"] == metrics[int(place)] and row["status"] == "ok")
            check.same(f"{name}/index.html, {model['name']} uncompressed", own["baseline"], row["baseline"])
            check.same(f"{name}/index.html, {model['name']} samples", own["samples"], row["samples"])


def check_summary(report, check):
    with open(report.folder / "summary.csv", newline="") as lines:
        for line in csv.DictReader(lines):
            codec, model = line["codec"], line["model"]
            where = f"{report.folder.name}/summary.csv, {codec} on {model}, {line['metric']}"
            number = lambda field: float(line[field]) if line[field] else None
            row = report.whole(codec, model, line["metric"]) if line["metric"] else report.whole(codec, model)
            rows = [row for row in report.by_cell[codec, model] if row["status"] == "ok"]
            if row:
                check.same(where, number("bytes"), row["bytes"])
                check.same(where, number("bits_per_weight"), 8 * row["bytes"] / row["weights"])
                check.same(where, number("ratio"), 4 * row["weights"] / row["bytes"])
                check.same(where, number("compressed"), row["compressed"])
                check.same(where, number("baseline"), row["baseline"])
                for field, end in (("low", 0), ("high", 1)):
                    check.same(where, number(field), row["interval"] and row["interval"][end])
            if rows and number("relative_error") is not None:
                mse = relative_mse(rows)
                check.same(where, number("relative_error"), math.sqrt(mse))
                check.same(where, number("relative_mse"), mse)
                if mse > 0:
                    check.same(where, number("snr_db"), -10 * math.log10(mse), 1e-5)
                    check.same(where, number("gap_db"), gap(rows), 1e-4)


def check_tables(report, check):
    """The tables of models in report.md: bits, ratios, error and metrics as they are printed."""
    text = (report.folder / "report.md").read_text()
    for model in report.model_names:
        title = model if model not in report.synthetic or "synthetic" in model.lower() else f"{model} (synthetic)"
        part = re.search(rf"^### {re.escape(title)}\n\n(\|.*?)\n\n", re.sub(r"\\(.)", r"\1", text), re.S | re.M)
        if not part:
            check.bad.append(f"{report.folder.name}/report.md has no table of {title}")
            continue
        lines = part[1].split("\n")
        heads = [head.strip() for head in lines[0].strip("|").split("|")]
        for line in lines[2:]:
            cells = dict(zip(heads, (plain_text(cell) for cell in line.strip("|").split(" | "))))
            codec = next((codec for codec, label in report.labels.items() if label == cells["codec"]), None)
            where = f"{report.folder.name}/report.md, {cells['codec']} on {model}"
            row = codec and report.whole(codec, model)
            if not row:
                continue
            rows = [row for row in report.by_cell[codec, model] if row["status"] == "ok"]
            check.same(where, cells["bits/weight"], fixed(8 * row["bytes"] / row["weights"], 3))
            check.same(where, cells["ratio vs f32"], fixed(4 * row["weights"] / row["bytes"], 2))
            check.same(where, cells["ratio vs source"], fixed(row["source_bytes"] / row["bytes"], 2))
            if rows:
                check.same(where, cells["relative error"], significant(math.sqrt(relative_mse(rows)), 3))
            for metric in report.metrics(model):
                own = report.whole(codec, model, metric)
                head = next(head for head in heads if re.fullmatch(re.escape(metric) + r"(, \w+)? before → after \[95 %\]", head))
                if own:
                    ends = " [{}, {}]".format(*(significant(end, 4) for end in own["interval"])) if own["interval"] else ""
                    wanted = f"{significant(own['baseline'], 4)} → {significant(own['compressed'], 4)}{ends}"
                    check.same(f"{where}, {metric}", cells[head], wanted)


class Prose:
    """The language of the templates once more: see crates/report/src/docs/query.rs."""

    def __init__(self, reports):
        self.reports = reports

    def row(self, report, name):
        if name in report.labels:
            return name
        return next(codec for codec, label in report.labels.items() if label == name)

    def is_kind(self, report, codec, kind):
        if report.ids.get(codec) in (None, "zeros"):
            return False
        if kind in ("plain", "calibrated", "sequential", "planned", "foreign"):
            return report.mode(codec) == kind
        if kind == "lossy":
            return any(row["squared_error"] != 0 for row in report.tensors if row["codec"] == codec)
        return kind in (report.family(codec), codec, report.labels[codec])

    def figure(self, report, model, name, field):
        report = self.reports[report]
        codec = self.row(report, name)
        rows = report.measured(codec, None if model == "*" else model)
        if field == "average":
            return report.average(codec)[1]
        if field == "relative error":
            return math.sqrt(relative_mse(rows))
        if field == "snr":
            return -10 * math.log10(relative_mse(rows))
        if field == "gap":
            return gap(rows)
        if field == "tensor bits":
            return bits(rows)
        if model == "*" and field in ("bits", "ratio"):
            whole = [report.whole(codec, own) for own in report.model_names if own not in report.synthetic]
            return bits(whole) if field == "bits" else 32 / bits(whole)
        if field in ("encode", "decode"):
            field += "_seconds"
            return tensor_speed(rows, field) if model == "*" else row_speed(report.whole(codec, model), field)
        if field == "decode of memcpy":
            return tensor_speed(rows, "decode_seconds") / (report.run["memcpy_bytes_per_second"] / 4)
        row = report.whole(codec, model)
        simple = {"bytes": lambda: row["bytes"], "bits": lambda: bits([row]), "ratio": lambda: 32 / bits([row]),
                  "source ratio": lambda: row["source_bytes"] / row["bytes"], "weights": lambda: row["weights"]}
        if field in simple:
            return simple[field]()
        metric, _, part = field.partition(".")
        row = report.whole(codec, model, metric)
        return {"": row["compressed"], "baseline": row["baseline"], "low": (row["interval"] or [0, 0])[0],
                "high": (row["interval"] or [0, 0])[1], "samples": row["samples"]}[part]

    def curve(self, report, model, metric, kind):
        points = sorted(
            (row["bytes"], row["compressed"]) for row in report.models
            if row["model"] == model and row["metric"] == metric and row["status"] == "ok" and (row["compressed"] or 0) > 0 and kind(row["codec"])
        )
        best, envelope = math.inf, []
        for size, value in points:
            if value < best:
                best = value
                envelope.append((size, value))
        return envelope

    def at(self, curve, size):
        for (a, x), (b, y) in zip(curve, curve[1:]):
            if a <= size <= b:
                return math.exp(math.log(x) + math.log(size / a) / math.log(b / a) * math.log(y / x))
        return None

    def number(self, query):
        query = query.strip()
        verb, _, rest = query.partition(" ")
        if verb in ("minus", "over"):
            a, b = (self.number(part) for part in re.fullmatch(r"\{(.*?)\}\s*\{(.*)\}", rest).groups())
            return a - b if verb == "minus" else a / b
        if verb in ("at", "step"):
            report, model, kind, metric, row = (part.strip() for part in rest.split("|"))
            report = self.reports[report]
            size = report.whole(self.row(report, row), model, metric)["bytes"]
            step = lambda codec: report.labels[codec].split(" ")[0] == kind
            mine = lambda codec: self.is_kind(report, codec, kind)
            return self.at(self.curve(report, model, metric, step if verb == "step" else mine), size)
        if verb == "smaller":
            report, model, kind, row = (part.strip() for part in rest.split("|"))
            report = self.reports[report]
            own = report.whole(self.row(report, row), model, KL)
            curve = self.curve(report, model, KL, lambda codec: self.is_kind(report, codec, kind))
            for (a, x), (b, y) in zip(curve, curve[1:]):
                if y <= own["compressed"] <= x:
                    return math.exp(math.log(a) + math.log(x / own["compressed"]) / math.log(x / y) * math.log(b / a)) / own["bytes"]
        try:
            return float(query)
        except ValueError:
            return self.figure(*(part.strip() for part in query.split("|")))

    def wins(self, rest, wanted):
        report, metric, kind, others = (part.strip() for part in rest.split("|"))
        report = self.reports[report]
        groups = defaultdict(lambda: ([], []))
        for codec in report.labels:
            own, rival = self.is_kind(report, codec, kind), self.is_kind(report, codec, others)
            if not own and not rival:
                continue
            if metric == "weight error":
                for row in report.measured(codec):
                    if row["weights"] > 16384:
                        groups[row["model"], row["tensor"]][not own].append((row["bytes"], relative_mse([row])))
            else:
                for row in report.models:
                    if row["codec"] == codec and row["metric"] == metric and row["status"] == "ok":
                        sign = -1 if row["higher_is_better"] else 1
                        groups[row["model"], ""][not own].append((row["bytes"], sign * row["compressed"]))
        won = count = 0
        for subjects, rivals in groups.values():
            for size, loss in subjects:
                fits = [other for other in rivals if other[0] <= size]
                count += bool(fits)
                won += bool(fits) and all(loss < other[1] for other in fits)
        if not {"all": won == count > 0, "most": 2 * won > count, "any": won > 0, "count": count > 0}[wanted]:
            raise ValueError(f"not supported: {won} of {count}")
        return f"{won} of {count}"

    def where(self, rest):
        report, metric, claim = (part.strip() for part in rest.split("|"))
        a, b = (part.strip() for part in claim.split(" < "))
        spoken = {"fashion-mlp": "the MLP", "fashion-cnn": "the CNN", "sotu-transformer": "the transformer", "sotu-lstm": "the LSTM"}
        own = self.reports[report]
        models = [model for model in own.model_names if model not in own.synthetic and metric in own.metrics(model)]
        holds = [spoken.get(model, model) for model in models if self.figure(report, model, a, metric) < self.figure(report, model, b, metric)]
        if not holds or len(holds) == len(models):
            return "every model" if holds else "no model"
        return holds[0] if len(holds) == 1 else ", ".join(holds[:-1]) + " and " + holds[-1]

    def table(self, name):
        report = self.reports[name]
        entries = sorted(
            ((*found[:2], codec) for codec in report.ids if report.ids[codec] != "zeros" and (found := report.average(codec))),
            key=lambda entry: entry[:2],
        )
        models = report.divergence_models()
        chosen = set()
        for size in SIZES:
            for plain in (False, True):
                fits = [entry for entry in entries if entry[0] <= size and (not plain or report.mode(entry[2]) == "plain")]
                chosen |= {min(fits, key=lambda entry: entry[1])} if fits else set()
        heads = [(model, report.metrics(model)[0]) for model in models]
        lines = []
        for size, ratio, codec in sorted(chosen):
            tasks = [significant(report.whole(codec, model, metric)["compressed"], 4) for model, metric in heads]
            lines.append([report.labels[codec], fixed(size, 2), fixed(32 / size, 1), significant(ratio, 3), *tasks])
        return lines

    def rows(self, rest):
        report, model, *named = (part.strip() for part in rest.split("|"))
        report = self.reports[report]
        named = [name.strip() for name in named[0].split(";")] if named else None
        others = [metric for metric in report.metrics(model) if metric != KL]
        lines = []
        for codec, label in report.labels.items():
            own = {row["metric"]: row for row in report.models if row["codec"] == codec and row["model"] == model and row["status"] == "ok"}
            if KL not in own or (named and codec not in named):
                continue
            row = own[KL]
            low, high = row["interval"] or (0, 0)
            ends = f" [{significant(low, 3)}, {significant(high, 3)}]" if low < high else ""
            rest = [significant(own[metric]["compressed"], 4) if metric in own else "-" for metric in others]
            lines.append(((-row["bytes"], -row["compressed"]), [label, f"{row['bytes']:,}", fixed(bits([row]), 2), significant(row["compressed"], 3) + ends, *rest]))
        return [line for _, line in sorted(lines, key=lambda line: line[0])]

    def answer(self, inside):
        query, _, form = inside.rpartition("=>") if "=>" in inside else (inside, "", "g3")
        query, form = query.strip(), form.strip()
        verb, _, rest = query.partition(" ")
        if verb == "say":
            return rest
        if verb == "assert":
            a, sign, b = re.fullmatch(r"(.*?) (<=|>=|<|>) (.*)", rest).groups()
            a, b = self.number(a), self.number(b)
            if not {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]:
                raise ValueError(f"not supported: {a} {sign} {b}")
            return ""
        if verb == "wins":
            return self.wins(rest, form)
        if verb == "where":
            return self.where(rest)
        if verb == "row":
            report, name = (part.strip() for part in rest.split("|"))
            return self.row(self.reports[report], name)
        if verb == "run":
            report, fact = (part.strip() for part in rest.split("|"))
            report = self.reports[report]
            return {"codecs": lambda: str(len(report.labels)), "models": lambda: str(len(report.model_names)),
                    "cells": lambda: f"{report.run['cells']:,}", "failed": lambda: str(report.run["failed"] or "none"),
                    "commit": lambda: report.run["environment"]["commit"][:10]}[fact]()
        value = self.number(query)
        if value is None and verb == "step":
            return "-"
        kind, rest = form[0], form[1:]
        return {".": lambda: fixed(value, int(rest)), "g": lambda: significant(value, int(rest)), "%": lambda: f"{fixed(100 * value, int(rest))} %",
                "x": lambda: f"{fixed(value, int(rest))}x", ",": lambda: f"{value:,.0f}", "/": lambda: per_second(value)}[kind]()


def check_prose(root, reports, check):
    prose = Prose(reports)
    for template, target in (("README.md", "README.md"), *((name, f"docs/{name}") for name in ("findings.md", "language-models.md", "planning.md"))):
        source = root / "docs/templates" / template
        if not source.exists():
            continue
        text = (root / target).read_text().split("-->\n\n", 1)[-1]
        pieces = re.split(r"\{\{(.*?)\}\}", source.read_text(), flags=re.S)
        # A figure in braces of its own ends in three.
        place = 0
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                found = text.find(piece, place) if index else 0
                if not text.startswith(piece, place):
                    check.bad.append(f"{target}: {text[place:place + 60]!r} where the template has {piece[:60]!r}")
                    return
                place += len(piece)
                continue
            inside = " ".join(piece.split())
            if inside.startswith(("table ", "rows ")):
                end = text.index(pieces[index + 1][:40], place)
                lines = [line for line in text[place:end].split("\n") if line.startswith("|")][2:]
                of_rows = inside.startswith("rows ")
                made = prose.rows(inside[5:]) if of_rows else prose.table(inside.split()[1])
                for line, wanted in zip(lines if of_rows else lines[:-1], made, strict=True):
                    for a, b in zip((plain_text(cell) for cell in line.strip("|").split(" | ")), wanted, strict=True):
                        check.same(f"{target}, table", a, b)
                place = end
                continue
            try:
                wanted = prose.answer(inside)
            except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as problem:
                check.bad.append(f"{target}: {inside}: {problem!r}")
                return
            check.same(f"{target}: {inside}", text[place:place + len(wanted)], wanted)
            place += len(wanted)


def check_codec_pages(root, reports, check):
    """The tables of rows on the codecs' pages, and that no row of theirs is missing."""
    report = reports.get("full")
    prose = Prose(reports)
    for page in sorted((root / "docs/codecs").glob("*.md")) if report else []:
        if not (part := re.search(r"<!-- rows: (.*?) -->\n(.*?)<!-- /rows -->", page.read_text(), re.S)):
            continue
        lines = [[plain_text(cell) for cell in line[1:-1].split(" | ")] for line in part[2].split("\n") if line.startswith("|")][2:]
        codecs = [codec for codec in report.labels if report.ids.get(codec) in part[1].split(" ")]
        check.same(f"docs/codecs/{page.name}, rows", sorted(line[0] for line in lines), sorted(report.labels[codec] for codec in codecs))
        for label, size, ratio, error in lines:
            codec = prose.row(report, label)
            where = f"docs/codecs/{page.name}, {label}"
            figures = ((size, "bits", lambda value: fixed(value, 2)), (ratio, "average", lambda value: significant(value, 3)), (error, "relative error", lambda value: significant(value, 3)))
            for found, field, form in figures:
                if found != "-":
                    check.same(f"{where}, {field}", found, form(prose.figure("full", "*", codec, field)))


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    check = Check()
    folders = sorted(folder.parent for folder in root.glob("reports/*/results.jsonl") if (folder.parent / "run.json").exists())
    reports = {folder.name: Report(folder) for folder in folders}
    for report in reports.values():
        check_page(report, check)
        check_summary(report, check)
        check_tables(report, check)
        Tables(report, check).run()
    check_prose(root, reports, check)
    check_codec_pages(root, reports, check)
    for line in check.bad[:50]:
        print(line)
    print(f"{check.count} numbers recomputed from the rows, {len(check.bad)} differ")
    return 1 if check.bad else 0


if __name__ == "__main__":
    sys.exit(main())
