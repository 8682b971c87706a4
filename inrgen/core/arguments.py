"""Command-line arguments: folders, files and stores, and options that may be left out."""

import dataclasses
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from inrgen.core.config_fields import expand_home, walk_configs


def _read_path(words: list[str]) -> Path:
    """Read a path, and refuse a URL, which would name a folder "s3:" here."""
    if "://" in words[0]:
        raise ValueError(f"it must be a folder or file on this machine; got {words[0]}")
    return expand_home(words[0])


def _read_location(words: list[str]) -> str | Path:
    return words[0] if "://" in words[0] else expand_home(words[0])


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


# Most options that may be left out have None as default, which help need not show: tyro would
# write {None}|INT, and the choices of --recipe in random order.
OPTIONAL = ConstructorRegistry()


@OPTIONAL.primitive_rule
def _without_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """The rule of the other type for a union of None and one more type, and None for "None"."""
    others = [kind for kind in get_args(info.type) if kind is not NoneType]
    if len(others) != 1 or len(get_args(info.type)) != 2:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(others[0], info.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    return dataclasses.replace(
        spec,
        # Where the default is a number, as of probe --limit, None must be said.
        instance_from_str=lambda words: (
            None if words == ["None"] else spec.instance_from_str(words)
        ),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: (
            ["None"] if value is None else spec.str_from_instance(value)
        ),
    )


def hide_absent_defaults(config_class: type) -> None:
    """Leave "(default: None)" and "(default: )" out of the help of a config, nested ones too."""
    silent = tyro.conf.arg(help_behavior_hint="")
    for kind in walk_configs(config_class):
        for field in dataclasses.fields(kind):
            if field.default in (None, "", ()):
                kind.__annotations__[field.name] = Annotated[field.type, silent]
