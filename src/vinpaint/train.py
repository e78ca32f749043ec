"""The command ``vinpaint-train``: clips in, weights out."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, cast

import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from torch import nn

from vinpaint.callbacks import CSVLog, VideoMetrics, WeightsExporter, finish_wandb, log_evaluation
from vinpaint.command import command
from vinpaint.config import ConfigError, build, compose
from vinpaint.errors import UserError
from vinpaint.evaluation_job import run_evaluation
from vinpaint.evaluation_records import EvaluationFolder
from vinpaint.job_record import JobRecord
from vinpaint.models.pretrained import load_weights


@command("train")
def main(config: DictConfig) -> float | None:
    """Train a network on clips with drawn holes, watch it on validation clips, and save weights to use.

    vinpaint-train model=sttn data=procedural trainer=smoke     does it run at all?
    vinpaint-train experiment=sttn_youtube_vos strategy=ddp precision=bf16
    vinpaint-train -m model=sttn mask=stationary,moving         one run per value
    vinpaint-train ckpt_path=outputs/train/…/checkpoints/last.ckpt …   go on with a run

    Writes checkpoints (to resume), weights (to use), metrics and pictures into the folder of the run.
    """
    record = JobRecord("vinpaint-train", config)
    if config.sweep.resume is not None and (earlier := record.earlier()) is not None:
        return cast("float | None", earlier["training"]["best"])
    with record:
        try:
            return _train(config, record)
        finally:
            finish_wandb()
    return None  # of a sweep's job that failed


def _train(config: DictConfig, record: JobRecord) -> float | None:
    """Train, and measure the weights if that is asked for."""
    _check(config)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in _KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message)
    L.seed_everything(config.seed, verbose=False)
    module = build_module(config)
    datamodule = build(config.data)
    wanted = {key: node for key, node in config.callbacks.items() if node is not None}
    if not config.progress:
        wanted.pop("progress", None)
    callbacks = [build(node) for node in wanted.values()]
    logger = build(config.logger) if config.logger else False
    try:
        trainer: L.Trainer = build(
            config.trainer, callbacks=callbacks, logger=logger, enable_progress_bar=config.progress
        )
    except MisconfigurationException as error:
        raise UserError(f"trainer: {error}") from error
    begin_from = _begin_from(config)
    for kept in trainer.loggers:
        if begin_from is not None and isinstance(kept, CSVLog):
            kept.keep_earlier()
        kept.log_hyperparams(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    try:
        trainer.fit(module, datamodule=datamodule, ckpt_path=begin_from, weights_only=True)
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        if trainer.is_global_zero:
            _say_where(trainer, config)
        raise KeyboardInterrupt from error  # Lightning exits by itself on Ctrl-C
    if begin_from is not None and not trainer.callback_metrics:
        # nothing was left to train: the run was stopped between its last update and its record
        trainer.validate(module, datamodule=datamodule, verbose=False)
    result = _result(trainer, config.monitor)
    record.note(**_facts(trainer, config, result))
    if trainer.is_global_zero:
        _say_where(trainer, config)
    if config.evaluation is not None:
        _evaluate(trainer, config, record)
    return result


# Each says of a run as it is meant to be that it may be a mistake.
_KNOWN_WARNINGS = (
    ".*pre-optimization state was saved.*",  # a checkpoint of an update is of the weights after it
    ".*lr_scheduler.step.*before.*optimizer.step.*",  # a discriminator that waits for its turn counts updates too
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists and is not empty.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
)


def build_module(config: DictConfig) -> L.LightningModule:
    """Build the networks of a composed configuration and the module that trains them.

    Args:
        config: as composed from ``train.yaml``; ``model``, ``init_from``, ``init_discriminator_from`` and ``compile``
            are read.

    Returns:
        The module, its networks initialised or loaded.

    Raises:
        UserError: if the model is not one that can be trained, or the weights do not fit.
    """
    model = config.model
    if model.get("network") is None or model.get("module") is None:
        raise ConfigError(f"model={model.name} has nothing to train; choose one with a network, such as model=sttn")
    generator: nn.Module = build(model.network)
    discriminator: nn.Module | None = build(model.discriminator) if model.get("discriminator") is not None else None
    if config.init_from is not None:
        load_weights(generator, config.init_from)
    if config.init_discriminator_from is not None:
        if discriminator is None:
            raise ConfigError(f"init_discriminator_from: model={model.name} has no discriminator; leave it out")
        load_weights(discriminator, config.init_discriminator_from, part="discriminator")
    module: L.LightningModule = build(model.module, generator=generator, discriminator=discriminator)
    if config.compile:
        generator.compile()
    return module


def _check(config: DictConfig) -> None:
    if config.ckpt_path is not None and not Path(config.ckpt_path).is_file():
        raise UserError(f"ckpt_path={config.ckpt_path}: no such file; give a .ckpt of an earlier run")
    if config.ckpt_path is not None and config.init_from is not None:
        raise ConfigError("ckpt_path and init_from: a resumed run has its weights already; give one of them")
    stage, _, metric = str(config.monitor).partition("/")
    measured = config.callbacks.get("metrics") is not None  # else the module measures by itself
    if stage == "val" and measured and metric not in config.metrics:
        known = ", ".join(config.metrics) or "none"
        raise ConfigError(
            f"monitor={config.monitor}: not among the metrics ({known}); choose metrics=fast, or monitor=train/loss "
            "with callbacks.best=null callbacks.weights=null"
        )
    devices, sweeping = config.trainer.devices, HydraConfig.get().mode == RunMode.MULTIRUN
    several = config.trainer.num_nodes > 1 or devices not in (1, "auto")
    if sweeping and several:
        # The other processes of a job are started with the command line of the whole sweep.
        raise ConfigError(
            "a sweep trains each job on one device (strategy=cpu, single_gpu or auto): run the jobs one by one "
            "to use several devices each"
        )


def _say_where(trainer: L.Trainer, config: DictConfig) -> None:
    exporter = next((c for c in trainer.callbacks if isinstance(c, WeightsExporter)), None)  # type: ignore[attr-defined]
    folder = Path(config.paths.output_dir)
    print(f"\nrun: {folder}")
    if (checkpoint := folder / "checkpoints" / "last.ckpt").is_file():
        print(f"go on: ckpt_path={checkpoint}")
    if exporter is None or (weights := exporter.best_folder or exporter.last_folder) is None:
        return
    print(f"weights: {weights}" + (f" ({config.monitor} {exporter.best:.2f})" if exporter.best is not None else ""))
    if config.model.get("engine") is not None:
        print(f"use them: vinpaint-inpaint model={config.model.name} weights={weights} input=<clip> masks=<masks>")


def _begin_from(config: DictConfig) -> str | None:
    """The checkpoint to go on from: the one asked for, or what a stopped job of a resumed sweep left."""
    left = Path(config.paths.output_dir) / "checkpoints" / "last.ckpt"
    if config.ckpt_path is None and config.sweep.resume is not None and left.is_file():
        return str(left)
    return cast("str | None", config.ckpt_path)


def _facts(trainer: L.Trainer, config: DictConfig, result: float | None) -> dict[str, Any]:
    """What the record of the job says of training."""
    folder = Path(config.paths.output_dir)
    watch = next((c for c in trainer.callbacks if isinstance(c, VideoMetrics)), None)  # type: ignore[attr-defined]
    logged = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
    validation = {key.removeprefix("val/"): value for key, value in logged.items()}
    files = {"weights": "weights/best", "checkpoint": "checkpoints/last.ckpt", "log": "metrics.csv"}
    if not (folder / files["weights"]).is_dir():
        files["weights"] = "weights/last"
    found: dict[str, Any] = {what: path for what, path in files.items() if (folder / path).exists()}
    for what, place in (("strips", "clips"), ("attention", "attention")):
        if pictures := sorted((folder / place).glob("*.png")):
            found[what] = [str(picture.relative_to(folder)) for picture in pictures]
    return {
        "training": {
            "updates": trainer.global_step,
            "monitor": config.monitor,
            "best": result,
            "validation": validation,
        },
        "measured_by": "validation" if validation else None,
        "metrics": validation or None,
        "higher_is_better": watch.metrics.higher_is_better if watch is not None else {},
        "files": found,
    }


def _evaluate(trainer: L.Trainer, config: DictConfig, record: JobRecord) -> None:
    """Measure the best weights as ``vinpaint-evaluate`` would, into the same folder."""
    exporter = next((c for c in trainer.callbacks if isinstance(c, WeightsExporter)), None)  # type: ignore[attr-defined]
    weights = (exporter.best_folder or exporter.last_folder) if exporter is not None else None
    if weights is None:
        raise ConfigError("evaluation: there are no weights to measure; keep callbacks.weights, or set evaluation=null")
    options = [f"{key}={'null' if value is None else value}" for key, value in config.evaluation.items()]
    sources = [s.path for s in HydraConfig.get().runtime.config_sources if s.provider == "command-line"]
    asked = compose("evaluate", [*options, f"progress={config.progress}"], folders=sources)
    asked.model, asked.weights = config.model, str(weights)
    asked.paths.output_dir = config.paths.output_dir
    folder = EvaluationFolder(Path(config.paths.output_dir))
    go_on = "the same command and sweep.resume=<folder of the sweep>"
    found = run_evaluation(asked, folder, described={}, resume=config.sweep.resume, go_on=go_on)
    record.note(**found.facts)
    log_evaluation(trainer, found.facts, Path(config.paths.output_dir))
    print(found.text)


def _result(trainer: L.Trainer, monitor: str) -> float | None:
    """The best value of what is monitored, else the last one; nothing where it was never measured."""
    best: Any = getattr(trainer.checkpoint_callback, "best_model_score", None)
    value = best if best is not None else trainer.callback_metrics.get(monitor)
    return float(value) if value is not None else None


if __name__ == "__main__":
    main()
