"""The command vinpaint-benchmark: parts add up, operations are those of the layers, regressions are told from noise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from commands import Runner, run
from vinpaint.benchmark import main
from vinpaint.benchmark_case import COLUMNS, Case, Measurement, PartClock
from vinpaint.benchmark_tables import compare, summarise, table

__all__ = ["run"]


def run_of(seconds: float, **parts: float) -> Measurement:
    return Measurement(seconds, 2 * seconds, 100.0, 0.0, dict.fromkeys(COLUMNS, 0.0) | parts)


def benchmark(**cases: list[float]) -> dict[str, Any]:
    machine = {"gpu": None, "processors": 2, "threads": 2}
    summaries = []
    for name, seconds in cases.items():
        counted = run_of(1.0)
        counted.gflop = dict.fromkeys(COLUMNS, 0.0)
        case = Case(name, 8, 8, 10)
        summaries.append(summarise(case, [run_of(one) for one in seconds], counted, {}) | asdict(case))
    return {"machine": machine, "cases": summaries}


def test_a_part_inside_another_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])  # at the start, into encode, into flow, out, out, at the end
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    clock = PartClock(torch.device("cpu"))
    with clock.part("encode"), clock.part("flow"):
        pass
    clock.settle()
    assert {name: seconds for name, seconds in clock.seconds.items() if seconds} == {
        "other": 1 + 16,
        "encode": 2 + 8,
        "flow": 4,
    }


def test_methods_of_what_an_engine_holds_are_timed() -> None:
    class Network(nn.Module):
        def encode(self, frames: torch.Tensor) -> torch.Tensor:
            return torch.ones(4, 5) @ torch.ones(5, 6)

    class Engine:
        def __init__(self) -> None:
            self.model = nn.Sequential(Network())

    engine = Engine()
    flops = FlopCounterMode(display=False)
    clock = PartClock(torch.device("cpu"), flops)
    clock.watch(engine)
    with flops:
        engine.model[0].encode(torch.zeros(1))  # type: ignore[operator]
    clock.settle()
    assert clock.gflop["encode"] == pytest.approx(2 * 4 * 5 * 6 / 1e9)
    assert clock.gflop["other"] == 0


def test_numbers_are_per_frame_and_beside_the_best_rate() -> None:
    counted = run_of(9.0)
    counted.gflop = dict.fromkeys(COLUMNS, 0.0) | {"encode": 30.0, "decode": 10.0}
    summary = summarise(
        Case("sttn", 8, 8, 10),
        [run_of(2.0, encode=1.0), run_of(4.0, encode=3.0), run_of(2.5, encode=2.0)],
        counted,
        {"convolution": 32.0, "product": 20.0},
    )
    assert summary["frames_per_second"] == 4
    assert summary["gflop_per_frame"] == 4
    assert summary["share_of_roofline"] == pytest.approx(40 / 2.5 / 32)
    assert summary["parts_ms_per_frame"]["encode"] == pytest.approx(200)
    header, _, row = table([summary]).splitlines()
    assert "encode, ms" in header
    assert "decode, ms" not in header  # it took no time
    assert "0.8–1.6" in row.replace("0.80", "0.8").replace("1.60", "1.6")


def test_a_regression_is_told_from_noise() -> None:
    before = benchmark(same=[1.0, 1.1, 1.2], noisy=[1.0, 1.3, 1.6], slow=[1.0, 1.1, 1.2], fast=[2.0, 2.1, 2.2])
    after = benchmark(same=[1.0, 1.1, 1.3], noisy=[1.2, 1.5, 1.9], slow=[1.3, 1.4, 1.5], fast=[1.0, 1.1, 1.2])
    text, slower = compare(before, after, tolerance=0.05)
    assert slower == ["slow 8x8 10f fp32"]
    said = {line.split("|")[1].split()[0]: line.split("|")[-2].strip() for line in text.splitlines()[2:]}
    assert said == {"same": "within the noise", "noisy": "within the noise", "slow": "slower", "fast": "faster"}


def test_comparing_ends_with_status_one_if_slower(run: Runner) -> None:
    for name, seconds in (("before", [1.0, 1.1]), ("after", [2.0, 2.1])):
        (run.folder / f"{name}.json").write_text(json.dumps(benchmark(sttn=seconds)), encoding="utf-8")
    outcome = run(main, "compare=[before.json,after.json]")
    assert outcome.status == 1
    assert "slower beyond the noise: sttn 8x8 10f fp32" in outcome.err
    assert run(main, "compare=[after.json,before.json]").status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models=[sttm]"], "did you mean"),
        (["sizes=[432]"], "expected width x height"),
        (["repeats=0"], "repeats=0: expected 1 or more"),
        (["lengths=[0]"], "expected numbers of frames"),
        (["models=[]"], "nothing to measure"),
        (["compare=[a.json]"], "expected two files"),
        (["compare=[a.json,b.json]"], "a.json: No such file"),
    ],
)
def test_a_wrong_argument_is_one_line(run: Runner, arguments: list[str], message: str) -> None:
    outcome = run(main, *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_times_of_different_machines_are_not_compared(run: Runner) -> None:
    other = benchmark(sttn=[1.0])
    other["machine"]["threads"] = 8
    for name, record in (("here", benchmark(sttn=[1.0])), ("there", other)):
        (run.folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    outcome = run(main, "compare=[here.json,there.json]")
    assert outcome.status == 2
    assert "threads: 2 before, 8 after" in outcome.err


def measured(case: Case, what: str) -> dict[str, Any]:
    order = json.dumps({"what": what, "case": asdict(case)})
    command = [sys.executable, "-m", "vinpaint.benchmark_case"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, input=order, capture_output=True, text=True, env=environment, timeout=300, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_operations_of_a_run_are_those_of_its_layers(tmp_path: Path) -> None:
    shallow = ("model.engine.size=native", "model.network.num_blocks=1", "model.network.channels=16")
    result = measured(Case("sttn_small", 48, 48, 3, overrides=shallow, weights="random"), "operations")
    # convolutions of the encoder per frame: 3x3, stride 2 to 24x24, again at 24x24, stride 2 to 12x12, again
    layers = 9 * (3 * 4 * 24**2 + 4 * 4 * 24**2 + 4 * 8 * 12**2 + 8 * 16 * 12**2)
    assert result["gflop"]["encode"] == pytest.approx(3 * 2 * layers / 1e9)
    assert result["gflop"]["read"] == result["gflop"]["write"] == 0
    assert all(result["parts"][name] > 0 for name in ("read", "encode", "attend", "decode", "write"))
    assert sum(result["parts"].values()) == pytest.approx(result["seconds"], rel=0.05)


def test_a_case_that_cannot_run_is_one_line(run: Runner) -> None:
    wrong = 'overrides=["model.engine.radius=-1"]'
    outcome = run(main, "models=[telea]", wrong, "threads=1", "progress=false")
    assert outcome.status == 2
    assert outcome.err.startswith("vinpaint-benchmark: telea 432x240 20f fp32 model.engine.radius=-1: radius=-1")
    assert outcome.err.count("\n") == 1


@pytest.mark.slow
def test_a_benchmark_leaves_its_tables(run: Runner) -> None:
    outcome = run(main, "models=[telea,identity]", "sizes=[64x48]", "lengths=[3]", "repeats=2", "threads=1")
    assert outcome.status == 0, outcome.err
    record = json.loads((run.folder / "benchmark" / "benchmark.json").read_text())
    assert [case["model"] for case in record["cases"]] == ["telea", "identity"]
    assert len(record["cases"][0]["seconds"]["runs"]) == 2
    assert record["roofline"]["fp32"]["convolution"] > 0
    assert (run.folder / "benchmark" / "benchmark.md").read_text() in outcome.out


@pytest.mark.slow
def test_what_refines_a_model_is_measured_with_it(run: Runner) -> None:
    small = ("models=[telea]", "sizes=[64x48]", "lengths=[3]", "repeats=1", "threads=1", "progress=false")
    outcome = run(main, *small, "refine=stra", "refine.lr_scale=2")
    assert outcome.status == 0, outcome.err
    (case,) = json.loads((run.folder / "benchmark" / "benchmark.json").read_text())["cases"]
    assert case["overrides"] == ["refine=stra", "refine.lr_scale=2"]
    wrong = run(main, *small, "refine=stra", "refine.lr_scale=0")
    assert wrong.status == 2
    assert "lr_scale=0" in wrong.err
