"""Every sweep file composes job by job, and names every row of its paper's table with the paper's number."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from omegaconf import OmegaConf

from vinpaint.config import CONFIG_DIR, ConfigError, compose, options
from vinpaint.published_rows import published

# As printed: STTN's SSIM and E_warp are percentages.
STTN_COLUMNS = ("psnr", "ssim", "warp_error", "vfid")
STTN = {
    "sttn_table2": {
        "108×60": (30.16, 95.16, 0.2243, 0.168),
        "36×20": (30.11, 95.13, 0.2051, 0.160),
        "18×10": (30.17, 95.20, 0.1961, 0.159),
        "9×5": (30.43, 95.39, 0.1808, 0.163),
        "Ours": (30.67, 95.60, 0.1779, 0.149),
    },
    "sttn_table3": {
        "×2": (30.17, 95.17, 0.1843, 0.162),
        "×4": (30.38, 95.37, 0.1802, 0.159),
        "×6": (30.53, 95.47, 0.1797, 0.155),
        "×8 (ours)": (30.67, 95.60, 0.1779, 0.149),
    },
    "sttn_table6": {
        "s > T": (30.55, 95.47, 0.1802, 0.158),
        "s = 20": (30.62, 95.55, 0.1790, 0.152),
        "s = 10 (ours)": (30.67, 95.60, 0.1779, 0.149),
    },
    "sttn_table7": {
        "w/o masked norm.": (30.39, 95.32, 0.1849, 0.162),
        "w/ masked norm.": (30.67, 95.60, 0.1779, 0.149),
    },
    "sttn_table8": {
        "w/ style, w/ perceptual": (30.38, 95.35, 0.1821, 0.160),
        "w/ T-PatchGAN": (30.67, 95.60, 0.1779, 0.149),
    },
}
STRA_COLUMNS = ("l1", "ssim", "psnr")
STRA = {
    "stra_table3_left": {
        "Vanilla temporal aggregation": (0.024, 0.85, 28.36),
        "Multi-scale temporal aggregation": (0.005, 0.97, 34.66),
        "+ Multi-scale spatial aggregation": (0.003, 0.97, 34.89),
    },
    "stra_table3_right": {
        "Bilinear up-sampling": (0.033, 0.80, 26.39),
        "Temporal residual aggregation": (0.005, 0.96, 33.11),
        "+ Spatial residual aggregation": (0.003, 0.97, 33.14),
    },
    "stra_table4": {
        "Affine transformation": (0.005, 0.98, 32.05),
        "Optical flow": (0.017, 0.927, 29.21),
        "Both": (0.003, 0.97, 33.14),
    },
}
SIZES = ("432x240", "864x480", "1296x720", "1728x960")
STRA_TABLE1 = {
    "CPNet": ((0.011, 0.95, 32.25), (0.0125, 0.93, 32.40), (0.014, 0.92, 31.69), (0.018, 0.89, 30.20)),
    "STTN": ((0.011, 0.94, 32.63), (0.013, 0.93, 32.08), (0.017, 0.90, 30.99), (0.024, 0.83, 28.40)),
    "DFG": ((0.008, 0.94, 33.12), (0.008, 0.95, 33.27), (0.008, 0.96, 33.37), (0.009, 0.95, 32.37)),
    "FGVC": ((0.006, 0.95, 33.20), (0.006, 0.95, 33.20), (0.006, 0.97, 33.20), (0.006, 0.97, 33.20)),
    "Ours": ((0.005, 0.97, 34.66), (0.002, 0.97, 34.66), (0.003, 0.97, 33.14), (0.003, 0.97, 33.14)),
}
STRA_TABLE2 = {"CPNet": (3.3, 10.1), "STTN": (5.7, 20.6), "FGVC": (2.6, 18.7), "Ours": (2.0, 3.7)}
TABLES = [option for option in options("sweep") if option != "none"]


def sweep_file(name: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "sweep" / f"{name}.yaml"))


def printed(name: str) -> dict[tuple[str | None, str], dict[str, float]]:
    """The table of the paper in this library's units."""
    if name in STTN:
        scale = (1, 100, 100, 1)
        rows = {row: [value / s for value, s in zip(v, scale, strict=True)] for row, v in STTN[name].items()}
        return {(None, row): dict(zip(STTN_COLUMNS, values, strict=True)) for row, values in rows.items()}
    if name in STRA:
        return {(None, row): dict(zip(STRA_COLUMNS, values, strict=True)) for row, values in STRA[name].items()}
    if name == "stra_table2":
        return {
            (size, row): {"peak_gpu_gb": value}
            for row, values in STRA_TABLE2.items()
            for size, value in zip(SIZES[1::2], values, strict=True)
        }
    return {
        (size, row): dict(zip(STRA_COLUMNS, values, strict=True))
        for row, by_size in STRA_TABLE1.items()
        for size, values in zip(SIZES, by_size, strict=True)
    }


