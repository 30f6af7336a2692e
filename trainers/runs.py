"""Looks at recorded runs, compares them, and keeps them in order.

    python trainers/runs.py list             every run: net, accuracy, the paper's, speed, state
    python trainers/runs.py show RUN         one run: flags, data, environment, scores, notes
    python trainers/runs.py diff RUN RUN     two runs: flags, net source, data, metrics
    python trainers/runs.py mistakes RUN     what an evaluation with --save_predictions found wrong
    python trainers/runs.py note RUN TEXT    adds a dated line to the run's notes.md
    python trainers/runs.py prune [RUN ...]  removes checkpoints but the last and the best
    python trainers/runs.py resume RUN       continues a run; a finished one with --train_epochs=N
    python trainers/runs.py report [RUN ...] writes one HTML page about all runs, or about these;
                                             with --watch again and again, while they are trained

RUN is a run folder, EXPERIMENT/NUMBER in --runs_dir, or EXPERIMENT for its newest run.
"""

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Callable

from base.commandline import Settings, config_from_flags, flag, flag_lines, run
from base.errors import UserError
from base.files import atomic
from base.tensorflow_start import start_tensorflow
from trainers.config import NET_DIR
from trainers.run_folder.folder import FIGURES_DIR
from trainers.run_folder.records import BROKEN, RUNNING, RunRecord, find_record, find_records


@dataclasses.dataclass(frozen=True)
class RunsConfig(Settings):
    """What the sub-commands take beside the names of runs."""

    runs_dir: str = flag("runs", "Where run folders are.")
    dry_run: bool = flag(False, "prune: say what would be removed, and remove nothing.")
    tool: str = flag("", "diff: a command to open on each pair of files, such as vimdiff.")
    data_dir: str = flag("", "resume: where the run's data set is now.")
    train_epochs: float = flag(
        0.0, "resume: the run's new length, to train a finished one further.", within="[0, inf)"
    )
    train_steps: int = flag(0, "resume: the same in steps.", within="[0, 1e12]")
    replicas: str = flag("", "resume: on what it goes on, as --replicas of train.py.")
    output: str = flag(
        "",
        "report: the HTML file (default: report.html in --runs_dir). mistakes: the PNG file "
        "(default: mistakes.png in the run's folder of figures).",
    )
    watch: bool = flag(
        False,
        "report: write it anew whenever a run has changed, until Ctrl-C; the open page follows.",
    )
    evaluation: str = flag(
        "",
        "mistakes: of which evaluation, as center_crop_validation (default: the newest that has "
        "saved predictions).",
    )

    @property
    def directory(self) -> pathlib.Path:
        """--runs_dir as a path."""
        return pathlib.Path(self.runs_dir)

    def records(self, names: list[str]) -> list[RunRecord]:
        """The runs of these names; all of them, where none is named."""
        if names:
            return [find_record(name, self.directory) for name in names]
        return find_records(self.directory)


def list_runs(config: RunsConfig, names: list[str]) -> None:
    """Prints the table of all runs."""
    from trainers.report.tables import list_table

    _expect(names, "")
    records = config.records([])
    print(list_table(records) if records else f"no run in {config.runs_dir} yet")


def show(config: RunsConfig, names: list[str]) -> None:
    """Prints one run."""
    from trainers.report.tables import show_text

    _expect(names, "RUN")
    print(show_text(config.records(names)[0]))


def diff(config: RunsConfig, names: list[str]) -> None:
    """Prints two runs where they differ, or opens a tool on them."""
    from trainers.report import diff

    _expect(names, "RUN RUN")
    a, b = config.records(names)
    if not config.tool:
        print(diff.diff_text(a, b))
    elif not diff.run_tool(a, b, config.tool):
        print(f"{a.directory} and {b.directory} have the same flags and the same net source")


def show_mistakes(config: RunsConfig, names: list[str]) -> None:
    """Prints what a run gets wrong, and draws it."""
    from base.files import save_png
    from trainers.report.mistakes import PICTURE_FILE, mistakes_picture, mistakes_text

    _expect(names, "RUN")
    record = config.records(names)[0]
    said = record.predictions(config.evaluation)
    print(mistakes_text(said))
    path = config.output or str(record.directory / FIGURES_DIR / PICTURE_FILE)
    save_png(mistakes_picture(said, f"{record.name}: {said.split}, {said.protocol}"), path)
    print(f"\ndrawn: {path}")


def note(config: RunsConfig, names: list[str]) -> None:
    """Adds a line to a run's notes."""
    from trainers.run_folder.folder import NOTES_FILE

    _expect(names, "RUN TEXT")
    record = config.records(names[:1])[0]
    text = " ".join(names[1].split())
    if not text:
        raise UserError("an empty note says nothing")
    path = record.directory / NOTES_FILE
    if not record.flags or (path.exists() and not record.notes):
        raise UserError(f"{record.directory} is {record.state}: {'; '.join(record.faults)}")
    before = (record.notes or f"# {record.name}").rstrip()
    with atomic(path, "w") as file:
        file.write(f"{before}\n\n{datetime.date.today()}: {text}\n")
    print(f"noted in {path}")


