"""What a logger is: one more place for the lines of metrics.jsonl."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec

from base import typed_json
from trainers.run_folder import files
from trainers.run_folder.files import Line
from trainers.run_folder.folder import Run

LOGGERS_FILE = "loggers.json"


@dataclasses.dataclass(frozen=True)
class Start:
    """What a logger begins with.

    Attributes:
        run: whose lock is held.
        name: the run's, for people: EXPERIMENT/NUMBER.
        flags: every effective flag's value, by its name.
        lines: of metrics.jsonl, up to the step that the run goes on from.
        step: that step; 0 for a run that begins.
    """

    run: Run
    name: str
    flags: dict[str, str]
    lines: Sequence[Line]
    step: int

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self.name.rpartition("/")[0]


class Logger(abc.ABC):
    """One more place for a run's numbers. What it raises ends the logger, not the training."""

    @property
    @abc.abstractmethod
    def place(self) -> str:
        """Where people find the numbers."""

    @abc.abstractmethod
    def write(self, line: Line) -> None:
        """Takes one line of metrics."""

    def show(self, images: Any) -> None:  # noqa: B027 (most show none)
        """Takes images of the first batch, float32 [n, height, width, 3] in 0..1."""

    @abc.abstractmethod
    def close(self, outcome: str) -> None:
        """Takes no more; `outcome` is one of `history`'s."""


class Logged(msgspec.Struct, kw_only=True, frozen=True):
    """A run in a service: its id there, and by split the last step that was sent."""

    id: str
    sent: dict[str, int] = {}


class Services(msgspec.Struct, kw_only=True, frozen=True):
    """loggers.json: the run in each service, by the logger's name."""

    runs: dict[str, Logged] = {}


class Service(Logger):
    """A logger that sends lines to a service, each once, however often a run is interrupted.

    The service's id of the run is kept in the run folder, so that a run that is continued goes on
    there. Steps that an interrupted run takes again are not sent again, and a logger that is first
    named for a continued run gets the lines from before.
    """

    name: str

    def __init__(self, start: Start):
        """Opens the run in the service, and sends what it has not got yet."""
        self._run = start.run
        known = self._read().runs.get(self.name)
        self._logged = Logged(id=self.open(start, known.id if known else None))
        if known and known.id == self._logged.id:
            self._logged = known
        for line in start.lines:
            self.write(line)

    @abc.abstractmethod
    def open(self, start: Start, run_id: str | None) -> str:
        """Goes on with the run of that id, or begins one; returns its id."""

    @abc.abstractmethod
    def send(self, values: dict[str, float], step: int) -> None:
        """Sends numbers, by `<split>/<name>`."""

    def write(self, line: Line) -> None:
        """Sends a line, unless it has been sent, and takes note."""
        sent = self._logged.sent
        if line.step <= sent.get(line.split, -1):
            return
        self.send(numbers(line), line.step)
        self._logged = Logged(id=self._logged.id, sent=sent | {line.split: line.step})
        runs = self._read().runs | {self.name: self._logged}
        self._run.write_json(LOGGERS_FILE, Services(runs=runs))

    def _read(self) -> Services:
        try:
            text = (self._run.directory / LOGGERS_FILE).read_bytes()
            return typed_json.read(text, Services, files.FORMAT)
        except (OSError, typed_json.FileError):
            return Services()


def numbers(line: Line) -> dict[str, float]:
    """The numbers of a line, by `<split>/<name>`; its step apart."""
    values = msgspec.structs.asdict(line).items()
    return {f"{line.split}/{name}": value for name, value in values if isinstance(value, float)}
