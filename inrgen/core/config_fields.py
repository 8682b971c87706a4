"""Fields of nested config dataclasses: found by name, and their values checked by type.

A verb's config holds further configs. Python keywords and command-line options name the fields of
all of them, so both are looked up here.
"""

import dataclasses
import numbers
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from inrgen.core.config_text import suggest

Config = TypeVar("Config")

_KINDS: dict[Any, tuple[type | tuple[type, ...], str]] = {
    NoneType: (NoneType, "None"),
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
    Path: ((str, Path), "a path"),
}


def expand_home(path: str | Path) -> Path:
    """The path with a leading ~ as the user's home folder, as a shell expands it."""
    path = Path(path)
    # ~name may be a folder's name as well as a user's, so only ~ alone is expanded.
    return path.expanduser() if path.parts[:1] == ("~",) else path


def nested_configs(config_class: type) -> dict[str, type]:
    """The fields of a config that are configs themselves, by name."""
    hints = get_type_hints(config_class)
    found: dict[str, type] = {}
    for field in dataclasses.fields(config_class):
        for kind in (hints[field.name], *get_args(hints[field.name])):
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                found[field.name] = kind
    return found


def field_names(config_class: type) -> set[str]:
    """The names of all fields of a config and of the configs nested in it."""
    own = {field.name for field in dataclasses.fields(config_class)}
    return own.union(*map(field_names, nested_configs(config_class).values()))


