"""Transforms by name, and chains of them as text, such as rotation:bound_deg=30,negation.

Names and published defaults are those of the table of augmentations in arXiv 2402.04081.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inrgen.core.config_text import (
    NamedFields,
    check_name,
    field_types,
    read_fields,
    split_names,
    suggest,
)
from inrgen.core.own_code import import_own, import_recorded, is_own_name
from inrgen.transforms.base import Transform
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import Permute, RandomSymmetry, ReluScale, SirenBias, SirenNegation
from inrgen.transforms.geometric import Affine, Reflect, Rotate, Scale, Translate
from inrgen.transforms.noisy import Dropout, GaussianNoise, QuantileDropout
from inrgen.transforms.own import as_transform, change_fields, describe_own, own_fields, read_own

# This project's parametrisation: motions about the centre, symmetric ranges.
TRANSFORMS: dict[str, Callable[..., Transform[Any]]] = {
    "translate": Translate,
    "rotation": Rotate,
    "scale": Scale,
    "reflection": Reflect,
    "affine": Affine,
    "gaussian-noise": GaussianNoise,
    "siren-bias": SirenBias,
    "siren-negation": SirenNegation,
    "relu-scale": ReluScale,
    "permutation": Permute,
    "symmetry": RandomSymmetry,
    "dropout": Dropout,
    "quantile-dropout": QuantileDropout,
}

# The names in the table of arXiv 2402.04081, which published=True may be used with.
PUBLISHED = (
    "translate",
    "rotation",
    "scale",
    "gaussian-noise",
    "siren-bias",
    "siren-negation",
    "dropout",
    "quantile-dropout",
)

# Short names for command lines. Stores record the full names.
ALIASES = {"negation": "siren-negation", "bias": "siren-bias", "noise": "gaussian-noise"}

_KIND = "transform"
# Records of the published forms that earlier versions took to be reversed are true; see Link.
_AS_CODED = 2
_EXACT = (Permute, RandomSymmetry, ReluScale, SirenBias, SirenNegation)


def make_transform(name: str, published: bool = False) -> Transform[Any]:
    """Make a transform with its defaults from its name or short name.

    Args:
        published: take the parametrisation and defaults of the published code.

    Raises ValueError for an unknown name.
    """
    known = PUBLISHED if published else TRANSFORMS
    kind = TRANSFORMS[check_name(ALIASES.get(name, name), known, _KIND)]
    # Noise and negation are published as they are here, so they have no such field.
    return kind(published=True) if published and "published" in field_types(kind) else kind()


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A transform of a chain by its full name, with the probability that it acts on an INR.

    version is that of the code of a transform of one's own, which is named MODULE:NAME; it is ""
    for others.
    """

    name: str
    transform: Transform[Any]
    chance: float = 1.0
    version: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values with every field written out, so that stores survive changed defaults.

        Earlier versions recorded the reversed forms of motions as published: true. They are still
        recorded so, and the published forms as published: 2.
        """
        fields = own_fields(self.transform)
        if self.version:
            named = {"name": self.name, "version": self.version, "chance": self.chance}
            return named | {"fields": fields}
        if "reversed" in fields:
            as_coded = _AS_CODED if fields["published"] else False
            fields["published"] = fields.pop("reversed") or as_coded
        return {"name": self.name, "chance": self.chance, "fields": fields}


def parse_links(text: str, published: bool = False) -> tuple[Link, ...]:
    """Read a list of transforms in the grammar of inrgen.core.config_text.

    Each name may be followed by fields of the transform's class and by chance=0.5, which makes
    the transform act on half of the INRs.

    MODULE:NAME imports a transform of one's own.

    Raises ValueError for an unknown name or field, or a value that the transform refuses.
    """
    known = (*TRANSFORMS, *ALIASES)
    return tuple(_parse_link(named, published) for named in split_names(text, "augment", known))


def make_link(given: Any) -> Link:
    """A link that always acts, from a transform or what as_transform takes.

    Raises ValueError for a transform that stores cannot name, because no import finds it.
    """
    made = as_transform(given)
    name = next((name for name, kind in TRANSFORMS.items() if type(made) is kind), "")
    if name:
        return Link(name=name, transform=made)
    name, version = describe_own(made)
    return Link(name=name, transform=made, version=version)


def _own_link(named: NamedFields) -> Link:
    try:
        target = import_own(named.name, _KIND)
    except ValueError as error:
        near = suggest(named.name.split(":")[0], [*TRANSFORMS, *ALIASES])
        raise ValueError(f"{error}{near}") from error
    made, chance = read_own(named, target)
    link = dataclasses.replace(make_link(made), chance=_check_chance(named.name, chance))
    # A module may offer an object of another module's class.
    return dataclasses.replace(link, name=named.name)


def _check_chance(name: str, chance: float) -> float:
    if not 0.0 < chance <= 1.0:
        raise ValueError(f"{_KIND} {name}: chance must be above 0 and at most 1; got {chance}")
    return chance


def _parse_link(named: NamedFields, published: bool) -> Link:
    if is_own_name(named.name):
        return _own_link(named)
    name = ALIASES.get(named.name, named.name)
    transform = make_transform(name, published)
    values = read_fields(named, field_types(transform) | {"chance": float}, _KIND)
    chance = _check_chance(name, values.pop("chance", 1.0))
    return Link(name=name, transform=change_fields(transform, values), chance=chance)


def read_links(recorded: Sequence[dict[str, Any]]) -> tuple[Link, ...]:
    """Rebuild links from the JSON of Link.to_dict, in which tuples have become lists.

    Raises ValueError for a name or field that this version does not have, and for code of the
    user's own that this process was not given, or that is another version now.
    """
    links = []
    for one in recorded:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in one["fields"].items()}
        if is_own_name(one["name"]):
            links.append(_read_own(one, values))
            continue
        transform = make_transform(one["name"])
        for key in one["fields"]:
            check_name(key, field_types(transform), f"{_KIND} {one['name']}: field")
        if "reversed" in field_types(transform):
            form = values.get("published", False)
            values |= {"reversed": form is True, "published": form == _AS_CODED}
        changed = change_fields(transform, values)
        links.append(Link(name=one["name"], transform=changed, chance=one["chance"]))
    return tuple(links)


def _read_own(recorded: dict[str, Any], values: dict[str, Any]) -> Link:
    """A link to a transform of one's own, as a store records it."""
    name = recorded["name"]
    made = change_fields(as_transform(import_recorded(name, _KIND)), values)
    link = dataclasses.replace(make_link(made), name=name, chance=recorded["chance"])
    if link.version != recorded["version"]:
        raise ValueError(
            f"{_KIND} {name} is version {link.version} now; the store was made by version "
            f"{recorded['version']}"
        )
    return link


def make_chain(links: Sequence[Link]) -> Chain:
    """Join links into one transform."""
    return Chain(
        transforms=tuple(link.transform for link in links),
        probabilities=tuple(link.chance for link in links),
    )


def parse_chain(text: str, published: bool = False) -> Chain:
    """Read a chain, such as rotation:bound_deg=30,negation:chance=0.5; see parse_links."""
    return make_chain(parse_links(text, published))


def keeps_function(links: Sequence[Link]) -> bool:
    """Tell whether every link is a symmetry, so that each INR still computes the same function."""
    return all(
        isinstance(link.transform, _EXACT) or getattr(link.transform, "keeps_function", False)
        for link in links
    )
