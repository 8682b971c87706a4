"""Types of command-line arguments that name folders, files and stores."""

from pathlib import Path
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec


def _read_path(words: list[str]) -> Path:
    """Read a path, and refuse a URL, which would name a folder "s3:" here."""
    if "://" in words[0]:
        raise ValueError(f"it must be a folder or file on this machine; got {words[0]}")
    return Path(words[0])


def _read_location(words: list[str]) -> str | Path:
    return words[0] if "://" in words[0] else Path(words[0])


LocalPath = Annotated[
    Path,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=_read_path,
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    ),
]

# A union of None and LocalPath would refuse a URL with the objections of both members.
OptionalLocalPath = Annotated[
    Path | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=_read_path,
        is_instance=lambda value: value is None or isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    ),
]

# A folder becomes a Path. A URL such as s3://BUCKET/PREFIX stays text, for inrgen.store.files.
StoreArgument = Annotated[
    str | Path,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="STORE",
        instance_from_str=_read_location,
        is_instance=lambda value: isinstance(value, str | Path),
        str_from_instance=lambda value: [str(value)],
    ),
]
