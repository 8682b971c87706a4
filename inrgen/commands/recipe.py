"""Write a recipe as a file to change and to build with."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from inrgen.core.summary import Summary
from inrgen.fit.build_config import RecipeName

SignalChoice = Literal["images", "shapes", "1d", "2d", "3d", "4d"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeShowConfig:
    """Print a recipe with all its fields as a TOML file, which build --recipe FILE.toml takes.

    Attributes:
        name: the recipe, or a text such as fast,lr=2e-3.
        signals: the signals that it is for; the default recipe fits any, over 1 to 4 coordinates.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")]
    signals: SignalChoice | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeText(Summary):
    """A recipe's fields, and the same as a TOML file."""

    recipe: str
    fields: dict[str, Any]

    def text(self) -> str:
        """The file."""
        from inrgen.fit.recipe_file import recipe_toml

        return recipe_toml(self.recipe, self.fields)


def recipe_show(config: RecipeShowConfig) -> RecipeText:
    """Show a recipe. Raises ValueError for an unknown one, and for recipe learned."""
    from inrgen.fit.recipes import RECIPES
    from inrgen.fit.variants import Variant, field_values, parse_variant
    from inrgen.sources.base import SourceFacts

    variant = parse_variant(config.name)
    if not isinstance(variant, Variant):
        raise ValueError("recipe learned is a START file, of which `inrgen info` prints the facts")
    name: RecipeName = variant.base or "published"
    signals = config.signals
    if signals is None:
        signals = next((kind for kind in ("images", "shapes") if name in RECIPES[kind]), None)
        signals = signals or ("1d" if name == "sound" else "2d")
    if signals == "images":
        facts = SourceFacts(name="images", value_kind="intensity", d_in=2, d_out=1)
    elif signals == "shapes":
        facts = SourceFacts(name="shapes", value_kind="signed_distance", d_in=3, d_out=1)
    else:
        facts = SourceFacts(name="s", value_kind="quantity", d_in=int(signals[0]), d_out=1)
    made = variant.plan(facts)
    return RecipeText(recipe=made.name, fields=field_values(made))
