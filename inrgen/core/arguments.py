"""How command lines name folders, files and stores."""

from pathlib import Path
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec


def _read_path(words: list[str]) -> Path:
    """A path; a URL would become the name of a folder here, "s3:"."""
    if "://" in words[0]:
        raise ValueError(f"it must be a folder or file on this machine; got {words[0]}")
    return Path(words[0])


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

# A union of None with the above would be refused by listing what each of the two has against it.
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


def _read_location(words: list[str]) -> str | Path:
    return words[0] if "://" in words[0] else Path(words[0])


# A folder becomes a Path; a URL, s3://BUCKET/PREFIX as store.files.location has it, stays text.
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
