"""The command ``vinpaint-benchmark``: what models cost, part by part."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from vinpaint import provenance
from vinpaint.benchmark_case import Case, Measurement
from vinpaint.benchmark_tables import compare, summarise, table
from vinpaint.command import command
from vinpaint.config import ConfigError, compose, options
from vinpaint.errors import UserError
from vinpaint.evaluation_records import write_beside


@command("benchmark")
def main(config: DictConfig) -> None:
    """Time models at several sizes, lengths and precisions, from reading a clip to writing the completed one.

    vinpaint-benchmark                                                     the defaults below, a few minutes
    vinpaint-benchmark models=[sttn] lengths=[20,100] precisions=[fp32,bf16]
    vinpaint-benchmark models=[flow_guided] sizes=[1920x1080] lengths=[48] repeats=5
    vinpaint-benchmark models=[flow_guided] sizes=[1920x1080] refine=stra  detail carried into a reduced clip
    vinpaint-benchmark compare=[before/benchmark.json,after/benchmark.json]

    First the machine: a large convolution, matrix product and copy. Then every case, repeats in turn with those of the
    other cases, each in a fresh process: seconds of reading, flow, encoding, attending, decoding, writing; operations;
    peak memory; the share of the machine's best rate that is reached.
    """
    if config.compare is not None:
        _compare(config)
        return
    cases = _cases(config)
    if config.repeats < 1:
        raise ConfigError(f"repeats={config.repeats}: expected 1 or more")
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    rates: dict[str, dict[str, float]] = {
        precision: _run("roofline", next(case for case in cases if case.precision == precision))
        for precision in dict.fromkeys(case.precision for case in cases)
    }
    counted = [Measurement(**_run("operations", case)) for case in _shown(cases, "counting operations", config)]
    runs: list[list[Measurement]] = [[] for _ in cases]
    turns = list(itertools.product(range(config.repeats), range(len(cases))))
    for _, number in _shown(turns, "measuring", config):
        runs[number].append(Measurement(**_run("time", cases[number])))
    summaries = [
        summarise(case, repeats, count, rates[case.precision])
        for case, repeats, count in zip(cases, runs, counted, strict=True)
    ]
    machine = provenance.machine(processes=1) | {"threads": cases[0].threads}
    record = {
        "machine": machine,
        "versions": provenance.versions(),
        "git": provenance.git_hash(),
        "roofline": rates,
        "cases": [asdict(case) | summary for case, summary in zip(cases, summaries, strict=True)],
    }
    text = f"{_describe(machine, rates)}\n\n{table(summaries)}\n"
    write_beside(folder / "benchmark.json", json.dumps(record, indent=2) + "\n")
    write_beside(folder / "benchmark.md", text)
    print(f"{text}\n{folder / 'benchmark.json'} and benchmark.md hold these numbers and how they were made")


def _cases(config: DictConfig) -> list[Case]:
    sizes = []
    for size in config.sizes:
        if not (match := re.fullmatch(r"(\d+)x(\d+)", str(size))):
            raise ConfigError(f"sizes: {size}: expected width x height in pixels, such as 432x240")
        sizes.append((int(match[1]), int(match[2])))
    if unknown := [name for name in config.models if name not in options("model")]:
        compose("inpaint", [f"model={unknown[0]}"])  # raises, naming the nearest model
    if any(frames < 1 for frames in config.lengths):
        raise ConfigError(f"lengths={list(config.lengths)}: expected numbers of frames, 1 or more")
    # What is around a model is composed with it, in the process that measures.
    refinement = [given for given in HydraConfig.get().overrides.task if given.startswith(("refine=", "refine."))]
    threads = config.threads or os.cpu_count() or 1
    cases = []
    for model, (width, height), frames in itertools.product(config.models, sizes, config.lengths):
        overrides = (*refinement, *config.overrides)
        engine = compose("inpaint", [f"model={model}", *overrides]).model.engine
        for precision in config.precisions if "precision" in engine else ["fp32"]:
            cases.append(Case(model, width, height, frames, precision, threads, str(config.weights), overrides))
    if not cases:
        raise ConfigError("nothing to measure: give at least one of models, sizes, lengths and precisions")
    return cases


def _run(what: Literal["roofline", "operations", "time"], case: Case) -> dict[str, Any]:
    """Measure in a process of its own, so that peak memory is its own and nothing is warm."""
    order = {"what": what, "case": asdict(case)}
    environment = os.environ | {"OMP_NUM_THREADS": str(case.threads)}
    done = subprocess.run(
        [sys.executable, "-m", "vinpaint.benchmark_case"],
        input=json.dumps(order), capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}, perhaps for want of memory"]
        raise UserError(f"{case.name}: {said[-1]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _shown(work: Sequence[Any], what: str, config: DictConfig) -> Any:
    return track(work, what, console=Console(stderr=True), transient=True) if config.progress else work


def _describe(machine: dict[str, Any], rates: dict[str, dict[str, float]]) -> str:
    lines = [
        f"{machine['gpu'] or machine['system']}, {machine['threads']} threads of {machine['processors']} processors, "
        f"torch {torch.__version__}"
    ]
    for precision, rate in rates.items():
        lines.append(
            f"{precision}: convolution {rate['convolution']:.0f} GFLOP/s, "
            f"matrix product {rate['product']:.0f} GFLOP/s, copy {rate['copy']:.1f} GB/s"
        )
    return "\n".join(lines)


def _compare(config: DictConfig) -> None:
    if len(config.compare) != 2:
        raise ConfigError(f"compare={list(config.compare)}: expected two files, [before.json,after.json]")
    before, after = (_read(Path(str(file)).expanduser()) for file in config.compare)
    for key in ("gpu", "processors", "threads"):
        if before["machine"].get(key) != after["machine"].get(key):
            raise UserError(
                f"{key}: {before['machine'].get(key)} before, {after['machine'].get(key)} after: times of different "
                "machines do not compare"
            )
    text, slower = compare(before, after, tolerance=config.tolerance)
    if not text:
        raise UserError("the two benchmarks have no case in common")
    print(text)
    if slower:
        print(f"slower beyond the noise: {'; '.join(slower)}", file=sys.stderr)
        raise SystemExit(1)


def _read(file: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        record["cases"], record["machine"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not a benchmark.json of vinpaint-benchmark") from error
    return record


if __name__ == "__main__":
    main()
