"""Training: from a configuration to a trained, evaluated net in a run folder."""

import contextlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

import nets
from base.errors import UserError
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from trainers.config import TrainConfig
from trainers.run_folder.continuing import (
    claim,
    find_interrupted,
    load_plugins,
    numbered_run,
    refuse_other_data,
)
from trainers.run_folder.folder import Run, new_run
from trainers.run_folder.loggers.opening import asked_for
from trainers.training.devices.replicas import Devices, open_devices, refuse_broken_links
from trainers.training.loop import train_run
from trainers.training.optimizers import OPTIMIZERS
from trainers.training.schedules import SCHEDULES
from trainers.training.trainer import Trainer
from trainers.training.validation import Score

Found = tuple[Run, contextlib.ExitStack] | None


def train(config: TrainConfig, continued: Run | None = None) -> tuple[Run, Score]:
    """Trains a net as `config` says, in a new run folder or the interrupted one it continues.

    That one is `continued`, where it is given, though it is finished where `config` has another
    length; else the newest, if `config` says so. A start that is refused leaves no run folder.

    Returns the run and its last validation score. On SIGINT, SIGTERM, SIGUSR1 or SIGHUP it saves
    and raises SystemExit(0); the same call continues at the next step.

    Raises:
        UserError: what the flags ask for does not exist, does not fit, or does not converge.
    """
    asked_for(config)  # a package that is missing is said first
    load_plugins(config, continued)
    devices, pipeline = opened(config)
    refuse_broken_links(devices.strategy)

    def interrupted() -> Found:
        if continued is not None:
            return claim(continued, longer=_length(config) != _length(continued.flags()))
        return find_interrupted(config) if config.resume else None

    run, lock = _found_by_chief(config, devices, interrupted)
    with lock:
        if run is not None:
            refuse_other_data(run, pipeline.dataset)
        trainer = Trainer(config, pipeline, run.load_nets() if run else nets, devices)
        trainer.take_initial_weights(run)
        if run is not None:
            return run, train_run(trainer, run)
    # Only now, as flags that no net can be built by leave no folder behind.
    run, lock = _found_by_chief(config, devices, lambda: new_run(config, pipeline))
    assert run is not None
    with lock:
        try:
            return run, train_run(trainer, run)
        except BaseException:
            if devices.workers.chief and not run.begun:
                run.remove()
            raise


def _length(config: TrainConfig) -> tuple[int, float]:
    return config.train_steps, config.train_epochs


def opened(config: TrainConfig) -> tuple[Devices, InputPipeline]:
    """The devices and the batches that the flags name.

    Raises:
        UserError: there are none such, or the flags as a whole are of no use.
    """
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = open_devices(config.replicas, config.distribution)
    pipeline = InputPipeline(open_dataset(config.pipeline), config.pipeline, devices.host)
    batch = config.pipeline.train_batch_size
    parts = devices.replicas * config.accumulation_steps
    if batch % parts:
        raise UserError(
            f"--train_batch_size={batch} is not a multiple of {parts}, the {devices.replicas} "
            f"replicas times --accumulation_steps={config.accumulation_steps}"
        )
    SCHEDULES.make(config.schedule)
    OPTIMIZERS.make(config.optimizer)
    return devices, pipeline


def _found_by_chief(
    config: TrainConfig, devices: Devices, find: Callable[[], Found]
) -> tuple[Run | None, contextlib.AbstractContextManager[Any]]:
    """The run that `find` gives the first worker, and its lock; the others hear of the run."""
    workers = devices.workers
    found = find() if workers.chief else None
    number = int(workers.of_chief(found[0].number if found else 0))
    if found is not None:
        return found
    return (numbered_run(config, number) if number else None), contextlib.nullcontext()
