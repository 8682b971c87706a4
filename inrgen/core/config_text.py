"""Configs as text, such as mlp,hidden=256,dropout=0.2: one grammar for every command and table.

Commas and colons part a text into pieces. A piece without "=" begins a new name, and a piece
with "=" is a field of the name before it. So "rotation:bound_deg=30,gaussian-noise:scale=0.1" and
"rotation,bound_deg=30,gaussian-noise,scale=0.1" are the same list of two names. A model or a
recipe is a list of one name.

A name may also be MODULE:NAME, an object of the user's own. MODULE then is no known name, and the
colon directly follows it.

Field names are those of the config's dataclass, and each value is read by its field's type: whole
numbers, finite numbers, true or false (also yes or no), the words of a Literal, "none", and tuples
as 64-64 or 64/64. This module imports no torch, so that command lines stay quick to parse.
"""

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

Config = TypeVar("Config")

# A piece MODULE and a piece NAME, parted by a colon, neither of them a field.
_OWN_NAME = re.compile(r"((?:^|[,:])\s*)([^\W\d][\w.]*):([^\W\d]\w*)(?=\s*(?:[,:]|$))")
_JOINED = "\0"
# Share of letters that a name must have in common with a wrong one to be suggested; two letters
# swapped among three have 2/3.
_NEAR = 0.65

_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedFields:
    """A name and the texts of its fields, as typed.

    Attributes:
        name: empty where the text begins with a field.
        fields: the text of each value by the field's name.
    """

    name: str
    fields: dict[str, str]


def split_names(
    text: str, kind: str, known: Collection[str] | None = None
) -> tuple[NamedFields, ...]:
    """Split a text into its names, each with the fields that follow it.

    Args:
        kind: the noun for error messages, such as "model".
        known: names that are no MODULE of MODULE:NAME; None has no such names at all.

    Raises ValueError for an empty piece or a repeated field.
    """
    found: list[NamedFields] = []
    for piece in re.split("[,:]", text if known is None else _join_own(text, known)):
        key, equals, value = piece.strip().replace(_JOINED, ":").partition("=")
        if not equals:
            if not key:
                raise ValueError(f"{kind} {text!r} has an empty part between commas or colons")
            found.append(NamedFields(name=key, fields={}))
            continue
        if not found:
            found.append(NamedFields(name="", fields={}))
        if key in found[-1].fields:
            raise ValueError(f"{kind} {text!r} must give {key} once; got it again")
        found[-1].fields[key] = value
    return tuple(found)


def _join_own(text: str, known: Collection[str]) -> str:
    """Mark the colon of each MODULE:NAME, so that it parts no pieces."""

    def join(found: re.Match[str]) -> str:
        return found[0] if found[2] in known else f"{found[1]}{found[2]}{_JOINED}{found[3]}"

    return _OWN_NAME.sub(join, text)


def split_one_name(text: str, kind: str, known: Collection[str] | None = None) -> NamedFields:
    """Split a text that holds a single name. Raises ValueError for a second one."""
    first, *others = split_names(text, kind, known)
    if others:
        raise ValueError(
            f"a {kind} is one name followed by FIELD=VALUE parts; "
            f"got {others[0].name!r} in {text!r}"
        )
    return first


class UnknownName(ValueError):
    """A name that a user gave and that nothing has; the command line exits with 2 for it."""


def suggest(value: object, known: Iterable[Any]) -> str:
    """A question after the nearest known name, to end a message with; "" if none is near."""
    # The dashes of options would make any two of them alike.
    bare = {str(name).lstrip("-"): name for name in known}
    near = difflib.get_close_matches(str(value).lstrip("-"), list(bare), 1, _NEAR)
    return f"; did you mean {bare[near[0]]}?" if near else ""


def check_name(name: str, known: Collection[str], kind: str, others: str = "") -> str:
    """Return a known name. Raises UnknownName that lists the known names and the nearest one.

    Args:
        others: what else may be given, to say after the known names.
    """
    if name in known:
        return name
    if not known and not others:
        raise UnknownName(f"{kind} {name!r} is unknown; it takes none")
    raise UnknownName(
        f"{kind} must be one of {', '.join(known)}{others}; got {name!r}{suggest(name, known)}"
    )


def field_types(config: Any) -> dict[str, Any]:
    """The type of every field of a config dataclass, or of an instance of one."""
    return {field.name: field.type for field in dataclasses.fields(config)}


def read_fields(named: NamedFields, wanted: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Read the values of fields by their types.

    Args:
        wanted: the type of every field that may be given.

    Raises ValueError that names the field, the expected value and the text given.
    """
    for key in named.fields:
        check_name(key, wanted, f"{kind} {named.name}: field")
    return {
        key: read_value(text, wanted[key], f"{kind} {named.name}: {key}")
        for key, text in named.fields.items()
    }


def read_config(named: NamedFields, default: Config, kind: str) -> Config:
    """Replace fields of a default config by those given. Raises ValueError as read_fields does."""
    values = read_fields(named, field_types(default), kind)
    return dataclasses.replace(default, **values)  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType]


def read_value(text: str, wanted: Any, name: str) -> Any:
    """Read a value of one type from its text.

    Args:
        wanted: bool, int, float, str, None, a Literal, a tuple of one of these, or a union.
        name: the name of the value, for the error message.

    Raises ValueError for a text that is not of that type.
    """
    for one in _members(wanted):
        try:
            return _read_as(text, one)
        except ValueError:
            continue
    needs = " or ".join(map(_describe, _members(wanted)))
    raise ValueError(f"{name} needs {needs}; got {text!r}")


def _members(wanted: Any) -> tuple[Any, ...]:
    """The types of a union; None comes first, since "none" would pass for any string."""
    if get_origin(wanted) not in (Union, types.UnionType):
        return (wanted,)
    return tuple(sorted(get_args(wanted), key=lambda one: one is not type(None)))


def _read_as(text: str, wanted: Any) -> Any:
    if text != text.strip():
        raise ValueError(f"no space may surround a value; got {text!r}")
    if get_origin(wanted) is tuple:
        # "/" stays legal: older command lines part axes by it, and it parts numbers such as 1e-3.
        parts = re.split("/" if "/" in text else "-", text) if text else []
        return tuple(_read_as(part, get_args(wanted)[0]) for part in parts)
    words = _words(wanted)
    if words is not None:
        # Only truth values are case-insensitive: words of a Literal may differ in case alone.
        key = text.lower() if wanted is bool else text
        if key not in words:
            raise ValueError(f"must be one of {', '.join(words)}; got {text!r}")
        return words[key]
    value = wanted(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a number must be finite; got {text!r}")
    return value


def _words(wanted: Any) -> dict[str, Any] | None:
    """The values of a type that has only a few, by their texts."""
    if wanted is bool:
        return _TRUTH
    if wanted is type(None):
        return {"none": None}
    return {str(w): w for w in get_args(wanted)} if get_origin(wanted) is Literal else None


def _describe(wanted: Any) -> str:
    if get_origin(wanted) is tuple:
        return f"values such as 64-64, each {_describe(get_args(wanted)[0])}"
    if wanted is bool:
        return "true or false"
    words = _words(wanted)
    if words is not None:
        return " or ".join(words)
    return {int: "a whole number", float: "a finite number"}.get(wanted, "text")
