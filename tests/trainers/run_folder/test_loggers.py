"""Loggers get each step once, whatever happens to a run; their services are fakes here."""

import importlib.machinery
import pathlib
import sys
import types

import pytest

from base.errors import UserError
from tests.making.datasets import write_dataset
from tests.making.tiny_net import SHORT_STEPS, SHORT_TRAINING, tiny_net
from trainers import config
from trainers.run_folder.loggers.logger import Logger
from trainers.run_folder.loggers.opening import asked_for
from trainers.training import session
from trainers.training.logbook import Logbook
from trainers.training.validation import Score

FLAGS = ("--data_dir=data", "--experiment=mine", *SHORT_TRAINING)


def module(name: str, **members) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    for member, value in members.items():
        setattr(made, member, value)
    return made


class FakeServices:
    """What wandb and mlflow have been told: (logger, run's id, metric, step), and their ends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str, int]] = []
        self.begun: list[tuple[str, str, dict]] = []
        self.ended: list[tuple[str, object]] = []

    def take(self, logger: str, run_id: str, values: dict[str, float], step: int) -> None:
        self.sent += [(logger, run_id, name, step) for name in values]

    def steps(self, logger: str, metric: str) -> list[int]:
        return [step for name, _, each, step in self.sent if (name, each) == (logger, metric)]

    def wandb(self) -> types.ModuleType:
        services = self

        class FakeRun:
            def __init__(self, run_id, flags):
                self.id, self.flags = run_id or "w1", flags
                self.url, self.offline = "https://wandb.example/w1", False

            def define_metric(self, name, step_metric=None):
                assert (name, step_metric) in {("step", None), ("*", "step")}

            def log(self, values):
                services.take("wandb", self.id, values, values["step"])

            def finish(self, exit_code):
                services.ended.append(("wandb", exit_code))

        def init(*, id, name, config, **others):
            services.begun.append(("wandb", name, config))
            return FakeRun(id, config)

        return module("wandb", init=init, Settings=dict, Run=FakeRun)

    def mlflow(self) -> tuple[types.ModuleType, types.ModuleType]:
        services = self

        class FakeClient:
            def get_experiment_by_name(self, name):
                return None

            def create_experiment(self, name):
                return f"experiment {name}"

            def create_run(self, experiment, run_name):
                services.begun.append(("mlflow", run_name, {}))
                return types.SimpleNamespace(info=types.SimpleNamespace(run_id="m1"))

            def update_run(self, run_id, status):
                assert (run_id, status) == ("m1", "RUNNING")

            def log_batch(self, run_id, metrics=(), params=()):
                assert len(params) <= 100
                for name, _, _, step in metrics:
                    services.take("mlflow", run_id, {name: 0.0}, step)

            def set_terminated(self, run_id, status):
                services.ended.append(("mlflow", status))

        entities = module("mlflow.entities", Metric=lambda *each: each, Param=lambda *each: each)
        fake = module(
            "mlflow", MlflowClient=FakeClient, get_tracking_uri=lambda: "here", entities=entities
        )
        return fake, entities


@pytest.fixture
def services(monkeypatch) -> FakeServices:
    made = FakeServices()
    fake, entities = made.mlflow()
    fakes = {"wandb": made.wandb(), "mlflow": fake, "mlflow.entities": entities}
    for name, each in fakes.items():
        monkeypatch.setitem(sys.modules, name, each)
    for name in ("wandb_runs", "mlflow_runs"):  # which import these at their top
        monkeypatch.delitem(sys.modules, f"trainers.run_folder.loggers.{name}", raising=False)
    return made


@pytest.fixture
def flags(tmp_path, monkeypatch) -> list[str]:
    write_dataset(tmp_path / "data", train=48)
    monkeypatch.chdir(tmp_path)
    return [*FLAGS, *tiny_net(tmp_path)]


@pytest.mark.slow(reason="it trains, and goes on with that")
def test_a_run_that_goes_on_sends_each_step_once_to_the_same_run(services, flags, capsys):
    run, _ = session.train(config.parse([*flags, "--loggers=wandb"]))
    assert "logged to https://wandb.example/w1" in capsys.readouterr().out
    # As a kill leaves it after the first of two epochs, whose second had been sent.
    for name in ("result.json", "history.json", f"checkpoints/step-{2 * SHORT_STEPS:08d}.npz"):
        (run.directory / name).unlink()
    session.train(config.parse([*flags, "--loggers=wandb,mlflow"]))
    assert [each[:2] for each in services.begun] == [
        ("wandb", "mine/1"),
        ("wandb", "mine/1"),
        ("mlflow", "mine/1"),
    ]
    assert services.begun[0][2]["train_epochs"] == "2.0"
    assert {each[:2] for each in services.sent} == {("wandb", "w1"), ("mlflow", "m1")}
    for logger in ("wandb", "mlflow"):  # the second has those from before it was named
        assert services.steps(logger, "train/loss") == list(range(1, 2 * SHORT_STEPS + 1))
        assert services.steps(logger, "validation/top1") == [SHORT_STEPS, 2 * SHORT_STEPS]
    assert services.ended == [("wandb", 0), ("wandb", 0), ("mlflow", "FINISHED")]


def test_what_cannot_be_opened_is_one_line_and_leaves_no_run(services, flags, monkeypatch):
    def refuse(**settings):
        raise RuntimeError("api_key not\nconfigured")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(UserError, match=r"--loggers=wandb: RuntimeError: api_key not configured$"):
        session.train(config.parse([*flags, "--loggers=wandb"]))
    assert not pathlib.Path("runs").exists() or not list(pathlib.Path("runs").iterdir())


def test_a_missing_package_and_a_name_that_is_none_are_said_first(flags, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"needs the package mlflow: pip install mlflow"):
        session.train(config.parse([*flags, "--loggers=mlflow", "--data_dir=nowhere"]))
    with pytest.raises(UserError, match="no 'wandbb': there are tensorboard, wandb, mlflow"):
        session.train(config.parse([*flags, "--loggers=wandbb"]))


def test_the_older_flags_ask_for_tensorboard_too():
    assert asked_for(config.parse(["--tensorboard=true"])) == ("tensorboard",)
    both = config.parse(["--tensorboard_images=2", "--loggers=tensorboard"])
    assert asked_for(both) == ("tensorboard",)
    assert asked_for(config.parse(["--tensorboard=false"])) == ()


def test_a_logger_that_fails_is_left_and_the_training_goes_on(tmp_path, capsys):
    class Gone(Logger):
        place = "a server"

        def write(self, line):
            raise ConnectionError("no route to host")

        def close(self, outcome):
            raise AssertionError("it was left")

    def opened(lines):
        return [Gone()]

    with Logbook(
        tmp_path, resumed_step=0, total_steps=4, steps_per_epoch=2, open_loggers=opened
    ) as logbook:
        logbook.validation(2, Score(20, 1.6, 0.2, 0.9))
        logbook.validation(4, Score(20, 1.6, 0.2, 0.9))
    said = capsys.readouterr().out
    assert said.count("warning: Gone gets no more lines (ConnectionError: no route to host)") == 1
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
