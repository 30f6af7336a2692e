"""What the page calls a run and its data set."""

from __future__ import annotations

from trainers.run_folder.records import RunRecord


def identifier(record: RunRecord) -> str:
    """The id of a run's details in the page: different names have different ones."""
    return "run-" + "".join(c if c.isalnum() else f"_{ord(c):x}_" for c in record.name)


def data_set(record: RunRecord) -> str:
    """The data set's name and configuration, and where known its manifest's first digits."""
    data = record.data
    if data is None:
        return ""
    return " ".join(filter(None, (data.name, data.config, (data.manifest_sha256 or "")[:8])))
