"""How a command names a store: a folder, or a URL that must not be taken for a path."""

from pathlib import Path
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from inrgen.store.location import Location


def _read(words: list[str]) -> Location:
    return words[0] if "://" in words[0] else Path(words[0])


# A folder becomes a Path; a URL, s3://BUCKET/PREFIX as inrgen.store.location has it, stays text.
StoreArgument = Annotated[
    Location,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="STORE",
        instance_from_str=_read,
        is_instance=lambda value: isinstance(value, str | Path),
        str_from_instance=lambda value: [str(value)],
    ),
]
