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
)
from inrgen.transforms.base import Transform
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import Permute, RandomSymmetry, ReluScale, SirenBias, SirenNegation
from inrgen.transforms.geometric import Affine, Reflect, Rotate, Scale, Translate
from inrgen.transforms.noisy import Dropout, GaussianNoise, QuantileDropout

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
    """A transform of a chain by its full name, with the probability that it acts on an INR."""

    name: str
    transform: Transform[Any]
    chance: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values with every field written out, so that stores survive changed defaults.

        Earlier versions recorded the reversed forms of motions as published: true. They are still
        recorded so, and the published forms as published: 2.
        """
        fields: dict[str, Any] = dataclasses.asdict(self.transform)  # pyright: ignore
        if "reversed" in fields:
            as_coded = _AS_CODED if fields["published"] else False
            fields["published"] = fields.pop("reversed") or as_coded
        return {"name": self.name, "chance": self.chance, "fields": fields}


def parse_links(text: str, published: bool = False) -> tuple[Link, ...]:
    """Read a list of transforms in the grammar of inrgen.core.config_text.

    Each name may be followed by fields of the transform's class and by chance=0.5, which makes
    the transform act on half of the INRs.

    Raises ValueError for an unknown name or field, or a value that the transform refuses.
    """
    return tuple(_parse_link(named, published) for named in split_names(text, "augment"))


def _parse_link(named: NamedFields, published: bool) -> Link:
    name = ALIASES.get(named.name, named.name)
    transform = make_transform(name, published)
    values = read_fields(named, field_types(transform) | {"chance": float}, _KIND)
    chance = values.pop("chance", 1.0)
    if not 0.0 < chance <= 1.0:
        raise ValueError(f"{_KIND} {name}: chance must be above 0 and at most 1; got {chance}")
    return Link(name=name, transform=_changed(transform, values), chance=chance)


def _changed(transform: Transform[Any], values: dict[str, Any]) -> Transform[Any]:
    return dataclasses.replace(transform, **values)  # pyright: ignore


def read_links(recorded: Sequence[dict[str, Any]]) -> tuple[Link, ...]:
    """Rebuild links from the JSON of Link.to_dict, in which tuples have become lists.

    Raises ValueError for a name or field that this version does not have.
    """
    links = []
    for one in recorded:
        transform = make_transform(one["name"])
        for key in one["fields"]:
            check_name(key, field_types(transform), f"{_KIND} {one['name']}: field")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in one["fields"].items()}
        if "reversed" in field_types(transform):
            form = values.get("published", False)
            values |= {"reversed": form is True, "published": form == _AS_CODED}
        changed = _changed(transform, values)
        links.append(Link(name=one["name"], transform=changed, chance=one["chance"]))
    return tuple(links)


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
    return all(isinstance(link.transform, _EXACT) for link in links)
