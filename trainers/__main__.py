"""Lists what can stand in --schedule, --optimizer, --loss, --distillation and --protocol.

    python -m trainers              all of it
    python -m trainers cosine       one of them: its arguments and its whole description

The nets are listed by `python -m nets`, the map functions by `python -m pipelines`.
"""

import re
import textwrap

from base import catalogue, plugins
from base.commandline import config_from_flags, run


def main(names: list[str]) -> None:
    """Prints what is named, or everything."""
    config = config_from_flags(catalogue.CatalogueConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    from trainers.training.losses import DISTILLATIONS, LOSSES
    from trainers.training.optimizers import OPTIMIZERS
    from trainers.training.schedules import SCHEDULES

    plugins.load(config.plugins)
    registries = {
        "schedules": SCHEDULES,
        "optimizers": OPTIMIZERS,
        "losses": LOSSES,
        "distillations": DISTILLATIONS,
    }
    sections = {title: catalogue.entries(registry) for title, registry in registries.items()}
    sections["evaluation protocols"] = protocols()
    catalogue.print_catalogue(sections, names)


def protocols() -> list[catalogue.Entry]:
    """What evaluate.py can do, in the words of the docstring of `scoring/protocols.py`."""
    from trainers.run_folder.files import PROTOCOLS
    from trainers.scoring import protocols

    said = re.findall(r"^- `(\w+)`: (.+?)(?=\n- `|\n\n)", protocols.__doc__ or "", re.M | re.S)
    texts = {name: textwrap.dedent(f"  {text}") for name, text in said}
    return [catalogue.Entry(name, name, texts.get(name, "")) for name in PROTOCOLS]


if __name__ == "__main__":
    run(main, configs=[catalogue.CatalogueConfig], positional=True)
