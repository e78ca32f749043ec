"""Benchmarks as tables, and two of them compared."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vinpaint.benchmark_case import COLUMNS, Case, Measurement
from vinpaint.evaluation_tables import Row, markdown


def summarise(
    case: Case, runs: Sequence[Measurement], counted: Measurement, rates: Mapping[str, float]
) -> dict[str, Any]:
    """Sum up the repeats of a case.

    Args:
        case: what was measured.
        runs: the repeats.
        counted: the run whose operations were counted.
        rates: the roofline of the machine, GFLOP/s, in the case's precision.

    Returns:
        Plain values: median, least and most seconds; per frame the median CPU seconds, the operations, and the median
        seconds of each part; frames per second; the share of the best rate that was reached; peak memory.
    """
    seconds = [run.seconds for run in runs]
    middle = statistics.median(seconds)
    gflop = sum(counted.gflop.values())
    best = max(rates.get("convolution", 0.0), rates.get("product", 0.0))
    return {
        "case": case.name,
        "seconds": {"median": middle, "min": min(seconds), "max": max(seconds), "runs": seconds},
        "frames_per_second": case.frames / middle,
        "cpu_seconds_per_frame": statistics.median(run.cpu_seconds for run in runs) / case.frames,
        "gflop_per_frame": gflop / case.frames,
        "share_of_roofline": gflop / middle / best if best else None,
        "peak_mib": max(run.peak_mib for run in runs),
        "gpu_peak_mib": max(run.gpu_peak_mib for run in runs),
        "parts_ms_per_frame": {
            name: 1e3 * statistics.median(run.parts[name] for run in runs) / case.frames for name in COLUMNS
        },
        "parts_gflop_per_frame": {name: counted.gflop[name] / case.frames for name in COLUMNS},
    }


def table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Lay summaries out in Markdown: one row a case; parts in milliseconds per frame, those that took any time."""
    shown = [name for name in COLUMNS if any(one["parts_ms_per_frame"][name] >= 0.05 for one in summaries)]
    on_gpu = any(one["gpu_peak_mib"] for one in summaries)
    rows: list[Row] = []
    for one in summaries:
        spread = one["seconds"]
        share = one["share_of_roofline"]
        rows.append(
            {
                "case": one["case"],
                "frames/s": _rounded(one["frames_per_second"]),
                "spread": f"{spread['min'] / spread['median']:.2f}–{spread['max'] / spread['median']:.2f}",
                "CPU s/frame": _rounded(one["cpu_seconds_per_frame"]),
                "GFLOP/frame": _rounded(one["gflop_per_frame"]),
                "% of roofline": _rounded(100 * share) if share else None,
                "peak MiB": round(one["peak_mib"]),
                **({"GPU MiB": round(one["gpu_peak_mib"])} if on_gpu else {}),
                **{f"{name}, ms": _rounded(one["parts_ms_per_frame"][name]) for name in shown},
            }
        )
    return markdown(rows)


def _rounded(value: float) -> float:
    """Three digits: repeats do not agree on more."""
    return float(f"{value:.3g}")


def compare(before: Mapping[str, Any], after: Mapping[str, Any], *, tolerance: float) -> tuple[str, list[str]]:
    """Lay two benchmarks side by side.

    A case has become slower if its median grew by more than ``tolerance`` and even its fastest repeat is slower than
    the slowest before: what repeats of one and the same code differ by is not a regression.

    Args:
        before: a benchmark's JSON.
        after: another, of the same machine.
        tolerance: share by which a median may grow.

    Returns:
        The table in Markdown, and the cases that have become slower.
    """
    olds = {one["case"]: one for one in before["cases"]}
    rows: list[Row] = []
    slower = []
    for new in after["cases"]:
        if new["case"] not in olds:
            continue
        then, now = olds[new["case"]]["seconds"], new["seconds"]
        ratio = now["median"] / then["median"]
        regressed = ratio > 1 + tolerance and now["min"] > then["max"]
        faster = ratio < 1 - tolerance and now["max"] < then["min"]
        if regressed:
            slower.append(new["case"])
        rows.append(
            {
                "case": new["case"],
                "before, s": f"{then['median']:.3f} ({then['min']:.3f}–{then['max']:.3f})",
                "after, s": f"{now['median']:.3f} ({now['min']:.3f}–{now['max']:.3f})",
                "after / before": _rounded(ratio),
                "": "slower" if regressed else "faster" if faster else "within the noise",
            }
        )
    return (markdown(rows) if rows else ""), slower