def prune(config: RunsConfig, names: list[str]) -> None:
    """Removes checkpoints that no command needs."""
    from trainers.run_folder import pruning

    verb = "would be removed" if config.dry_run else "removed"
    total = 0
    for record in config.records(names):
        done = pruning.prune(record, dry_run=config.dry_run)
        if done.left_alone:
            print(f"{record.name}: left alone: {done.left_alone}")
        elif done.removed:
            listed = ", ".join(path.name for path in done.removed)
            print(f"{record.name}: {verb}: {listed} ({done.freed / 1e6:,.1f} MB)")
        total += done.freed
    print(f"{total / 1e6:,.1f} MB {'would be freed' if config.dry_run else 'freed'}")


def resume(config: RunsConfig, names: list[str]) -> None:
    """Continues a run, by its own flags, where its folder and its data set are now."""
    _expect(names, "RUN")
    record = config.records(names)[0]
    longer = config.train_epochs or config.train_steps
    net = (record.directory / NET_DIR).exists()
    usable = record.config is not None and net and record.state != RUNNING
    if not usable or (record.run.finished and not longer):
        reasons = f" ({'; '.join(record.faults)})" if record.state == BROKEN else ""
        remedy = ", but longer: --train_epochs=N" if usable else ""
        raise UserError(
            f"{record.directory} is {record.state}{reasons}: nothing to continue{remedy}"
        )
    parent = record.directory.resolve().parent
    trained = record.run.flags()
    trained = dataclasses.replace(trained, runs_dir=str(parent.parent), experiment=parent.name)
    if config.data_dir:
        place = config.data_dir if "://" in config.data_dir else os.path.abspath(config.data_dir)
        pipeline = dataclasses.replace(trained.pipeline, data_dir=place)
        trained = dataclasses.replace(trained, pipeline=pipeline)
    if config.replicas:
        trained = dataclasses.replace(trained, replicas=config.replicas)
    if longer:
        epochs = config.train_epochs or trained.train_epochs
        trained = dataclasses.replace(trained, train_epochs=epochs, train_steps=config.train_steps)
    start_tensorflow()
    from trainers.training import session

    session.train(trained, continued=record.run)


def report(config: RunsConfig, names: list[str]) -> None:
    """Writes the report, once or as long as runs go on."""
    from trainers.report import page, watching
    from trainers.run_folder.finding import run_folders

    path = pathlib.Path(config.output) if config.output else config.directory / "report.html"
    records = config.records(names)

    def say(count: int) -> None:
        print(f"{count} run{'' if count == 1 else 's'}: {path}", flush=True)

    def folders() -> list[pathlib.Path]:
        return [r.directory for r in records] if names else run_folders(config.directory)

    if config.watch:
        watching.watch(folders, config.directory, path, say)
    else:
        page.write(path, records)
        say(len(records))


COMMANDS: dict[str, Callable[[RunsConfig, list[str]], None]] = {
    "list": list_runs,
    "show": show,
    "diff": diff,
    "mistakes": show_mistakes,
    "note": note,
    "prune": prune,
    "resume": resume,
    "report": report,
}

# Which sub-commands a flag belongs to, where it is not all's.
_OWN_FLAGS = {
    **{"dry_run": ("prune",), "tool": ("diff",), "evaluation": ("mistakes",), "watch": ("report",)},
    "output": ("mistakes", "report"),
    **dict.fromkeys(("data_dir", "train_epochs", "train_steps", "replicas"), ("resume",)),
}


def main(arguments: list[str]) -> None:
    """Runs the sub-command that is named first."""
    config = config_from_flags(RunsConfig)
    if not arguments or arguments[0] not in COMMANDS:
        found = f"{arguments[0]!r} is no sub-command" if arguments else "no sub-command is named"
        raise UserError(f"{found}: there are {', '.join(COMMANDS)} (--help says what each does)")
    name, *rest = arguments
    for line, differs in flag_lines(config):
        owners = _OWN_FLAGS.get(line[2:].partition("=")[0], (name,))
        if differs and name not in owners:
            raise UserError(f"{line} is a flag of {' and '.join(owners)}, not of {name}")
    COMMANDS[name](config, rest)


def _expect(names: list[str], wanted: str) -> None:
    """Raises UserError where there are more or fewer names than words in `wanted`."""
    if len(names) != len(wanted.split()):
        raise UserError(
            f"{len(names)} arguments after the sub-command, {wanted or 'none'} wanted: "
            + (" ".join(names) or "nothing was given")
        )


if __name__ == "__main__":
    run(main, configs=[RunsConfig], gpus=True, positional=True, tensorflow=False)
