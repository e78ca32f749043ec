"""The command ``vinpaint-evaluate``: clips whose truth is known in, a table of numbers out."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from vinpaint.command import command
from vinpaint.errors import UserError
from vinpaint.evaluation_job import measure_shard, run_evaluation
from vinpaint.evaluation_records import FREE, EvaluationFolder, is_free
from vinpaint.evaluation_tables import combine
from vinpaint.job_record import RESULT, JobRecord


@command("evaluate")
def main(config: DictConfig) -> float | None:
    """Complete every clip of a data set whose truth is known, and measure how near the result comes.

    vinpaint-evaluate                                                     without weights, on clips made by program
    vinpaint-evaluate model=sttn weights=weights/ data=davis dilation=4
    vinpaint-evaluate data=folder data.val.root=clips/ mask=moving        any folder of clips
    vinpaint-evaluate protocol=fuseformer data=davis processes=4          as published, with the published rows beside
    vinpaint-evaluate -m model=flow_guided,telea mask=stationary,moving   one run per combination, one table of all
    vinpaint-evaluate sweep=sttn_table6 weights=weights/                  a table of a paper, row by row
    vinpaint-evaluate resume=outputs/evaluate/…                           go on where a run was interrupted
    vinpaint-evaluate hydra.run.dir=here shard.index=3 shard.count=16     one of 16 workers; resume=here tells all

    Prints a table, per clip and over all, and writes results.csv and result.json into the folder of the run; a sweep
    also has table.md and table.csv over all its jobs. Each clip is kept as soon as it is measured.
    """
    folder = EvaluationFolder(Path(config.paths.output_dir))
    config, described = _take_up(config, folder)
    if config.shard.count > 1:
        go_on = f"vinpaint-evaluate resume={_from_here(folder.path)}"
        print(measure_shard(config, folder, described=described, go_on=go_on))
        return None
    record = JobRecord("vinpaint-evaluate", config)
    record.note(**described)
    if config.sweep.resume is not None and (earlier := record.earlier()) is not None:
        return float(next(iter(earlier["metrics"].values()), 0.0) or 0.0)
    found = None
    with record:
        found = run_evaluation(config, folder, described=described, resume=config.resume, go_on=_go_on(folder))
        record.note(**found.facts)
    if found is None:  # a sweep's job that failed
        return None
    print(found.text)
    print(f"{_from_here(folder.path / RESULT)} and results.csv hold these numbers and how they were made")
    if _sweeping():
        combine(_sweep_folder(folder))  # as far as it is; the end of the sweep shows it
    return found.value


def _take_up(config: DictConfig, folder: EvaluationFolder) -> tuple[DictConfig, dict[str, object]]:
    """What is asked for; ``resume`` alone asks for what was begun in its folder.

    Returns:
        The configuration, and the overrides and choices that made it.
    """
    hydra = HydraConfig.get()
    overrides = [o for o in hydra.overrides.task if not is_free(o)]
    described: dict[str, object] = {
        "overrides": overrides,
        "choices": {key: value for key, value in hydra.runtime.choices.items() if not key.startswith("hydra/")}
        | ({"mask": "own"} if config.data.val_mask == "own" else {}),
    }
    if config.resume is None:
        return config, described
    if not Path(config.resume).is_dir():
        raise UserError(f"resume={config.resume}: no such folder; give that of an interrupted evaluation")
    earlier = folder.manifest()
    if earlier is None and not _sweeping():  # of a sweep, some jobs may not have begun
        raise UserError(f"resume={config.resume}: no evaluation was begun there; give the folder of a run")
    if earlier is None or overrides:
        return config, described
    free = {key: config[key] for key in FREE if key in config}
    return OmegaConf.create({**earlier["config"], **free}), {key: earlier[key] for key in described}


def _go_on(folder: EvaluationFolder) -> str:
    if _sweeping():
        return f"the same command and resume={_from_here(_sweep_folder(folder))}"
    return f"vinpaint-evaluate resume={_from_here(folder.path)}"


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _sweep_folder(folder: EvaluationFolder) -> Path:
    """The folder of all jobs, from that of this one: asked again, Hydra would give it another time of day."""
    return folder.path.parents[len(Path(HydraConfig.get().sweep.subdir).parts) - 1]


def _sweeping() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


if __name__ == "__main__":
    main()