def jobs(name: str) -> list[tuple[str, ...]]:
    params = sweep_file(name)["hydra"]["sweeper"]["params"]
    return list(
        itertools.product(*([f"{key}={value}" for value in values.split(",")] for key, values in params.items()))
    )


def test_every_table_has_a_file() -> None:
    assert set(TABLES) == {*STTN, *STRA, "stra_table1", "stra_table2"}


@pytest.mark.parametrize("name", TABLES)
def test_a_file_has_every_row_with_the_number_of_the_paper(name: str) -> None:
    rows = sweep_file(name)["sweep"]["rows"]
    named = {(row["group"], row["name"]): row["values"] for row in rows if row["values"]}
    expected = printed(name)
    assert list(named) == list(expected) if name not in ("stra_table1", "stra_table2") else set(named) == set(expected)
    for key, values in expected.items():
        assert named[key] == pytest.approx(values, rel=1e-9), key
        assert list(values) == sweep_file(name)["sweep"]["columns"]


@pytest.mark.parametrize("name", TABLES)
def test_every_job_composes_and_stands_beside_one_row(name: str) -> None:
    table = sweep_file(name)["sweep"]
    found = []
    for job in jobs(name):
        config = compose(table["command"], [f"sweep={name}", *job])
        choices = dict(override.split("=") for override in job)
        plain = OmegaConf.to_container(config.sweep, resolve=True)
        assert isinstance(plain, dict)
        beside = published(plain, choices, {})  # type: ignore[arg-type]
        found.append((beside["group"], beside["row"]))
    assert sorted(found, key=str) == sorted(
        ((row["group"], row["name"]) for row in table["rows"] if row["when"] is not None), key=str
    )


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("train", ["experiment=stra_net"]),
        ("train", ["sweep=stra_table3_left", "ablation=none"]),
        ("evaluate", ["sweep=stra_table3_right", "ablation=stra_temporal_residual"]),
        ("evaluate", ["sweep=stra_table4", "ablation=stra_flow"]),
        ("evaluate", ["model=stra_net", "ablation=stra_paper"]),
    ],
    ids=str,
)
def test_the_engine_of_a_published_stra_net_is_the_papers(command: str, overrides: list[str]) -> None:
    engine = compose(command, overrides).model.engine
    assert (engine.affine, engine.base, engine.near_references) == ("learned", "reduced", 3)
    taken = {"sweep=stra_table3_left": "none", "sweep=stra_table3_right": "temporal"}
    assert engine.residual == taken.get(overrides[0], "full")


def test_what_a_row_takes_away_survives_the_small_scale() -> None:
    def network(*overrides: str) -> Any:
        return compose("train", ["sweep=sttn_table2", "scale=smoke", *overrides]).model

    assert network("ablation=sttn_patch_9x5").network.patch_sizes == [[5, 9]]
    assert network("ablation=sttn_blocks_4").network.num_blocks == 4
    assert network("ablation=none").network.num_blocks == 8
    assert network("ablation=sttn_perceptual_style").discriminator is None
    assert network("ablation=sttn_perceptual_style").module.style_weight == 24


def test_a_table_of_another_command_says_so() -> None:
    with pytest.raises(ConfigError, match="sweep=sttn_table6 is a table of vinpaint-evaluate, not of vinpaint-train"):
        compose("train", ["sweep=sttn_table6"])


def test_a_row_that_fits_two_jobs_is_refused() -> None:
    row = {"name": "a", "group": None, "when": {"model": "sttn"}, "values": {}}
    table = {"name": "t", "title": "", "source": "", "columns": [], "rows": [row, {**row, "name": "b"}], "remarks": []}
    with pytest.raises(ConfigError, match="the rows a, b name the same job"):
        published(table, {"model": "sttn"}, {})
    with pytest.raises(ConfigError, match="a row has name, group, when; expected group, name, values, when"):
        published({**table, "rows": [{k: v for k, v in row.items() if k != "values"}]}, {}, {})
