"""Sources by name: those of inrgen, of installed packages, and a user's own functions.

A package adds one by an entry point of the group inrgen.sources, which names a function. It takes
keyword arguments and returns a Source, or any object that inrgen.build takes.
"""

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from inrgen.core.config_text import check_name
from inrgen.core.own_code import call_own, import_own, is_own_name, read_arguments
from inrgen.sources import torchvision_sets
from inrgen.sources.array_file import open_array
from inrgen.sources.arrays import open_digits
from inrgen.sources.audio_folder import open_audio_folder
from inrgen.sources.base import Source
from inrgen.sources.cifar10 import open_cifar10
from inrgen.sources.config import SourceConfig
from inrgen.sources.copies import add_copies
from inrgen.sources.given import as_source
from inrgen.sources.image_folder import open_image_folder
from inrgen.sources.mesh_folder import open_mesh_folder
from inrgen.sources.mnist import open_mnist
from inrgen.sources.selection import choose_items
from inrgen.sources.video_folder import open_video_folder

_GROUP = "inrgen.sources"

_OPENERS: dict[str, Callable[[SourceConfig], Source]] = {
    "digits": open_digits,
    "fashion-mnist": open_mnist,
    "mnist": open_mnist,
    "cifar10": open_cifar10,
    "image-folder": open_image_folder,
    "audio-folder": open_audio_folder,
    "video-folder": open_video_folder,
    "mesh-folder": open_mesh_folder,
    "modelnet40": open_mesh_folder,
    "array": open_array,
}


def source_names() -> tuple[str, ...]:
    """Names that open_source knows; torchvision:NAME stands for all data sets of torchvision."""
    added = (point.name for point in entry_points(group=_GROUP))
    return (*_OPENERS, *added, f"{torchvision_sets.PREFIX}NAME")


def source_openers() -> dict[str, Callable[..., Source]]:
    """The functions that open inrgen's own sources, by name."""
    return {**_OPENERS, f"{torchvision_sets.PREFIX}NAME": torchvision_sets.open_torchvision}


def added_sources() -> dict[str, Any]:
    """The functions that installed packages add, by name."""
    return {point.name: point.load() for point in entry_points(group=_GROUP)}


def is_openable(name: str) -> bool:
    """Tell whether a name that a store recorded opens a source without a user's own code."""
    return name in source_names() or name.startswith(torchvision_sets.PREFIX)


def _call_own(function: Any, config: SourceConfig) -> Source:
    """The source that a function of a package or a user makes."""
    kind = f"source {config.name}"
    if not callable(function):
        raise ValueError(
            f"{kind} must be a function that returns signals; got {type(function).__name__}"
        )
    arguments = read_arguments(function, config.arguments, kind)
    missing = [
        f"--arg {name}=VALUE"
        for name, one in inspect.signature(function).parameters.items()
        if one.default is one.empty
        and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        and name not in arguments
    ]
    if missing:
        raise ValueError(f"{kind} needs more arguments: give {' and '.join(missing)}")
    return as_source(call_own(kind, function, **arguments), axes=config.axes)


def open_whole(config: SourceConfig) -> Source:
    """Open a data set as open_source does, before a part of it is chosen."""
    if config.name.startswith(torchvision_sets.PREFIX):
        return torchvision_sets.open_torchvision(config)
    if config.name in _OPENERS:
        return _OPENERS[config.name](config)
    if added := [point for point in entry_points(group=_GROUP) if point.name == config.name]:
        return _call_own(added[0].load(), config)
    if not is_own_name(config.name):
        check_name(config.name, source_names(), "source", ", or your own MODULE:FUNCTION")
    return _call_own(import_own(config.name, "source"), config)


def open_source(config: SourceConfig) -> Source:
    """Open a data set and list its items; signals are read later, by load.

    Raises:
        ValueError: the source is unknown, a file is damaged as a whole, or the splits are empty.
        FileNotFoundError: a file is missing. Both messages name the file or argument.
    """
    return choose_part(open_whole(config), config)


def choose_part(source: Source, config: SourceConfig) -> Source:
    """The part of a source that config asks for, with its copies.

    Raises ValueError if it has no items, or if names of items read like those of copies.
    """
    source = choose_items(source, config)
    if not len(source.items):
        raise ValueError(f"{config.name} has no items in the splits asked for: {config.split}")
    return add_copies(source, config)
