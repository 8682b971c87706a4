"""List what there is to choose: transforms, models, sources, recipes and formats."""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast, get_args

import tyro

from inrgen.core.config_text import check_name
from inrgen.core.own_code import import_own, is_own_name
from inrgen.core.summary import Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class ListConfig:
    """List names with their fields, defaults and a sentence each.

    Attributes:
        own: names to list, instead of all; MODULE:NAME of your own is listed beside them, and its
            module is imported.
    """

    own: tyro.conf.Positional[tuple[str, ...]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A name, its first sentence, and its fields with their defaults as text."""

    name: str
    about: str
    fields: dict[str, str]


Entries = tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListSummary(Summary):
    """Everything that one kind of option may name."""

    entries: Entries

    def text(self) -> str:
        """Two lines for each name, the second with its fields if it has any."""
        lines = []
        for entry in self.entries:
            lines.append(f"{entry.name}: {entry.about}")
            if entry.fields:
                lines.append("    " + ", ".join(f"{k}={v}" for k, v in entry.fields.items()))
        return "\n".join(lines)


def _about(thing: Any) -> str:
    """The first sentence of a docstring, in one line."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    # A dataclass without a docstring has its signature there.
    if not doc or doc.startswith(f"{getattr(thing, '__name__', '')}("):
        return "without a description."
    paragraph = doc.split("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(paragraph.split()))[0]


def _text(value: Any) -> str:
    """A default as the grammar of config texts writes it."""
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _entry(name: str, thing: Any, values: dict[str, Any]) -> Entry:
    fields = {key: _text(value) for key, value in values.items()}
    return Entry(name=name, about=_about(thing), fields=fields)


def _default_fields(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _keywords(function: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keyword arguments of a function with their defaults; "?" where there is none."""
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: "?" if p.default is p.empty else p.default
        for p in parameters
        if p.name not in leave_out
    }


def _own_names(config: ListConfig) -> list[str]:
    return [name for name in config.own if is_own_name(name)]


def _choose(kind: str, entries: Iterable[Entry], asked: Iterable[str], others: str = "") -> Entries:
    """The entries of the names that are asked for; all if none is.

    Raises UnknownName for a name that no entry has. Some names have an entry for each kind of data.
    """
    listed, asked = list(entries), list(asked)
    known = dict.fromkeys(entry.name.split()[0] for entry in listed)
    for name in asked:
        check_name(name, known, kind, others)
    return tuple(entry for entry in listed if not asked or entry.name.split()[0] in asked)


def _with_own(
    kind: str, config: ListConfig, built_in: Iterable[Entry], added: Iterable[Entry]
) -> ListSummary:
    """The entries of inrgen that are asked for, and those of code that the user names."""
    known = [name for name in config.own if not is_own_name(name)]
    chosen = _choose(kind, built_in, known, ", or your own MODULE:NAME")
    return ListSummary(entries=(*chosen, *added))


def list_transforms(config: ListConfig) -> ListSummary:
    """List the transforms that --augment takes."""
    from inrgen.transforms.named import ALIASES, TRANSFORMS, parse_links
    from inrgen.transforms.own import FunctionTransform, own_fields

    short = {name: f" Short name: {alias}." for alias, name in ALIASES.items()}

    def built_in() -> Iterator[Entry]:
        for name, kind in TRANSFORMS.items():
            entry = _entry(name, kind, own_fields(kind()))
            yield dataclasses.replace(entry, about=entry.about + short.get(name, ""))

    def own_entries() -> Iterator[Entry]:
        for name in _own_names(config):
            made = parse_links(name)[0].transform
            about = made.function if isinstance(made, FunctionTransform) else type(made)
            yield _entry(name, about, own_fields(made))

    asked = dataclasses.replace(config, own=tuple(ALIASES.get(name, name) for name in config.own))
    return _with_own("transform", asked, built_in(), own_entries())


def list_models(config: ListConfig) -> ListSummary:
    """List the networks that train --model takes."""
    from inrgen.training.models.catalog import FAMILIES

    built_in = [
        _entry(name, family.config, _default_fields(cast(Any, family.config)()))
        for name, family in FAMILIES.items()
    ]
    own = ((name, import_own(name, "model")) for name in _own_names(config))
    added = (_entry(name, found, _keywords(found, ("spec", "num_classes"))) for name, found in own)
    return _with_own("model", config, built_in, added)


def list_sources(config: ListConfig) -> ListSummary:
    """List the sources that build takes, with those that installed packages add."""
    from inrgen.sources.catalog import added_sources, source_openers

    known = [_entry(name, opener, {}) for name, opener in source_openers().items()]
    known += [_entry(name, found, _keywords(found)) for name, found in added_sources().items()]
    own = ((name, import_own(name, "source")) for name in _own_names(config))
    return _with_own("source", config, known, (_entry(n, f, _keywords(f)) for n, f in own))


def list_recipes(config: ListConfig) -> ListSummary:
    """List the recipes that build --recipe takes."""
    from inrgen.fit.recipes import RECIPES

    entries = (
        _entry(f"{name} ({kind})", make, {})
        for kind, made in RECIPES.items()
        for name, make in made.items()
    )
    return ListSummary(entries=_choose("recipe", entries, config.own))


def list_formats(config: ListConfig) -> ListSummary:
    """List the formats that export and import take."""
    from inrgen.exchange.conventions import FormatName
    from inrgen.exchange.formats.base import format_module

    entries = (_entry(name, format_module(name), {}) for name in get_args(FormatName))
    return ListSummary(entries=_choose("format", entries, config.own))
