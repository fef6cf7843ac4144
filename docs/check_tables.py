"""The tables of report.md that are not of one model, recomputed from the rows: used by check_numbers.py.

Cells compare as they are printed, so rounding counts too; where the last digit hangs on the order of a sum, one step of it is let pass.
"""

import math
import re
import statistics

from numbers_of_rows import bits, fixed, gap, per_second, plain_text, relative_mse, row_speed, significant, tensor_speed


def tables(text):
    """Title, headings and lines of cells of every table of a Markdown file."""
    for part in re.finditer(r"^### ([^\n]*)\n\n(\|.*?)(?:\n\n|\Z)", text, re.S | re.M):
        lines = [[plain_text(cell) for cell in re.split(r"(?<!\\) \| ", line.strip()[1:-1])] for line in part[2].split("\n") if line.startswith("|")]
        yield plain_text(part[1]), lines[0], lines[2:]


class Tables:
    """Recomputes the cells of a report's tables."""

    def __init__(self, report, check):
        self.report, self.check = report, check
        self.codecs = {label: codec for codec, label in reversed(report.labels.items())}

    def same(self, where, found, wanted):
        """As printed, or a step of the last digit from it."""
        if found != wanted and not (close(found, wanted)):
            self.check.bad.append(f"{where}: {found!r} stands there, the rows say {wanted!r}")
        self.check.count += 1

    def row(self, title, heads, cells, wanted):
        where = f"{self.report.folder.name}/report.md, {title}, {cells[0]}"
        for head, cell in zip(heads, cells):
            if head in wanted:
                self.same(f"{where}, {head}", cell, wanted[head])

    def scoped(self, codec, scope):
        """Measured tensors of a codec in the scope that a title names."""
        rows = [row for (c, _), own in self.report.by_cell.items() if c == codec for row in own]
        keep = lambda row: row["status"] == "ok" and row["weights"] > 0 and (row["model"], row["tensor"]) not in self.report.policy
        inside = {
            "real weights": lambda row: not row["synthetic"],
            "synthetic weights": lambda row: row["synthetic"],
            "synthetic Gaussian weights": lambda row: row["synthetic"] and "gauss" in row["model"].lower(),
        }[scope]
        return [row for row in rows if keep(row) and inside(row)]

    def run(self):
        for title, heads, lines in tables((self.report.folder / "report.md").read_text()):
            kind, _, scope = title.partition(": ")
            own = {"All models of trained weights": self.overview, "Speed": self.speed, "Accuracy": self.accuracy, "Layers": self.prefixes,
                   "Ratio by layer type": self.layer_types, "Tensors that round-tripped": self.success, "Best metric kept at each ratio, whole file": self.best,
                   "Rows at 10x and beyond": self.beyond, "Scatter of encoders": self.scatter}.get(kind)
            for cells in lines if own else []:
                own(title, scope, heads, cells)

    def overview(self, title, _, heads, cells):
        codec, report = self.codecs[cells[0]], self.report
        whole = [report.whole(codec, model) for model in report.model_names if model not in report.synthetic]
        wanted = {}
        if all(whole):
            wanted |= {"bits/weight": fixed(bits(whole), 3), "ratio vs f32": fixed(32 / bits(whole), 2)}
        for head in heads:
            if match := re.fullmatch(r"(.*) KL divergence, (?:nat|bit)", head):
                row = report.whole(codec, match[1], "KL divergence")
                wanted[head] = significant(row["compressed"], 3) if row else "-"
            elif head.startswith("KL divergence over") and (average := report.average(codec)):
                wanted[head] = significant(average[1], 3)
        rows = report.measured(codec)
        wanted |= {f"{way} weights/s": per_second(speed) for way in ("encode", "decode") if (speed := tensor_speed(rows, f"{way}_seconds"))}
        self.row(title, heads, cells, wanted)

    def speed(self, title, scope, heads, cells):
        rows = self.scoped(self.codecs[cells[0]], scope)
        wanted = {f"{way} weights/s": per_second(speed) for way in ("encode", "decode") if (speed := tensor_speed(rows, f"{way}_seconds"))}
        if decode := tensor_speed(rows, "decode_seconds"):
            wanted["decode / memcpy"] = significant(decode / (self.report.run["memcpy_bytes_per_second"] / 4), 3)
        self.row(title, heads, cells, wanted)

    def accuracy(self, title, scope, heads, cells):
        rows = self.scoped(self.codecs[cells[0]], scope)
        mse = relative_mse(rows)
        errors = [math.sqrt(relative_mse([row])) for row in rows]
        mean = sum(errors) / len(errors)
        sums = {field: sum(row[field] for row in rows) for field in ("dot", "energy", "decoded_energy")}
        product = sums["energy"] * sums["decoded_energy"]
        wanted = {
            "bits/weight": fixed(bits(rows), 3), "relative error": significant(math.sqrt(mse), 3), "relMSE": significant(mse, 3),
            "SNR dB": fixed(-10 * math.log10(mse), 2) if mse else "∞", "gap dB": fixed(gap(rows), 2) if mse else "-",
            "cosine": fixed(sums["dot"] / math.sqrt(product), 5) if product else "-", "mean": significant(mean, 3),
            "deviation": significant(math.sqrt(sum((error - mean) ** 2 for error in errors) / len(errors)), 2), "max": significant(max(errors), 3),
        }
        self.row(title, heads, cells, wanted)

    def prefixes(self, title, scope, heads, cells):
        rows = [row for row in self.scoped(self.codecs[cells[0]], scope) if len(row["prefixes"]) > 1]
        at = lambda layer: [row["prefixes"][min(layer, len(row["prefixes"]) - 1)] for row in rows]
        weights, energy = sum(row["weights"] for row in rows), sum(row["energy"] for row in rows)
        size = lambda layer: 8 * sum(prefix["bytes"] for prefix in at(layer)) / weights
        error = lambda layer: sum(prefix["squared_error"] for prefix in at(layer)) / energy
        layer = int(cells[1]) - 1
        wanted = {
            "bits/weight": fixed(size(layer), 3), "relative error": significant(math.sqrt(error(layer)), 3), "bytes vs first layer": f"{fixed(100 * size(layer) / size(0), 0)} %",
            "gap dB": fixed(10 * math.log10(error(layer) * 4 ** size(layer)), 2),
            "improvement": f"{fixed(100 * (1 - math.sqrt(error(layer) / error(layer - 1))), 1)} %" if layer else "-",
        }
        self.row(title, heads, cells, wanted)

    def layer_types(self, title, scope, heads, cells):
        rows = self.scoped(self.codecs[cells[0]], scope)
        kinds = {head: [row for row in rows if row["layer_type"] == head] for head in heads[1:]}
        self.row(title, heads, cells, {head: f"{fixed(32 / bits(own), 2)}x" if own else "-" for head, own in kinds.items()})

    def success(self, title, _, heads, cells):
        codec, wanted = self.codecs[cells[0]], {}
        for head in heads[1:]:
            rows = self.report.by_cell[codec, head.removesuffix(" (synthetic)")]
            if rows:
                wanted[head] = f"{sum(row['status'] == 'ok' for row in rows)} of {len(rows)}"
        self.row(title, heads, cells, wanted)

    def scatter(self, title, _, heads, cells):
        report, name = self.report, cells[2]
        codec = next(codec for codec, label in report.labels.items() if name in (codec, f"{label} ({codec})"))
        row = report.whole(codec, cells[0].removesuffix(" (synthetic)"), cells[1])
        value, drawn, (low, high) = row["compressed"], row["drawn"], row["interval"]
        spread = statistics.stdev([value, *drawn]) / value
        wanted = {"draws": str(len(drawn)), "spread": f"{significant(100 * spread, 2)} %"}
        wanted |= zip(("figure", "least drawn", "most drawn", "low", "high"), (significant(x, 4) for x in (value, min(drawn), max(drawn), low, high)))
        self.row(title, heads, cells, wanted)

    def metric(self, row):
        ends = " [{}, {}]".format(*(significant(end, 4) for end in row["interval"])) if row["interval"] else ""
        return f"{significant(row['baseline'], 4)} → {significant(row['compressed'], 4)}{ends}"

    def best(self, title, _, heads, cells):
        report, (model, metric, least, label) = self.report, cells[:4]
        step = float(least.rstrip("x"))
        rows = [row for row in report.models if row["model"] == model and row["metric"] == metric and row["status"] == "ok" and row["compressed"] is not None
                and report.ids.get(row["codec"]) != "zeros" and 4 * row["weights"] / row["bytes"] >= step]
        sign = lambda row: -row["compressed"] if row["higher_is_better"] else row["compressed"]
        if label == "no row of this run":
            self.same(f"{report.folder.name}/report.md, {title}, {model}, {metric}, {least}", label, "no row of this run" if not rows else rows[0]["codec"])
            return
        own = next((row for row in rows if row["codec"] == self.codecs[label]), None)
        # Of rows that keep alike, any may stand there.
        if own is None or sign(own) != min(map(sign, rows)):
            self.check.bad.append(f"{report.folder.name}/report.md, {title}: {label} is not the best of {model} at {least}")
            return
        self.row(f"{title}, {model}, {metric}, {least}", heads, cells, {"ratio": f"{fixed(4 * own['weights'] / own['bytes'], 1)}x", "before → after [95 %]": self.metric(own)})

    def beyond(self, title, model, heads, cells):
        codec, report = self.codecs[cells[0]], self.report
        row = report.whole(codec, model)
        wanted = {"bits/weight": fixed(8 * row["bytes"] / row["weights"], 3), "ratio": f"{fixed(4 * row['weights'] / row['bytes'], 1)}x"}
        for head in heads:
            if match := re.fullmatch(r"(.*?)(?:, \w+)? before → after \[95 %\]", head):
                own = report.whole(codec, model, match[1])
                wanted[head] = self.metric(own) if own else "-"
        self.row(title, heads, cells, wanted)


def close(found, wanted):
    """Whether two printed numbers differ by one step of the last digit."""
    number = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
    if number.sub("#", found) != number.sub("#", wanted):
        return False
    step = lambda text: 10 ** -len(text.split("e")[0].partition(".")[2]) * 10 ** float(text.partition("e")[2] or 0)
    return all(abs(float(a) - float(b)) <= 1.01 * step(b) for a, b in zip(number.findall(found), number.findall(wanted)))
