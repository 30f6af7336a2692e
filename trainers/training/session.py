"""Training: from a configuration to a trained, evaluated net in a run folder."""

import contextlib
from collections.abc import Callable
from typing import IO, Any

import tensorflow as tf

import nets
from base.commandline import UserError
from pipelines.reading.dataset import Dataset, open_dataset
from trainers.config import TrainConfig
from trainers.run_folder.continuing import claim, find_interrupted, load_plugins, numbered_run
from trainers.run_folder.folder import Run, new_run
from trainers.training.optimizers import OPTIMIZERS
from trainers.training.replicas import Workers, make_strategy, refuse_broken_links
from trainers.training.schedules import SCHEDULES
from trainers.training.trainer import Trainer
from trainers.training.validation import Score


def train(config: TrainConfig, continued: Run | None = None) -> tuple[Run, Score]:
    """Trains a net as `config` says, in a new run folder or the interrupted one it continues.

    That one is `continued`, where it is given; else the newest, if `config` says so.

    Returns the run and its last validation score. On SIGINT, SIGTERM or SIGUSR1 it saves and raises
    SystemExit(0); the same call continues at the next step.

    Raises:
        UserError: what the flags ask for does not exist, does not fit, or does not converge.
    """
    load_plugins(config, continued)
    strategy = make_strategy(config.replicas, config.distribution)
    dataset = open_dataset(config.pipeline)
    refuse_unusable(config, dataset, strategy)
    refuse_broken_links(strategy)
    workers = Workers(strategy)

    def interrupted() -> tuple[Run, IO[str]] | None:
        if continued is not None:
            return claim(continued)
        return find_interrupted(config) if config.resume else None

    run, lock = _found_by_chief(config, workers, interrupted)
    with lock:
        trainer = Trainer(config, dataset, run.load_nets() if run else nets, strategy, workers)
        if run is not None:
            return run, trainer.train(run)
    # Only now, as flags that no net can be built by leave no folder behind.
    run, lock = _found_by_chief(config, workers, lambda: new_run(config, dataset))
    assert run is not None
    with lock:
        return run, trainer.train(run)


def _found_by_chief(
    config: TrainConfig, workers: Workers, find: Callable[[], tuple[Run, IO[str]] | None]
) -> tuple[Run | None, contextlib.AbstractContextManager[Any]]:
    """The run that `find` gives the first worker, and its lock; the others hear of the run."""
    found = find() if workers.chief else None
    number = int(workers.of_chief(found[0].number if found else 0))
    if found is not None:
        return found
    return (numbered_run(config, number) if number else None), contextlib.nullcontext()


def refuse_unusable(
    config: TrainConfig, dataset: Dataset, strategy: tf.distribute.Strategy
) -> None:
    """Raises UserError for what is wrong with the flags as a whole, before a folder is made."""
    replicas = strategy.num_replicas_in_sync
    batch = config.pipeline.train_batch_size
    parts = replicas * config.accumulation_steps
    if batch % parts:
        raise UserError(
            f"--train_batch_size={batch} is not a multiple of {parts}, the {replicas} replicas "
            f"times --accumulation_steps={config.accumulation_steps}"
        )
    SCHEDULES.make(config.schedule)
    OPTIMIZERS.make(config.optimizer)
