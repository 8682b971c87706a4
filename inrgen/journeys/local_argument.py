"""How a command names a folder or file of this machine, for which no URL may be taken."""

from pathlib import Path
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec


def _read(words: list[str]) -> Path:
    """A path; a URL would become the name of a folder here, "s3:"."""
    if "://" in words[0]:
        raise ValueError(f"it must be a folder or file on this machine; got {words[0]}")
    return Path(words[0])


LocalPath = Annotated[
    Path,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=_read,
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
        instance_from_str=_read,
        is_instance=lambda value: value is None or isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    ),
]
