"""Scores a run that was trained, by one of the protocols."""

import dataclasses
import pathlib

from pipelines.reader import open_dataset
from trainers import experiment, models
from trainers.config import EvaluateConfig
from trainers.protocols import CenterCrop, Score
from trainers.replicas import make_strategy


def evaluate(config: EvaluateConfig) -> tuple[Score, pathlib.Path]:
    """Scores a checkpoint of a run over every image of a split, each exactly once.

    Returns the score and the JSON file in the run folder that keeps it, named by its protocol.

    Raises:
        UserError: the run, its checkpoint or the data set is missing, or they do not fit.
    """
    run = experiment.find_run(config.run)
    train_config = run.config()
    pipeline = dataclasses.replace(
        train_config.pipeline,
        data_dir=config.data_dir or train_config.pipeline.data_dir,
        eval_batch_size=config.eval_batch_size or train_config.pipeline.eval_batch_size,
    )
    strategy = make_strategy(config.replicas)
    source = open_dataset(pipeline)
    with strategy.scope():
        model = models.load_trained(run, train_config, source, config.checkpoint)
    score = CenterCrop(model, source, pipeline, strategy, config.split).evaluate()
    name = f"evaluation_{config.protocol}_{config.split}.json"
    run.write_json(
        name,
        {
            "protocol": config.protocol,
            "eval_map": pipeline.eval_map,
            "split": config.split,
            "checkpoint": config.checkpoint,
            "label_order": source.label_order,
            **dataclasses.asdict(score),
        },
    )
    return score, run.directory / name
