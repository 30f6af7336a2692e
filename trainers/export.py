"""Exports a trained run for other programs: TensorFlow SavedModel, TensorFlow Lite, ONNX.

    python trainers/export.py --run=runs/alexnet/1 --format=onnx --output=exported/alexnet

The preprocessing is inside. A SavedModel takes photographs of any size, as uint8 RGB or as JPEG
files; TFLite and ONNX take uint8 RGB crops of the net's size, any number of them, and compute in
float32 also where the run did not. --quantize=int8 or float16 makes a smaller TFLite. Class names,
the hash of their order and the preprocessing are in the metadata and in metadata.json beside it.
After writing, the net is run by the format's own runtime on photographs, and must give the run's
logits.
"""

from base import commandline
from base.errors import UserError
from trainers.serving.config import ExportConfig


def main() -> None:
    """Reads the flags and exports."""
    config = commandline.config_from_flags(ExportConfig)
    for name in ("run", "output"):
        if not getattr(config, name):
            raise UserError(f"--{name} is missing: --run=RUN --format=... --output=DIR")
    import tensorflow as tf

    # Converted as the CPU computes: other runtimes have not all of a GPU's operations.
    tf.config.set_visible_devices([], "GPU")
    from trainers.serving import exporting

    done = exporting.export(config)
    print(f"{config.format}: {done.output}")
    where = f"on {done.images} photographs"
    if not config.quantize:
        print(f"the same logits as the run's {where}, within {done.difference:.1g}")
        return
    print(f"logits differ from the run's {where} by up to {done.difference:.1g} of the largest")
    accuracy = done.about["accuracy"]
    for name in ("float32", config.quantize):
        top1, top5 = accuracy[name]["top1"], accuracy[name]["top5"]
        score = f"top-1 {top1:.1%}, top-5 {top5:.1%}".replace("%", " %")
        print(f"{name:>8}: {score} over {accuracy['images']:,} validation images")


if __name__ == "__main__":
    commandline.run(main, configs=[ExportConfig])
