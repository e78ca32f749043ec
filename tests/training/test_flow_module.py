"""The training of optical flow: what it is blamed for, what it logs, and that it learns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from vinpaint.callbacks import EMA
from vinpaint.config import build, compose
from vinpaint.data import LayeredMotion, WindowRequest
from vinpaint.errors import UserError
from vinpaint.losses import end_point_error
from vinpaint.masks import AffineRange
from vinpaint.models.flow.irr_pwc import IRRPWCNetwork
from vinpaint.models.pretrained import load_pretrained
from vinpaint.train import build_module
from vinpaint.training import FlowModule, Optimization
from vinpaint.training.flow_module import FlowBatch

STEPS = AffineRange(rotation=1.0, scale=0.01, anisotropy=0.0, shear=0.0)


def source(**options: float) -> LayeredMotion:
    return LayeredMotion(min_layers=1, max_layers=2, textures=8, steps=STEPS, shift=3.0, max_shift=8.0, **options)


def pairs(numbers: range, *, num_frames: int = 2, motion: bool = True) -> FlowBatch:
    wanted = WindowRequest(num_frames, 64, 64, "flow" if motion else None)
    drawn = source()
    return cast(FlowBatch, default_collate([drawn.draw(n, np.random.default_rng(n), wanted) for n in numbers]))


def fit(module: FlowModule, batches: list[FlowBatch], folder: Path, max_steps: int) -> L.Trainer:
    trainer = L.Trainer(
        max_steps=max_steps, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, check_val_every_n_epoch=None,
        val_check_interval=max_steps, default_root_dir=folder, callbacks=[EMA(decay=0.98)],
    )  # fmt: skip
    trainer.fit(module, DataLoader(batches, batch_size=None), DataLoader([pairs(range(90, 94))], batch_size=None))
    return trainer


def test_one_update_changes_the_weights_and_is_measured(tmp_path: Path) -> None:
    network = IRRPWCNetwork(width=0.25)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    trainer = fit(FlowModule(network), [pairs(range(2))], tmp_path, 1)
    changed = [not torch.equal(value, before[key]) for key, value in network.state_dict().items()]
    assert all(changed)
    logged = trainer.callback_metrics
    assert logged["train/loss"] == logged["train/flow"] > 0
    assert {"train/epe", "train/learning_rate", "val/epe", "val/epe_seen"} <= set(logged)


def test_all_neighbours_are_estimated_in_both_directions() -> None:
    module = FlowModule(IRRPWCNetwork(width=0.25))
    batch = pairs(range(2), num_frames=3)
    with torch.no_grad():
        shown = module.complete(batch, {}).shown["epe"]
        errors = []
        for t in range(2):
            first, second = batch["frames"][:, t], batch["frames"][:, t + 1]
            flows = module.generator.both(first, second)  # type: ignore[operator]
            errors += [end_point_error(flows.forward, batch["flow_forward"][:, t])]
            errors += [end_point_error(flows.backward, batch["flow_backward"][:, t])]
    torch.testing.assert_close(shown, torch.stack(errors).mean())


def test_what_is_hidden_in_the_other_frame_can_be_left_out() -> None:
    network, batch = IRRPWCNetwork(width=0.25), pairs(range(2))
    wrong = FlowBatch(**batch)
    for way in ("forward", "backward"):
        hidden = batch[f"seen_{way}"] == 0  # type: ignore[literal-required]
        assert hidden.any()
        wrong[f"flow_{way}"] = batch[f"flow_{way}"] + 50 * hidden  # type: ignore[literal-required]
    costs = {}
    for weight in (0.0, 1.0):
        module = FlowModule(network, unseen_weight=weight)
        with torch.no_grad():
            costs[weight] = [float(module.complete(given, {}).terms["flow"]) for given in (batch, wrong)]
    assert costs[0.0][0] == pytest.approx(costs[0.0][1], rel=1e-5)
    assert costs[1.0][1] > 1.2 * costs[1.0][0]


def test_clips_without_known_motion_are_refused() -> None:
    with pytest.raises(UserError, match=r"set data\.motion=flow"):
        FlowModule(IRRPWCNetwork(width=0.25)).complete(pairs(range(1), motion=False), {})
    with pytest.raises(UserError, match="unseen_weight=-1"):
        FlowModule(IRRPWCNetwork(width=0.25), unseen_weight=-1)


@pytest.mark.parametrize("experiment", ["irr_pwc", "irr_pwc_small"])
def test_the_experiments_build_what_they_say(experiment: str) -> None:
    config = compose("train", [f"experiment={experiment}"])
    module = build_module(config)
    assert isinstance(module, FlowModule)
    assert module.level_weights == FlowModule(IRRPWCNetwork(width=0.25)).level_weights
    assert config.monitor == "val/epe"
    assert config.callbacks.best.mode == config.callbacks.weights.mode == "min"
    assert (config.data.num_frames, config.data.motion) == (2, "flow")
    build(config.data)


def test_the_command_trains_without_libraries_that_read_videos(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(av=None, decord=None, wandb=None)\n"  # None: an import of it fails
        "from vinpaint.train import main; main()"
    )
    options = [
        "experiment=irr_pwc_small", "model.network.width=0.25", "data.height=64", "data.width=64", "data.batch_size=2",
        "data.num_workers=0", "data.train.textures=2", "trainer.max_steps=2", "trainer.val_check_interval=2",
        "trainer.limit_val_batches=1", "model.module.optimization.warmup=0",
        "strategy=cpu", "progress=false", "hydra.run.dir=run",
    ]  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", program, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "(val/epe " in result.stdout
    assert "vinpaint-inpaint" not in result.stdout
    assert isinstance(load_pretrained(tmp_path / "run" / "weights" / "best"), IRRPWCNetwork)


@pytest.mark.slow
def test_pairs_are_learned_by_heart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = Optimization(learning_rate=2e-3, betas=(0.9, 0.999), warmup=10, annealing="cosine", max_gradient_norm=5.0)
    module = FlowModule(IRRPWCNetwork(width=0.25), optimization=recipe)
    batches = [pairs(range(start, start + 4)) for start in range(0, 16, 4)]
    fit(module, batches, tmp_path, 300)
    with torch.no_grad():
        error = torch.stack([module.complete(batch, {}).shown["epe"] for batch in batches]).mean()
    still = torch.stack([batch["flow_forward"].norm(dim=2).mean() for batch in batches]).mean()
    assert error < 0.25 * still
