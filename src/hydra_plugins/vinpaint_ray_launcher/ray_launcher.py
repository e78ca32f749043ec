"""Runs the jobs of a sweep as tasks of Ray; Hydra finds it here because plugins live in ``hydra_plugins``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class RayLauncher(Launcher):
    """Hands each job to Ray, which starts it when there are processors and GPUs for it.

    A job may be started twice (a lost machine): a job that has finished is not repeated when ``sweep.resume`` is set,
    and one that has not begins its folder anew.

    Args:
        address: of a Ray cluster, ``auto`` for the one this machine is part of, or ``local`` to start one for the
            sweep alone.
        num_cpus: processors of a job.
        num_gpus: GPUs of a job.
        max_retries: times a job is started again whose process died.
    """

    def __init__(
        self, *, address: str = "local", num_cpus: float = 1, num_gpus: float = 0, max_retries: int = 1
    ) -> None:
        super().__init__()
        self.address = address
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus
        self.max_retries = max_retries
        self.config: DictConfig | None = None
        self.context: HydraContext | None = None
        self.task: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what every job needs."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and wait for all of them.

        Args:
            job_overrides: the options of each job.
            initial_job_idx: number of the first one.
        """
        ray: Any = import_module("ray")  # when it is needed: Hydra loads every plugin at every start
        assert self.config is not None
        setup_globals()
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        begun = not ray.is_initialized()
        if begun:
            ray.init(address=self.address, include_dashboard=False, log_to_driver=True, logging_level="WARNING")
        try:
            task = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=self.max_retries)(_job)
            state = Singleton.get_state()
            shared = {"context": self.context, "config": self.config, "task": self.task, "state": state}
            waiting = [
                task.remote(initial_job_idx + index, list(overrides), **shared)
                for index, overrides in enumerate(job_overrides)
            ]
            returns: list[JobReturn] = ray.get(waiting)
            return returns
        finally:
            if begun:
                ray.shutdown()


def _job(
    number: int, overrides: list[str], *, context: HydraContext, config: DictConfig, task: TaskFunction, state: Any
) -> JobReturn:
    """What a process of Ray does: compose the job's configuration and run it."""
    setup_globals()
    Singleton.set_state(state)
    own = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(own):
        own.hydra.job.id = f"{own.hydra.job.name}_{number}"
        own.hydra.job.num = number
    HydraConfig.instance().set_config(own)
    return run_job(
        hydra_context=context,
        config=own,
        task_function=task,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
