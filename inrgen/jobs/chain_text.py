"""A chain of transforms as text, "rotation:bound_deg=30,gaussian-noise:scale=0.1:chance=0.5"."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inrgen.transforms.base import Transform
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import Permute, RandomSymmetry, ReluScale, SirenBias, SirenNegation
from inrgen.transforms.named import named

_EXACT = (Permute, RandomSymmetry, ReluScale, SirenBias, SirenNegation)
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One transform of a chain by name, with the probability that a row undergoes it."""

    name: str
    transform: Transform[Any]
    chance: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """As plain values with every field spelt out, so that it outlives changes of defaults."""
        fields: dict[str, Any] = dataclasses.asdict(self.transform)  # pyright: ignore
        return {"name": self.name, "chance": self.chance, "fields": fields}


def _value(name: str, text: str, old: Any) -> Any:
    """Text as a value of the same kind as a field's default; None stands for some axes."""
    try:
        if isinstance(old, bool):
            return _TRUTH[text.lower()]
        if isinstance(old, int):
            return int(text)
        if isinstance(old, float):
            return float(text)
        if old is None or isinstance(old, tuple):
            return tuple(int(part) for part in text.split("/"))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} must be like {old!r}; got {text!r}") from error
    return text


def _old(transform: Transform[Any], name: str, field: str) -> Any:
    """What a field of a transform is now. Raises ValueError where it has none of that name."""
    there = [field.name for field in dataclasses.fields(transform)]  # pyright: ignore
    if field not in there:
        raise ValueError(
            f"chain: {name} has no {field!r}; it takes {', '.join([*there, 'chance'])}"
        )
    return getattr(transform, field)


def _changed(transform: Transform[Any], name: str, values: dict[str, Any]) -> Transform[Any]:
    """A transform with other values of its fields."""
    for field in sorted(values):
        _old(transform, name, field)
    return dataclasses.replace(transform, **values)  # pyright: ignore


def parse_chain(text: str, published: bool = False) -> tuple[Link, ...]:
    """Read a chain: names parted by commas, each with ":field=value" as often as need be.

    Fields are those of the transform's class; chance=0.5 has half of the rows undergo it; the
    entries of a tuple are parted by "/".

    Raises ValueError for an unknown name or field, or a value that the transform refuses.
    """
    links = []
    for part in text.split(","):
        name, *settings = part.strip().split(":")
        transform = named(name, published)
        values: dict[str, Any] = {}
        for setting in settings:
            field, equals, value = setting.partition("=")
            if not equals:
                raise ValueError(f"chain: {name} needs field=value after ':'; got {setting!r}")
            old = 1.0 if field == "chance" else _old(transform, name, field)
            values[field] = _value(f"chain: {field} of {name}", value, old)
        chance = values.pop("chance", 1.0)
        if not 0.0 < chance <= 1.0:
            raise ValueError(f"chain: chance of {name} must be over 0 and at most 1; got {chance}")
        links.append(Link(name=name, transform=_changed(transform, name, values), chance=chance))
    return tuple(links)


def links_from(noted: Sequence[dict[str, Any]]) -> tuple[Link, ...]:
    """The inverse of to_dict for each link, from JSON, where tuples have become lists."""
    links = []
    for one in noted:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in one["fields"].items()}
        transform = _changed(named(one["name"]), one["name"], values)
        links.append(Link(name=one["name"], transform=transform, chance=one["chance"]))
    return tuple(links)


def chain_of(links: Sequence[Link]) -> Chain:
    """The links as one transform."""
    return Chain(
        transforms=tuple(link.transform for link in links),
        probabilities=tuple(link.chance for link in links),
    )


def keeps_function(links: Sequence[Link]) -> bool:
    """Whether every link is a symmetry, so that each row computes what it did before."""
    return all(isinstance(link.transform, _EXACT) for link in links)
