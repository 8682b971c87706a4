"""The options that each source reads; a source refuses the others, so that none is ignored."""

from collections.abc import Iterable
from typing import Any

# Signals that Python code gives as an object.
IN_MEMORY = "an object in memory"

# Signals on a grid may be copied with changes.
_COPIED = ("copies", "flip", "shift")
_PICTURES = ("data", "channels", "follow_links", "max_side", "max_pixels", *_COPIED)
_SHAPES = ("data", "follow_links", "shape")
# By source: the fields of SourceConfig that it reads, besides those that hold for every source.
_READ_BY: dict[str, tuple[str, ...]] = {
    "digits": ("channels", *_COPIED),
    "fashion-mnist": ("data", "channels", "download", *_COPIED),
    "mnist": ("data", "channels", "download", *_COPIED),
    # cifar10 answers --download with the way to get its files.
    "cifar10": ("data", "channels", "download", *_COPIED),
    "image-folder": _PICTURES,
    "video-folder": _PICTURES,
    "audio-folder": ("data", "follow_links", *_COPIED),
    "mesh-folder": _SHAPES,
    "modelnet40": _SHAPES,
    "torchvision:NAME": ("data", "channels", "download", "max_side", "max_pixels", *_COPIED),
    "array": ("data", "axes", *_COPIED),
    "a source of your own": ("axes", "arg", *_COPIED),
    IN_MEMORY: ("axes", *_COPIED),
}
_OPTIONS = tuple(dict.fromkeys(name for names in _READ_BY.values() for name in names))


def kind_of_source(name: str) -> str:
    """The key of a source's row in the table; packages' sources and objects are one's own."""
    if name.startswith("torchvision:"):
        return "torchvision:NAME"
    return name if name in _READ_BY else "a source of your own"


def readers_of(option: str) -> tuple[str, ...]:
    """The sources that read an option, of those that a command line can name."""
    return tuple(kind for kind, names in _READ_BY.items() if option in names and kind != IN_MEMORY)


def ignored_options(name: str) -> dict[str, str]:
    """The options that a source does not read, each with what it is for, in words."""
    kind = kind_of_source(name)
    return {
        option: f"{_listed(readers_of(option))}, not for {name}"
        for option in _OPTIONS
        if option not in _READ_BY[kind]
    }


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def without_ignored(facts: dict[str, Any]) -> dict[str, Any]:
    """Recorded facts of a source without the options that it does not read.

    Stores from before such options were refused may record them.
    """
    ignored = ignored_options(str(facts.get("name")))
    kept = {key: value for key, value in facts.items() if key not in ignored}
    # The identity of every source names its channels.
    return {**kept, "channels": "auto"} if "channels" in facts.keys() & ignored else kept
