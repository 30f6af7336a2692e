"""Lists the map functions that can stand in a chain, such as --train_map.

    python -m pipelines                 all of them
    python -m pipelines random_flip     one of them: its arguments and its whole description

Each says where it can stand: on the host (--train_map, --eval_map), where it takes one image, or on
the device (--train_device_map, --eval_device_map), where it takes a batch.
"""

import inspect
from typing import Any

from base import catalogue, plugins
from base.commandline import config_from_flags, run
from base.errors import UserError

# To see where a map function can stand, one is made, with small arguments of the type asked for.
_EXAMPLES: dict[Any, Any] = {int: 64, float: 0.5, str: ""}


def main(names: list[str]) -> None:
    """Prints what is named, or everything."""
    config = config_from_flags(catalogue.CatalogueConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    from pipelines.chain import MAP_FUNCTIONS  # importing it registers them

    plugins.load(config.plugins)
    catalogue.print_catalogue({"map functions": catalogue.entries(MAP_FUNCTIONS, stages)}, names)


def stages(name: str) -> str:
    """Where a map function can stand: host, device or both; empty where that is not known."""
    from pipelines.functions.decoders import JpegDecoder
    from pipelines.functions.map_function import MAP_FUNCTIONS, Place
    from pipelines.reading.dataset import SYNTHETIC_STATISTICS

    given = {"decoder": JpegDecoder(), "statistics": SYNTHETIC_STATISTICS, "num_classes": 10}
    factory = MAP_FUNCTIONS.factory(name)
    parameters = inspect.signature(factory).parameters.values()
    arguments = {
        p.name: given[p.name] if p.name in given else _EXAMPLES.get(p.annotation)
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    try:
        takes = factory(**arguments).takes
    except (UserError, ValueError, TypeError):
        return ""
    host = bool(takes & (Place.ENCODED | Place.IMAGE))
    return ", ".join(["host"] * host + ["device"] * bool(takes & Place.BATCH))


if __name__ == "__main__":
    run(main, configs=[catalogue.CatalogueConfig], positional=True)
