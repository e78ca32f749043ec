"""The table as Markdown, CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vinpaint.evaluation_tables import markdown
from vinpaint.reporting.jobs import Row
from vinpaint.reporting.tables import Column, Table

_SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "→": r"$\to$",
}


def as_markdown(tables: Sequence[Table]) -> str:
    """Every table with its title, source and remarks; the best of a column is bold."""
    parts = []
    for table in tables:
        rows = []
        for row in table.rows:
            cells: dict[str, str] = {"row": row.name} | ({"part": row.group} if table.grouped else {})
            for column in table.columns:
                cell = table.cell(row, column)
                head = f"{column.label} {column.arrow}".strip()
                cells[head] = _bold(_ours(table, row, column), cell.best)
                if column.published is not None:
                    text = "" if cell.published is None else column.text(cell.published)
                    cells[f"{column.label} published"] = _bold(text, cell.published_best)
                    if column.comparable:
                        cells[f"{column.label} Δ"] = "" if cell.difference is None else column.signed(cell.difference)
            rows.append({**cells, "jobs": f"{len(row.finished)}/{len(row.jobs)}"})
        source = f"\n\nPublished: {table.source}." if table.source else ""
        notes = "".join(f"\n* {remark}" for remark in table.remarks)
        parts.append(f"## {table.title}\n\n{markdown(rows)}{source}" + (f"\n{notes}" if notes else ""))
    return "\n\n".join(parts) + "\n"


def csv_rows(tables: Sequence[Table]) -> list[dict[str, str | float | None]]:
    """A row per row of every table, with full precision: mean, deviation, published, difference, jobs."""
    rows = []
    for table in tables:
        for row in table.rows:
            values: dict[str, str | float | None] = {"table": table.name, "row": row.name, "part": row.group}
            for column in table.columns:
                cell = table.cell(row, column)
                values[column.key] = None if cell.ours is None else cell.ours.mean
                values[f"{column.key}_deviation"] = None if cell.ours is None else cell.ours.deviation
                if column.published is not None:
                    values[f"{column.key}_published"] = cell.published
                    values[f"{column.key}_difference"] = cell.difference
            rows.append({**values, "finished": len(row.finished), "jobs": len(row.jobs)})
    return rows


def as_latex(tables: Sequence[Table]) -> str:
    r"""Every table as a ``table`` with ``booktabs`` rules, to be read by ``\input``."""
    return "% \\usepackage{booktabs}\n" + "\n".join(_latex_table(table) for table in tables)


def _latex_table(table: Table) -> str:
    heads, rules, names, aligned, at = [], [], [], "l", 2
    for column in table.columns:
        label = _tex(column.label) + (f" ${_ARROWS[column.arrow]}$" if column.arrow else "")
        width = 1 if column.published is None else 3 if column.comparable else 2
        heads.append(label if width == 1 else rf"\multicolumn{{{width}}}{{c}}{{{label}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if width > 1 else []
        names += ["", *([] if width == 1 else ["ours", "published", r"$\Delta$"][:width])][width > 1 :]
        aligned += "r" * width
        at += width
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(_caption(table))}}}",
        rf"\begin{{tabular}}{{{aligned}}}",
    ]
    lines += [r"\toprule", " & ".join(["", *heads]) + r" \\"]
    lines += [" ".join(rules), " & ".join(["", *names]) + r" \\"] if rules else []
    lines.append(r"\midrule")
    group = ""
    for row in table.rows:
        if row.group != group:
            lines += [r"\midrule"] if group else []
            lines.append(rf"\multicolumn{{{at - 1}}}{{l}}{{\textit{{{_tex(row.group)}}}}} \\")
            group = row.group
        cells = [_tex(row.name)]
        for column in table.columns:
            cell = table.cell(row, column)
            cells.append(_tex_bold(_ours(table, row, column), cell.best))
            if column.published is not None:
                text = "" if cell.published is None else column.text(cell.published)
                cells.append(_tex_bold(text, cell.published_best))
                if column.comparable:
                    cells.append("" if cell.difference is None else _tex(column.signed(cell.difference)))
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


_ARROWS = {"↑": r"\uparrow", "↓": r"\downarrow"}


def _caption(table: Table) -> str:
    source = f"; published: {table.source}" if table.source else ""
    return f"{table.title}{source}. Mean and standard deviation over seeds."


def _ours(table: Table, row: Row, column: Column) -> str:
    cell = table.cell(row, column)
    if cell.ours is None:
        return ""
    deviation = cell.ours.deviation
    return column.text(cell.ours.mean) + ("" if deviation is None else f" ± {column.text(deviation)}")


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def _tex_bold(text: str, best: bool) -> str:
    return rf"\textbf{{{_tex(text)}}}" if best else _tex(text)


def _tex(text: str) -> str:
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda match: _SPECIAL[match.group()], text)
