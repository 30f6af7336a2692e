"""Says what is on images: the likeliest classes of each, by a trained run.

    python trainers/predict.py --run=runs/alexnet/1 photo.jpg more_photos/
    python trainers/predict.py --run=runs/alexnet/1 --json photos/ > predictions.jsonl
    curl https://... | python trainers/predict.py --run=runs/alexnet/1 -

Any file that Pillow opens, and directories of them. Where an image's folder has the name of a class
(a WNID), the class is said, too, and how often it was found. The preprocessing is that of the run's
evaluation, the data set's own resizing and JPEG compression included. `--picture=out.png` draws the
first 100 images with their predictions; with `--explain=gradcam,occlusion` also which parts of them
these depend on.
"""

import json
import sys

from base import commandline
from base.errors import UserError
from trainers.serving.config import PredictConfig


def main(arguments: list[str]) -> None:
    """Reads the flags and predicts the files named."""
    config = commandline.config_from_flags(PredictConfig)
    if not config.run:
        raise UserError("no run is named: --run=runs/EXPERIMENT/NUMBER")
    if not arguments:
        raise UserError("no files are named: predict.py --run=RUN FILES_OR_DIRS...")
    from base.files import save_png
    from trainers.run_folder.finding import find_run
    from trainers.serving import predictions
    from trainers.serving.classifier import Classifier
    from trainers.serving.explanations import explainer
    from trainers.serving.pictures import MOST_IMAGES, explained_sheet, sheet

    files = predictions.find_files(arguments)
    classifier = Classifier(find_run(config.run), config.trained)
    wnid, layer = config.explain_class, config.explain_layer
    explained = classifier.label(wnid, "--explain_class") if wnid else None
    explainers = [explainer(classifier, method, layer) for method in config.explain]
    drawn: list[predictions.Prediction] = []
    truths: list[predictions.Truth] = []
    fault: UserError | None = None
    try:
        for found in predictions.predict(
            classifier,
            files,
            batch_size=config.predict_batch_size,
            keep_going=config.keep_going,
            top=config.top,
        ):
            print(json.dumps(found.as_json()) if config.json else found, flush=True)
            if found.truth:
                truths.append(found.truth)
            if len(drawn) < MOST_IMAGES:
                drawn.append(found)
    except UserError as error:
        fault = error
    if not drawn:
        raise fault or UserError(f"none of {len(files)} files could be read")
    if truths and not config.json:
        print(predictions.truth_line(truths))
    if config.picture:
        labels = [each.labels[0] if explained is None else explained for each in drawn]
        save_png(
            explained_sheet(drawn, explainers, labels) if explainers else sheet(drawn),
            config.picture,
        )
        print(f"drawn: {config.picture}", file=sys.stderr)
    if fault:
        raise fault


if __name__ == "__main__":
    commandline.run(main, configs=[PredictConfig], gpus=True, positional=True)
