"""The same few images, as a source of each layout."""

import csv
import io
import json
import pathlib
import zipfile

import numpy as np
from PIL import Image

from data_prep.source import official, sample

WNIDS = ("n00000011", "n00000022", "n00000033")
WORDS = ("kit fox", "crane", "crane, other")


def picture(seed: int, height: int = 40, width: int = 52) -> np.ndarray:
    """Smooth uint8 [h, w, 3] pixels, so that JPEG keeps them."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(smooth)


def encoded(pixels: np.ndarray | Image.Image, form: str = "JPEG", **options) -> bytes:
    content = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(content, form, **options)
    return content.getvalue()


def train_images(per_class: int = 4) -> dict[str, dict[str, bytes]]:
    """WNID to file name to file."""
    return {
        wnid: {
            f"{wnid}_{i}.JPEG": encoded(picture(10 * label + i), quality=90)
            for i in range(1, per_class + 1)
        }
        for label, wnid in enumerate(WNIDS)
    }


TRUTH = (2, 0, 1, 1, 0, 2)


def validation_images() -> dict[str, bytes]:
    """File name to file; the label of number n is TRUTH[n - 1]. Number 3 is missing."""
    return {
        f"ILSVRC2012_val_{number:08d}.JPEG": encoded(picture(900 + number), quality=90)
        for number in (1, 2, 4, 5, 6)
    }


def validation_wnid(name: str) -> str:
    return WNIDS[TRUTH[int(name[-13:-5]) - 1]]


def everything(per_class: int = 4) -> dict[tuple[str, str, str], bytes]:
    """(split, WNID, file name) to file: what every layout must list."""
    found = {
        ("train", wnid, name): data
        for wnid, files in train_images(per_class).items()
        for name, data in files.items()
    }
    for name, data in validation_images().items():
        found["validation", validation_wnid(name), name] = data
    return found


def write(root: pathlib.Path, files: dict[str, bytes | str]) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)


def devkit() -> dict[str, bytes]:
    return {f"{official.DEVKIT}.tar.gz": sample.devkit_archive(WNIDS, WORDS, TRUTH, 4)}


def tars(root: pathlib.Path, train: dict[str, dict[str, bytes]] | None = None) -> pathlib.Path:
    inner = {
        f"{wnid}.tar": sample.tar_bytes(files)
        for wnid, files in (train_images() if train is None else train).items()
    }
    files = {
        official.TRAIN_TAR: sample.tar_bytes(inner),
        official.VALIDATION_TAR: sample.tar_bytes(validation_images()),
    }
    write(root, files | devkit())
    return root


def _train_files(prefix: str, between: str = "") -> dict[str, bytes | str]:
    return {
        f"{prefix}{wnid}/{between}{name}": data
        for wnid, files in train_images().items()
        for name, data in files.items()
    }


def folders(root: pathlib.Path) -> pathlib.Path:
    files = _train_files("train/")
    for name, data in validation_images().items():
        files[f"val/{validation_wnid(name)}/{name}"] = data
    files["train/n00000011/.DS_Store"] = b"no image"
    write(root, files)
    return root


def folders_with_devkit(root: pathlib.Path) -> pathlib.Path:
    files = _train_files("train/")
    files |= {f"val/{name}": data for name, data in validation_images().items()}
    write(root, files | devkit())
    return root


def kaggle(root: pathlib.Path) -> pathlib.Path:
    home = "ILSVRC/Data/CLS-LOC/"
    files = _train_files(f"{home}train/")
    files |= {f"{home}val/{name}": data for name, data in validation_images().items()}
    files[f"{home}test/ILSVRC2012_test_00000001.JPEG"] = encoded(picture(1))
    files["LOC_synset_mapping.txt"] = "".join(
        f"{wnid} {words}\n" for wnid, words in zip(WNIDS, WORDS, strict=True)
    )
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["ImageId", "PredictionString"])
    for name in validation_images():
        rows.writerow([name[:-5], f"{validation_wnid(name)} 1 2 3 4 "])
    files["LOC_val_solution.csv"] = table.getvalue()
    write(root, files)
    return root


def tiny_imagenet(root: pathlib.Path) -> pathlib.Path:
    files = _train_files("tiny/train/", "images/")
    files |= {f"tiny/val/images/{name}": data for name, data in validation_images().items()}
    files["tiny/val/val_annotations.txt"] = "".join(
        f"{name}\t{validation_wnid(name)}\t0\t0\t9\t9\n" for name in validation_images()
    )
    files["tiny/wnids.txt"] = "\n".join(reversed(WNIDS))
    files["tiny/words.txt"] = "".join(
        f"{wnid}\t{words}\n" for wnid, words in zip(WNIDS, WORDS, strict=True)
    )
    write(root, files)
    return root


def parquet(root: pathlib.Path, rows_per_group: int = 3) -> pathlib.Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"label": {"names": list(WNIDS), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    root.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation"):
        items = [(key, data) for key, data in everything().items() if key[0] == split]
        items.sort(key=lambda item: item[1])  # some order of its own
        for shard in range(2):
            part = items[shard::2]
            table = pa.table(
                {
                    "image": [{"bytes": data, "path": key[2]} for key, data in part],
                    "label": [WNIDS.index(key[1]) for key, _ in part],
                }
            ).replace_schema_metadata(metadata)
            path = root / f"{split}-{shard:05d}-of-00002.parquet"
            pq.write_table(table, path, row_group_size=rows_per_group)
    return root


def tar_of(directory: pathlib.Path) -> pathlib.Path:
    path = directory.with_suffix(".tar")
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    members = {file.relative_to(directory).as_posix(): file.read_bytes() for file in files}
    path.write_bytes(sample.tar_bytes(members))
    return path


def zip_of(directory: pathlib.Path, method: int = zipfile.ZIP_DEFLATED) -> pathlib.Path:
    path = directory.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(directory.rglob("*")):
            archive.write(file, file.relative_to(directory).as_posix())
    return path
