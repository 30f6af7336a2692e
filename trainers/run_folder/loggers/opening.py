"""Which loggers there are, and whether their packages are."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence

from base.errors import UserError
from trainers.config import TrainConfig
from trainers.run_folder import history
from trainers.run_folder.loggers.logger import Logger, Start

# By the name that --loggers has for it: the module beside this one, the package that it needs, and
# how that is installed.
LOGGERS = {
    "tensorboard": ("tensorboard_files", "tensorboard", "tensorboard"),
    "wandb": ("wandb_runs", "wandb", "wandb"),
    "mlflow": ("mlflow_runs", "mlflow", "mlflow"),
}


def asked_for(config: TrainConfig) -> tuple[str, ...]:
    """The loggers that the flags name, each once.

    Raises:
        UserError: there is no such logger, or its package is not installed.
    """
    images = config.tensorboard or config.tensorboard_images
    names = tuple(dict.fromkeys((*(["tensorboard"] if images else []), *config.loggers)))
    for name in names:
        if name not in LOGGERS:
            raise UserError(f"--loggers: there is no {name!r}: there are {', '.join(LOGGERS)}")
        _, package, installed_as = LOGGERS[name]
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"--loggers={name} needs the package {package}: pip install {installed_as}"
            )

    return names


def open_loggers(names: Sequence[str], start: Start) -> list[Logger]:
    """The loggers of these names.

    Raises:
        UserError: one cannot be opened: no key, no server.
    """
    opened: list[Logger] = []
    try:
        for name in names:
            opened.append(_open(name, start))
    except UserError:
        for logger in opened:
            logger.close(history.FAILED)
        raise
    return opened


def _open(name: str, start: Start) -> Logger:
    module = importlib.import_module(f"{__package__}.{LOGGERS[name][0]}")
    try:
        logger: Logger = module.open_logger(start)
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(f"--loggers={name}: {type(error).__name__}: {said}") from None
    return logger
