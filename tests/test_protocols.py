"""What is laid beside a published table, and what is never called comparable with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from commands import Runner, run
from vinpaint.config import ConfigError, build, compose, options
from vinpaint.data.davis import DAVIS_2016
from vinpaint.evaluate import main
from vinpaint.evaluation_records import comparable
from vinpaint.evaluation_tables import markdown
from vinpaint.protocols import Benchmark, Comparison, Condition, Protocol

__all__ = ["run"]

AS_PUBLISHED = (
    "protocol=fuseformer",
    "model=sttn_official",
    "weights=sttn.pth",
    "data=folder",
    "data.val.masks='test_masks/{name}'",
    "data.val_mask=own",
)
VALUES = {"psnr": 30.0, "ssim": 0.95, "warp_error_dis": 1e-3, "vfid_random_weights": 0.1, "l1": 0.01}


def compare(*overrides: str, clips: tuple[str, ...] = DAVIS_2016, values: dict[str, float] | None = None) -> Comparison:
    config = compose("evaluate", ["paths.output_dir=here", *overrides])
    protocol: Protocol = build(config.protocol)
    plain: dict[str, Any] = comparable(config)
    return protocol.compare(plain, VALUES if values is None else values, model="ours", clips=clips)


def test_what_was_measured_as_published_is_comparable() -> None:
    compared = compare(*AS_PUBLISHED)
    assert compared.reasons == []
    assert compared.comparable == ["psnr", "ssim"]
    assert compared.benchmark == "DAVIS"
    text = compared.text({"psnr": True, "ssim": True})
    assert "Comparable in psnr, ssim" in text
    assert "Not checked: that the mask files are the published ones" in text


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("weights=random", "the network is untrained"),
        ("data.height=480", "data.height=480, published 240"),
        ("size=864x480", "data.width=864, published 432"),
        ("dilation=0", "data.val_dilation=0, published 4"),
        ("limit_frames=20", "clips are cut short"),
        ("data.val_mask=null", "here they are drawn"),
        ("data=davis", "object annotations"),
        ("model.engine.blend=mean", "windows are blended otherwise"),
        ("model.engine.quantize=round", "windows are rounded otherwise"),
    ],
)
def test_nothing_is_comparable_when_a_condition_fails(override: str, reason: str) -> None:
    data = [o for o in AS_PUBLISHED if not (override.startswith("data=") and "data.val.masks" in o)]
    compared = compare(*data, override)
    assert any(reason in line for line in compared.reasons), compared.reasons
    assert compared.comparable == []
    text = compared.text({})
    assert "Not comparable: " in text
    assert "Comparable in" not in text


def test_other_clips_are_not_comparable() -> None:
    few = compare(*AS_PUBLISHED, clips=DAVIS_2016[:10])
    assert few.comparable == []
    assert few.reasons == ["another number of clips (10, published 50 of DAVIS)"]
    other = compare(*AS_PUBLISHED, clips=(*DAVIS_2016[:49], "mine"))
    assert other.comparable == []
    assert "mine" in other.reasons[0]


def test_the_nearest_part_of_the_table_is_shown() -> None:
    assert compare(*AS_PUBLISHED, clips=tuple(map(str, range(508)))).benchmark == "YouTube-VOS"
    assert compare("protocol=stra_paper", "size=1296x720").benchmark == "1296x720"


def test_a_setting_of_one_metric_concerns_it_alone() -> None:
    compared = compare(*AS_PUBLISHED, "metrics.ssim.window=gaussian")
    assert compared.comparable == ["psnr"]
    assert "Not comparable in ssim: another SSIM" in compared.text({})


def test_another_flow_or_random_weights_never_enter_the_column_of_a_published_metric() -> None:
    compared = compare(*AS_PUBLISHED)
    ours = compared.rows[-1]["values"]
    assert ours == {"psnr": 30.0, "ssim": 0.95, "vfid": None, "warp_error": None}
    text = compared.text({})
    assert "Not comparable in warp_error: measured as warp_error_dis, published with the flow of FlowNet2" in text
    assert "Not comparable in vfid: measured as vfid_random_weights" in text


@pytest.mark.parametrize("name", ["sttn_paper", "stra_paper"])
def test_tables_on_unreleased_masks_are_never_comparable(name: str) -> None:
    for clips in (50, 90, 508):
        compared = compare(f"protocol={name}", "data=davis", clips=tuple(map(str, range(clips))))
        assert compared.comparable == []
        assert any("never released" in reason for reason in compared.reasons)


@pytest.mark.parametrize(
    ("protocol", "part", "model", "values"),
    [  # copied by eye from the papers
        ("sttn_paper", "DAVIS", "STTN", {"psnr": 30.67, "ssim": 0.9560, "vfid": 0.149, "warp_error": 0.1779e-2}),
        ("sttn_paper", "YouTube-VOS", "CAP", {"psnr": 31.58, "ssim": 0.9607, "vfid": 0.071, "warp_error": 0.1470e-2}),
        ("fuseformer", "DAVIS", "FuseFormer", {"psnr": 32.54, "ssim": 0.97, "vfid": 0.138, "warp_error": 0.1362e-2}),
        ("fuseformer", "YouTube-VOS", "E2FGVI", {"psnr": 33.71, "ssim": 0.97, "vfid": 0.046, "warp_error": 0.0864e-2}),
        ("stra_paper", "1728x960", "STRA-Net", {"l1": 0.003, "ssim": 0.97, "psnr": 33.14}),
        ("stra_paper", "864x480", "CPNet", {"l1": 0.0125, "ssim": 0.93, "psnr": 32.40}),
    ],
)
def test_published_rows_are_those_of_the_papers(protocol: str, part: str, model: str, values: dict[str, float]) -> None:
    built: Protocol = build(compose("evaluate", [f"protocol={protocol}"]).protocol)
    (benchmark,) = [benchmark for benchmark in built.benchmarks if benchmark.name == part]
    (row,) = [row for row in benchmark.rows if row["model"] == model]
    assert row["values"] == pytest.approx(values, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in options("protocol") if name != "none"])
def test_a_protocol_sets_what_it_asks_for(name: str) -> None:
    compared = compare(f"protocol={name}", "metrics=none", "data=davis", values={"psnr": 30.0})
    allowed = ("masks", "clips", "split")  # what a person has to bring
    assert [reason for reason in compared.reasons if not any(word in reason for word in allowed)] == []
    assert compared.metric_reasons == {}


@pytest.mark.parametrize("name", options("protocol"))
def test_only_what_a_metric_measures_is_published_for_it(name: str) -> None:
    node = compose("evaluate", [f"protocol={name}"]).protocol
    if node is None:
        return
    protocol: Protocol = build(node)
    for benchmark in protocol.benchmarks:
        for row in benchmark.rows:
            assert set(row["values"]) <= set(protocol.metrics)
            assert row["source"]


@pytest.mark.parametrize("name", [name for name in options("protocol") if name != "none"])
def test_the_page_shows_the_published_rows(name: str) -> None:
    page = Path(__file__).parents[1] / "docs" / "evaluation.md"
    protocol: Protocol = build(compose("evaluate", [f"protocol={name}"]).protocol)
    for benchmark in protocol.benchmarks:
        rows = [{"model": row["model"], **row["values"], "source": row["source"]} for row in benchmark.rows]
        assert markdown(rows) in page.read_text(encoding="utf-8"), f"{name}, {benchmark.name}"


def test_the_test_split_is_looked_at_when_it_is_measured() -> None:
    condition = Condition("data.val.split", allowed=["test"], reason="another split")
    benchmark = Benchmark("set", num_clips=1, rows=[], conditions=[condition])
    protocol = Protocol("p", summary="", metrics={"psnr": ""}, benchmarks=[benchmark])
    config = {"split": "test", "data": {"val": {"split": "train"}, "test": {"split": "test"}}}
    assert protocol.compare(config, {"psnr": 1.0}, model="m", clips=["a"]).comparable == ["psnr"]
    config["split"] = "val"
    assert protocol.compare(config, {"psnr": 1.0}, model="m", clips=["a"]).comparable == []


def test_a_row_without_a_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected model, values, source"):
        Benchmark("DAVIS", num_clips=50, rows=[{"model": "x", "values": {}}])


def test_a_size_reaches_the_clips() -> None:
    for name in options("size"):
        data = compose("evaluate", [f"size={name}", "data=davis"]).data
        size = (None, None) if name == "native" else tuple(int(side) for side in name.split("x"))
        assert (data.width, data.height) == size
    assert OmegaConf.select(compose("evaluate", ["size=864x480", "data.height=72"]), "data.height") == 72


def test_the_command_prints_the_published_rows_and_why_they_do_not_compare(run: Runner) -> None:
    tiny = ("data.height=72", "data.width=80", "limit_frames=3", "limit_clips=1", "progress=false")
    outcome = run(main, "model=identity", "protocol=stra_paper", "mask=stationary", *tiny, "hydra.run.dir=results")
    assert outcome.status == 0, outcome.err
    assert "| STRA-Net" in outcome.out
    assert "| identity" in outcome.out
    assert "Not comparable: another size (data.height=72, published 240)." in outcome.out
    assert "Comparable in" not in outcome.out
    record = json.loads((run.folder / "results" / "result.json").read_text())
    assert record["protocol"]["protocol"] == "stra_paper"
    assert record["protocol"]["comparable"] == []
    assert record["protocol"]["rows"][-1]["values"]["psnr"] == record["metrics"]["psnr"]
