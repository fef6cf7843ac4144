"""What figures of rows are and how they are printed, without the code that draws reports."""

import math
import re
from statistics import median


def total(rows, field):
    return sum(row[field] if row[field] is not None else math.nan for row in rows)


def relative_mse(rows):
    error = total(rows, "squared_error")
    return 0.0 if error == 0 else error / total(rows, "energy")


def bits(rows):
    return 8 * total(rows, "bytes") / total(rows, "weights")


def gap(rows):
    return 10 * (math.log10(relative_mse(rows)) + bits(rows) * math.log10(4))


def tensor_speed(rows, field):
    rows = [row for row in rows if row["status"] == "ok" and row[field]]
    seconds = sum(median(row[field]) for row in rows)
    return total(rows, "weights") / seconds if seconds else None


def row_speed(row, field):
    return row["weights"] / median(row[field]) if row and row[field] and median(row[field]) > 0 else None


def plain_text(cell):
    return re.sub(r"\\(.)", r"\1", cell.strip().strip("*")).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def significant(value, digits):
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -7 <= size <= 15:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(power)}"
    return f"{value:.{min(12, max(0, digits - 1 - size))}f}"


def fixed(value, decimals):
    text = f"{value:.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def per_second(value):
    units, unit = ["", " K", " M", " G", " T"], 0
    while abs(value) >= 999.5 and unit < 4:
        value, unit = value / 1000, unit + 1
    return significant(value, 3) + units[unit]
