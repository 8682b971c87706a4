"""Sources by name."""

from collections.abc import Callable

from inrgen.sources import torchvision_sets
from inrgen.sources.arrays import open_digits
from inrgen.sources.base import Source
from inrgen.sources.cifar10 import open_cifar10
from inrgen.sources.config import SourceConfig
from inrgen.sources.image_folder import open_image_folder
from inrgen.sources.mesh_folder import open_mesh_folder
from inrgen.sources.mnist import open_mnist

_OPENERS: dict[str, Callable[[SourceConfig], Source]] = {
    "digits": open_digits,
    "fashion-mnist": open_mnist,
    "mnist": open_mnist,
    "cifar10": open_cifar10,
    "image-folder": open_image_folder,
    "mesh-folder": open_mesh_folder,
    "modelnet40": open_mesh_folder,
}


def source_names() -> tuple[str, ...]:
    """Names that open_source knows; torchvision:NAME stands for all data sets of torchvision."""
    return (*_OPENERS, f"{torchvision_sets.PREFIX}NAME")


def open_source(config: SourceConfig) -> Source:
    """Open a data set and list its items; signals are read later, by load.

    Raises:
        ValueError: the source is unknown, a file is damaged as a whole, or the splits are empty.
        FileNotFoundError: a file is missing. Both messages name the file or argument.
    """
    if config.name.startswith(torchvision_sets.PREFIX):
        source: Source = torchvision_sets.open_torchvision(config)
    elif config.name in _OPENERS:
        source = _OPENERS[config.name](config)
    else:
        raise ValueError(f"source must be one of {', '.join(source_names())}; got {config.name!r}")
    if not len(source.items):
        raise ValueError(f"{config.name} has no items in the splits asked for: {config.split}")
    return source
