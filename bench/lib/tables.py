"""Medians with their spread, ratios within a run, tables for the terminal and for the README."""

import math
import os
import statistics


def clean(values):
    return [value for value in values if value is not None]


def number(value, digits=3):
    """Three significant digits, thousands separated."""
    if value == round(value) and abs(value) < 10 ** digits:
        return str(round(value))
    if abs(value) >= 10 ** digits:
        step = 10 ** (math.floor(math.log10(abs(value))) - digits + 1)
        return f"{round(value / step) * step:,.0f}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 2)}f}"


def spread(values, unit=""):
    """'median (min–max) unit'; only the median when there is nothing to spread."""
    values = clean(values)
    if not values:
        return "n/a"
    middle = number(statistics.median(values))
    unit = f" {unit}" if unit else ""
    if number(min(values)) == number(max(values)):
        return f"{middle}{unit}"
    return f"{middle} ({number(min(values))}–{number(max(values))}){unit}"


def middle(values, unit=""):
    values = clean(values)
    return "n/a" if not values else number(statistics.median(values)) + (f" {unit}" if unit else "")


def time_text(values_us):
    """A time in the unit that suits it."""
    values = clean(values_us)
    if not values:
        return "n/a"
    value = statistics.median(values)
    return f"{number(value)} µs" if value < 1000 else f"{number(value / 1000)} ms"


def ratio(values, others):
    """Median over the runs of value / other of the same run: '3.2×'."""
    if values is others:
        return "–"
    pairs = [a / b for a, b in zip(values, others) if a is not None and b]
    return number(statistics.median(pairs), 2) + "×" if pairs else "–"


class Table:
    def __init__(self, title, header):
        self.title = title
        self.header = header
        self.rows = []
        self.notes = []

    def row(self, *cells):
        self.rows.append(list(cells))

    def section(self, text):
        """A row that heads those below it."""
        self.rows.append([f"**{text}**"] + [""] * (len(self.header) - 1))

    def note(self, text):
        self.notes.append(text)

    def terminal(self):
        rows = [self.header] + [[cell.replace("`", "").replace("**", "") for cell in row] for row in self.rows]
        widths = [max(len(row[i]) for row in rows if i > 0 or any(row[1:])) for i in range(len(self.header))]
        lines = [self.title.replace("`", "")]
        for index, row in enumerate(rows):
            cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            lines.append("  " + "  ".join(cells).rstrip())
            if index == 0:
                lines.append("  " + "  ".join("─" * width for width in widths))
        lines += ["  " + note.replace("`", "") for note in self.notes]
        return "\n".join(lines) + "\n"

    def markdown(self):
        lines = [f"**{self.title}**", "", "| " + " | ".join(self.header) + " |",
                 "|---|" + "---:|" * (len(self.header) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"


def readme_write(path, mark, text):
    """Replaces what stands between the two markers. Says in words what kept it from doing so, or None."""
    begin, end = f"<!-- bench:{mark}:begin -->", f"<!-- bench:{mark}:end -->"
    try:
        with open(path) as readme:
            old = readme.read()
    except FileNotFoundError:
        return f"{path} is not there"
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        return f"{path} does not hold {begin} … {end} once"
    new = old[:old.index(begin) + len(begin)] + "\n" + text.strip() + "\n" + old[old.index(end):]
    if new != old:
        temporary = path + ".new"
        with open(temporary, "w") as readme:
            readme.write(new)
        os.replace(temporary, path)
    return None
