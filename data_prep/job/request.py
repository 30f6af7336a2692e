"""What a data set directory was asked for, and whether another command asks for the same.

It is in `.build/request.json` while the job is unfinished, and follows from the manifest after.
"""

import dataclasses
from typing import Any

from etils import epath

from base import typed_json
from base.errors import UserError
from base.files import atomic
from data_prep import schema

REQUEST_FILE = "request.json"
FORMAT = 1  # the newest that is known; 0: without a number, and otherwise the same


@dataclasses.dataclass(frozen=True)
class Request:
    """All that the bytes of a data set directory depend on.

    Attributes:
        source: the source's fingerprint.
        settings: of the images.
        seed: of the shuffle.
        selection: which images of the source: {splits, classes, max_per_class, holdout}.
        shards: how many there are of each split.
        content: the hash of some of the source's bytes; None in what older versions have left.
    """

    source: str
    settings: schema.ImageSettings
    seed: int
    selection: dict[str, Any]
    shards: dict[str, int]
    content: str | None = None

    @classmethod
    def of(cls, manifest: schema.Manifest) -> "Request":
        """What a finished data set was asked for."""
        return cls(
            source=manifest.source["fingerprint"],
            settings=manifest.settings,
            seed=manifest.seed,
            selection=manifest.selection,
            shards={split: len(shards) for split, shards in manifest.shards.items() if shards},
            content=manifest.source.get("content"),
        )

    @classmethod
    def load(cls, work: epath.Path) -> "Request | None":
        """What an unfinished data set was asked for; None where nothing was.

        Raises UserError where the file is damaged, or of a newer format.
        """
        path = work / REQUEST_FILE
        if not path.exists():
            return None
        try:
            request: Request = typed_json.read(path.read_bytes(), cls, FORMAT)
        except typed_json.NewerFormatError as error:
            raise UserError(f"{path} {error}") from None
        except typed_json.FileError as error:
            raise UserError(f"{path} {error}: delete {work.parent}, and build it again") from None
        return request

    def save(self, work: epath.Path) -> None:
        """Writes the file, whole or not at all."""
        with atomic(work / REQUEST_FILE, "w") as file:
            file.write(typed_json.write(self, FORMAT))

    def refuse_other(self, found: "Request", directory: epath.Path) -> None:
        """Raises UserError where a directory holds what another command has asked for."""
        theirs_, ours_ = dataclasses.asdict(found), dataclasses.asdict(self)
        if None in (found.content, self.content):
            del theirs_["content"], ours_["content"]
        if difference := _difference(theirs_, ours_):
            name, theirs, ours = difference
            raise UserError(
                f"{directory} was begun with {name}={_short(theirs)}, this command has "
                f"{_short(ours)}: take another --data_dir, or delete it"
            )


def _difference(a: Any, b: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first value in which two requests differ: its dotted name, and both."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return (name, a, b) if a != b else None
    inner = (
        _difference(a.get(key), b.get(key), f"{name}.{key}".lstrip("."))
        for key in dict.fromkeys([*b, *a])
    )
    return next((difference for difference in inner if difference), None)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
