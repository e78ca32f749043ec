"""Plots as small SVGs that the page's style sheet colours: a metric per row, and against the size of the hole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vinpaint.reporting.jobs import Row
from vinpaint.reporting.tables import COST, Column, Table

MAX_SERIES = 8
"""Rows that a plot over clips tells apart; each has a colour and a shape."""

MAX_POINTS = 150
"""Clips of one row in a plot; of more, evenly spread ones are shown, so that a page of large data sets stays light."""

_WIDTH, _LEFT, _RIGHT = 360, 6, 354  # units of the drawing
_LINE = 38  # height of a row in the plot of rows
_SHAPES = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Plot:
    """A drawing with its caption.

    Attributes:
        title: what is shown.
        svg: the drawing; its text is escaped.
    """

    title: str
    svg: str


def row_plots(table: Table) -> list[Plot]:
    """Draw every metric: per row the seeds, their mean and deviation, and the published value."""
    metrics = [column for column in table.columns if column.key not in COST]
    return [_row_plot(table, column) for column in metrics if any(row.measured(column.key) for row in table.rows)]


def hole_plots(table: Table) -> list[Plot]:
    """Draw every metric that single clips have against the share of the clip that was a hole."""
    plots = []
    for column in table.columns:
        series = []
        for row in _rows_with_clips(table):
            clips = [clip for job in row.finished for clip in job.record["clips"]]
            named = [(clip["clip"], clip.get("hole"), clip.get(column.key)) for clip in clips]
            points = [point for point in named if point[1] is not None and point[2] is not None]
            series.append((row.label, points[:: -(-len(points) // MAX_POINTS) or 1]))
        if column.key in table_metrics(table) and any(len(points) > 1 for _, points in series):
            plots.append(_scatter(column, series))
    return plots


def table_metrics(table: Table) -> list[str]:
    """The columns that are metrics rather than costs."""
    known = {name for row in table.rows for job in row.finished for name in job.metrics}
    return [column.key for column in table.columns if column.key in known]


def legend(table: Table) -> list[tuple[int, str, str]]:
    """Number, label and drawn mark of the rows that the plots over clips tell apart."""
    return [
        (n, row.label, f'<svg viewBox="0 0 16 16" class="key" aria-hidden="true">{_mark(n, 8, 8, "")}</svg>')
        for n, row in enumerate(_rows_with_clips(table))
    ]


def _rows_with_clips(table: Table) -> list[Row]:
    return [row for row in table.rows if any(job.record["clips"] for job in row.finished)][:MAX_SERIES]


def _row_plot(table: Table, column: Column) -> Plot:
    rows = [row for row in table.rows if row.measured(column.key) or column.published in row.published]
    values = []
    for row in rows:
        ours = row.measured(column.key)
        if ours is not None:
            spread = ours.deviation or 0.0
            values += [ours.mean - spread, ours.mean + spread, *ours.values]
        if column.comparable:
            values += [value for name, value in row.published.items() if name == column.published]
    ticks = _ticks(min(values), max(values))
    low, high = min(ticks[0], *values), max(ticks[-1], *values)

    def x(value: float) -> float:
        return round(_LEFT + 12 + (value - low) / (high - low) * (_RIGHT - _LEFT - 24), 1)

    bottom = len(rows) * _LINE + 4
    parts = [
        f'<line class="axis" x1="{x(tick)}" x2="{x(tick)}" y1="0" y2="{bottom}"/>'
        f'<text class="tick" x="{x(tick)}" y="{bottom + 15}" text-anchor="middle">{_number(tick)}</text>'
        for tick in ticks
    ]
    for index, row in enumerate(rows):
        y = index * _LINE + 27
        cell, ours = table.cell(row, column), row.measured(column.key)
        parts.append(f'<text class="label" x="{_LEFT}" y="{y - 10}">{escape(row.label)}</text>')
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>')
        if cell.published is not None and column.comparable:
            at = x(cell.published)
            tip = f"{row.label}: published {column.text(cell.published)}"
            shape = f'<path class="published" d="M{at} {y - 6}l6 6l-6 6l-6 -6z"/>'
            parts.append(_tipped(shape, tip))
        if ours is None:
            continue
        text = column.text(ours.mean)
        if ours.deviation is not None:
            text += f" ± {column.text(ours.deviation)} over {len(ours.values)} seeds"
            left, right = x(ours.mean - ours.deviation), x(ours.mean + ours.deviation)
            parts.append(f'<path class="error" d="M{left} {y - 4}v8M{left} {y}H{right}M{right} {y - 4}v8"/>')
            parts += [f'<circle class="seed" cx="{x(value)}" cy="{y}" r="2.5"/>' for value in ours.values]
        kind = "ours best" if cell.best else "ours"
        dot = f'<circle class="{kind}" cx="{x(ours.mean)}" cy="{y}" r="5"/>'
        parts.append(_tipped(dot, f"{row.label}: {text}"))
    title = f"{column.label} {column.arrow}".strip()
    return Plot(title, _svg(parts, bottom + 22, f"{title} of every row"))


def _scatter(column: Column, series: Sequence[tuple[str, Sequence[tuple[str, float, float]]]]) -> Plot:
    holes = [100 * hole for _, points in series for _, hole, _ in points]
    values = [value for _, points in series for _, _, value in points]
    columns, lines = _ticks(min(0.0, *holes), max(holes)), _ticks(min(values), max(values))
    low, high = min(lines[0], *values), max(lines[-1], *values)
    widest = max(columns[-1], *holes)
    left, top, height = 52, 10, 210

    def x(hole: float) -> float:
        return round(left + 6 + hole / widest * (_RIGHT - left - 16), 1)

    def y(value: float) -> float:
        return round(top + 6 + (high - value) / (high - low) * (height - 12), 1)

    base = top + height
    parts = [
        f'<line class="axis" x1="{left}" x2="{_RIGHT}" y1="{y(line)}" y2="{y(line)}"/>'
        f'<text class="tick" x="{left - 6}" y="{y(line) + 4}" text-anchor="end">{_number(line)}</text>'
        for line in lines
    ]
    parts += [
        f'<line class="axis" x1="{x(tick)}" x2="{x(tick)}" y1="{top}" y2="{base}"/>'
        f'<text class="tick" x="{x(tick)}" y="{base + 15}" text-anchor="middle">{_number(tick)}</text>'
        for tick in columns
    ]
    parts.append(f'<text class="tick" x="{_RIGHT}" y="{base + 31}" text-anchor="end">hole, % of the pixels</text>')
    for number, (label, points) in enumerate(series):
        for clip, hole, value in points:
            tip = f"{label}, {clip}: {column.text(value)} at {100 * hole:.1f} % hole"
            parts.append(_mark(number, x(100 * hole), y(value), tip))
    title = f"{column.label} {column.arrow}".strip()
    return Plot(title, _svg(parts, base + 38, f"{title} of every clip against the size of its hole"))


def _mark(number: int, x: float, y: float, tip: str) -> str:
    shape = _SHAPES[number % len(_SHAPES)]
    drawn = {
        "circle": f"M{x - 4.2:.1f} {y}a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0 -8.4 0z",
        "square": f"M{x - 3.8:.1f} {y - 3.8:.1f}h7.6v7.6h-7.6z",
        "triangle": f"M{x} {y - 5:.1f}l4.8 8.4h-9.6z",
        "diamond": f"M{x} {y - 5.4:.1f}l5.4 5.4l-5.4 5.4l-5.4 -5.4z",
    }[shape]
    path = f'<path class="point s{number}" d="{drawn}"/>'
    return _tipped(path, tip) if tip else path


def _tipped(shape: str, tip: str) -> str:
    """Give a mark the text that the page shows when it is pointed at, and that a screen reader reads."""
    return f'<g class="tipped" role="img" aria-label="{escape(tip)}" data-tip="{escape(tip)}">{shape}</g>'


def _svg(parts: Sequence[str], height: float, described: str) -> str:
    inside = "".join(parts)
    name = escape(described)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" class="plot" role="group" aria-label="{name}">{inside}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from at or below ``low`` to at or above ``high``."""
    if high - low < 1e-12 * max(abs(high), abs(low), 1e-12):
        spread = abs(high) * 0.05 or 1.0
        low, high = low - spread, high + spread
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")