def make_config(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a config from keywords, each for a field of the config or of one nested in it.

    Text for a path becomes a Path, and a list for a tuple becomes a tuple.

    Raises:
        ValueError: a keyword is unknown, and the message names the nearest known one; or a value
            is of another type than its field.
    """
    known = field_names(config_class)
    for name in values:
        if name not in known:
            raise ValueError(f"there is no option {name}{suggest(name, known)}")
    hints, nested = get_type_hints(config_class), nested_configs(config_class)
    given = {name: name for name in values if name in hints}
    arguments = {
        field.name: _fitted(field.name, hints[field.name], values[field.name])
        for field in dataclasses.fields(config_class)  # pyright: ignore[reportArgumentType]
        if field.name in values
    }
    for name, kind in nested.items():
        inner = {k: v for k, v in values.items() if k in field_names(kind) and k not in hints}
        if inner and name not in arguments:
            arguments[name] = make_config(kind, inner)
            given |= {f"{name}.{key}": key for key in inner}
    config = config_class(**arguments)
    refuse_ignored(config, given)
    return config


def refuse_ignored(config: Any, given: Mapping[str, str]) -> None:
    """Raise ValueError for a given option that the config's other values leave without effect.

    A config says which these are by a method ignored(), which maps their places to what they are
    for. The place of a nested config stands for all its fields.

    Args:
        given: dotted places of options that a user gave, each with the option's name in messages.
    """
    if hasattr(config, "ignored"):
        refuse_options(config.ignored(), given)
    for field in nested_configs(type(config)):
        start = f"{field}."
        inner = {p.removeprefix(start): name for p, name in given.items() if p.startswith(start)}
        if inner:
            refuse_ignored(getattr(config, field), inner)


def refuse_options(ignored: Mapping[str, str], given: Mapping[str, str]) -> None:
    """refuse_ignored with the options at hand, and for one config alone."""
    for place, name in given.items():
        if (use := ignored.get(place) or ignored.get(place.split(".")[0])) is not None:
            raise ValueError(f"{name} cannot be used here; it is for {use}")


def typed_options(config_class: type, arguments: Sequence[str]) -> dict[str, str]:
    """The dotted places of the options in a command line, each with the option typed."""
    typed = {one.split("=")[0].replace("_", "-") for one in arguments if one.startswith("--")}
    found = {}
    for place, name, option in _options(config_class):
        for form in {option, f"--no-{option.removeprefix('--')}"} & typed:
            found[f"{place}.{name}".strip(".")] = form
    return found


def changed_options(config: Any) -> dict[str, str]:
    """The dotted places of fields that differ from their defaults, as refuse_ignored takes them."""
    found: dict[str, str] = {}
    for field in dataclasses.fields(config):
        value, nested = getattr(config, field.name), dataclasses.is_dataclass
        if nested(value):
            found |= {f"{field.name}.{p}": name for p, name in changed_options(value).items()}
        elif field.default is not dataclasses.MISSING and value != field.default:
            found[field.name] = field.name
    return found


def check_field(name: str, hint: Any, value: Any) -> None:
    """Raise ValueError, naming the field and its type, unless a value is of the type."""
    if not _fits(hint, value):
        near = suggest(value, _choices(hint))
        raise ValueError(f"{name} must be {_describe(hint)}; got {_short(value)}{near}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _fitted(name: str, hint: Any, value: Any) -> Any:
    """The value as its field keeps it; ValueError if it is of another type."""
    check_field(name, hint, value)
    members = _members(hint)
    # A URL stays text, for it names a store on a server.
    if isinstance(value, str) and Path in members and "://" not in value:
        return expand_home(value)
    if isinstance(value, str) and Path in members and str not in members:
        raise ValueError(f"{name} must be a folder or file on this machine; got {value}")
    return tuple(value) if isinstance(value, list) else value


def _members(hint: Any) -> tuple[Any, ...]:
    """The types of a union; any other type alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(hint: Any, value: Any) -> bool:
    """Tell whether a value is of a type that configs use; other types are not judged."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(member, value) for member in args)
    if origin is Literal:
        return isinstance(value, str | int) and value in args
    if origin is Sequence:
        is_sequence = isinstance(value, Iterable) and not isinstance(value, str)
        return is_sequence and all(_fits(args[0], part) for part in value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        kinds = (args[0],) * len(value) if args[1:] == (...,) else args
        return len(kinds) == len(value) and all(map(_fits, kinds, value))
    # True is an int to Python, and no number of anything to a user.
    if hint in (int, float) and isinstance(value, bool):
        return False
    if hint in _KINDS:
        return isinstance(value, _KINDS[hint][0])
    return not isinstance(hint, type) or isinstance(value, hint)


def _choices(hint: Any) -> list[Any]:
    """The values of all literals in a type, in order."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [c for member in _members(hint) if member is not hint for c in _choices(member)]


def _describe(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (tuple, Sequence):
        args = get_args(hint)
        many = str(len(args)) if get_origin(hint) is tuple and args[1:] != (...,) else "values"
        return f"a list of {many}, each {_describe(args[0])}"
    if (members := _members(hint)) != (hint,):
        return " or ".join(dict.fromkeys(map(_describe, members)))
    return _KINDS[hint][1] if hint in _KINDS else f"a {getattr(hint, '__name__', hint)}"


def option_names(config_class: type, within: str = "") -> dict[str, str]:
    """The command-line option of each field of a config and of those nested in it, by name.

    Args:
        within: the dotted place of a nested config, whose fields come before others of their name.
    """
    found: dict[str, str] = {}
    for place, name, option in _options(config_class):
        if name not in found or place == within:
            found[name] = option
    return found


def _options(
    config_class: type, place: str = "", prefixed: bool = True
) -> Iterator[tuple[str, str, str]]:
    """The place, name and option of every field, outer configs first."""
    hints, nested = get_type_hints(config_class, include_extras=True), nested_configs(config_class)
    own = [field.name for field in dataclasses.fields(config_class)]
    prefix = f"{place}." if place and prefixed else ""
    for name in own:
        if "Positional" in repr(getattr(hints[name], "__metadata__", ())) and name not in nested:
            yield place, name, name.upper()
        elif name not in nested:
            yield place, name, "--" + f"{prefix}{name}".replace("_", "-")
    for name, kind in nested.items():
        # the marker of tyro.conf.OmitArgPrefixes, whose type is private
        omitted = "OmitArgPrefixes" in repr(getattr(hints[name], "__metadata__", ()))
        yield from _options(kind, f"{place}.{name}".strip("."), prefixed and not omitted)


def name_options(message: str, config_class: type, within: str = "") -> str:
    """An error's message with --options in place of the fields that it speaks of.

    Only words in the places where messages name fields are taken, as in "views must be" and
    "leave out hidden, omega"; the same words elsewhere are plain English. within is that of
    option_names.
    """
    options = option_names(config_class, within)
    names = sorted(options.keys() - {"store", "folder"}, key=len, reverse=True)
    name = rf"(?:{'|'.join(map(re.escape, names))})"
    chain = rf"{name}(?:(?:, | and | or ){name})*"
    before = r"(?:(?<=needs )|(?<=leave out )|(?<=state )|(?<=with )|(?<=; give ))"
    begin = r"(?<![\w./'\"-])(?<!recipe field )"
    pattern = rf"{begin}(?:{chain}(?= (?:must|needs|cannot)\b)|{before}{chain}(?![\w=]))"
    return re.sub(
        pattern,
        lambda found: re.sub(rf"\b{name}\b", lambda one: options[one[0]], found[0]),
        message,
    )


def walk_configs(config_class: type) -> Iterator[type]:
    """A config class and all those nested in it."""
    yield config_class
    for kind in nested_configs(config_class).values():
        yield from walk_configs(kind)
