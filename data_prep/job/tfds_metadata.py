"""TensorFlow Datasets' own files, by which it reads a data set directory without this project."""

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from base.files import replace, temporary_beside
from data_prep import schema

_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_DESCRIPTION = "Images resized offline; manifest.json says from what source, how, and which."


def features(manifest: schema.Manifest) -> tfds.features.FeaturesDict:
    """What one record holds. Raw pixels are bytes to it: their shape is (height, width, 3)."""
    if manifest.settings.encoding == "jpeg":
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
    else:
        image = tfds.features.Tensor(shape=(), dtype=np.object_)
    return tfds.features.FeaturesDict(
        {
            schema.IMAGE: image,
            schema.LABEL: tfds.features.ClassLabel(names=list(manifest.wnids)),
            schema.FILE_NAME: tfds.features.Text(),
            schema.HEIGHT: tfds.features.Scalar(np.int64),
            schema.WIDTH: tfds.features.Scalar(np.int64),
        }
    )


def write(manifest: schema.Manifest, directory: epath.Path, work: epath.Path) -> None:
    """Writes the metadata of finished shards.

    Args:
        manifest: of the data set.
        directory: of the data set.
        work: where the files are first written, to be renamed, `dataset_info.json` last.
    """
    config = manifest.settings.config_name()
    identity = tfds.core.DatasetIdentity(
        name=manifest.name,
        version=tfds.core.Version(schema.VERSION),
        data_dir=str(directory),
        module_name="",
        config_name=config,
        config_description=f"Images as {config}.",
    )
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory,
        template=_TEMPLATE,
        dataset_name=manifest.name,
        filetype_suffix="tfrecord",
    )
    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.records for shard in shards],
            num_bytes=sum(shard.bytes for shard in shards),
            filename_template=template,
        )
        for split, shards in manifest.shards.items()
        if shards
    ]
    info = tfds.core.DatasetInfo(
        builder=identity, features=features(manifest), description=_DESCRIPTION
    )
    info.set_file_format("tfrecord")
    info.set_splits(tfds.core.splits.SplitDict(splits))
    staging = temporary_beside(work / "metadata")
    staging.mkdir()
    info.write_to_directory(staging)
    for path in sorted(staging.iterdir(), key=lambda path: path.name == schema.DATASET_INFO_FILE):
        replace(path, directory / path.name)


def disagreement(manifest: schema.Manifest, directory: epath.Path) -> str:
    """What TensorFlow Datasets reads otherwise than the manifest has it, or nothing."""
    try:
        info = tfds.builder_from_directory(directory).info
        found = {
            split: [int(length) for length in info.splits[split].shard_lengths]
            for split in info.splits
        }
        names = info.features[schema.LABEL].names
    except Exception as error:  # whatever a damaged file makes of it
        return f"TensorFlow Datasets cannot read the directory ({error})"
    expected = {
        split: [shard.records for shard in shards]
        for split, shards in manifest.shards.items()
        if shards
    }
    if found != expected:
        return f"its splits hold {found} records, the manifest says {expected}"
    if tuple(names) != manifest.wnids:
        return "its labels are not the manifest's"
    return ""
