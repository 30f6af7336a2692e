"""What `--classes` may say, of a source of images and of a data set alike."""

import os
import pathlib
import re
from collections.abc import Sequence

from base.errors import UserError


def chosen_classes(written: str, known: Sequence[str], holder: str) -> tuple[int, ...] | None:
    """The labels of the classes that `--classes` names, ascending; None for all of them.

    Args:
        written: WNIDs separated by commas, how many (the first ones), or a file of WNIDs, which
            are separated by blanks, commas or ends of lines. Empty: all.
        known: the classes that there are, in label order.
        holder: what has them, for messages: `the source`.

    Raises:
        UserError: it names what there is not, or nothing; the file cannot be read.
    """
    if not written:
        return None
    where = f"--classes={written}"
    if written.isdecimal():
        if not 1 <= int(written) <= len(known):
            raise UserError(f"{where}: {holder} has {len(known)} classes")
        return tuple(range(int(written)))
    labels = {name: label for label, name in enumerate(known)}
    path = os.path.expanduser(written)
    is_file = os.path.isfile(path)
    chosen = set()
    for part in re.split(r"[,\n]", _text(path) if is_file else written):
        name = part.strip()
        for each in [name] if name in labels else name.split():
            if each not in labels:
                named = f"which {written} names" if is_file else "and no file of that name"
                raise UserError(
                    f"--classes: {holder} has no class {each}, {named}: its classes are such as "
                    f"{known[0]}"
                )
            chosen.add(labels[each])
    if not chosen:
        raise UserError(f"{where} names no class: name some, such as {known[0]}")
    return tuple(sorted(chosen))


def _text(path: str) -> str:
    try:
        # With or without a byte-order mark; Windows's and Unix's ends of lines.
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"--classes={path} is no text: it must be a file of WNIDs") from None
    except OSError as error:
        raise UserError(f"--classes={path} cannot be read: {error.strerror}") from None
