"""Recipes: networks and fit settings for a kind of signal, by name.

inrgen/fit/README.md has the measurements behind each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast, get_args

from inrgen.core.config import InitConfig
from inrgen.core.config_text import check_name
from inrgen.core.spec import SOLID_KINDS, InrSpec
from inrgen.fit.build_config import BuildRecipe, RecipeName
from inrgen.fit.config import FitConfig
from inrgen.fit.starts.start import LearnedStart
from inrgen.sources.base import SourceFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Networks and their fit settings, ready to use or to vary with dataclasses.replace.

    start is the learned start of recipe learned; the other recipes draw random weights.
    """

    name: BuildRecipe
    spec: InrSpec
    fit: FitConfig
    start: LearnedStart | None = None


def _image_spec(facts: SourceFacts) -> InrSpec:
    """2-32-32-d_out with sine frequency 30, the networks of arXiv 2301.12780 and 2402.04081."""
    return InrSpec(
        widths=(2, 32, 32, facts.d_out),
        omega=(30.0, 30.0),
        # the middle of the values, so that fits start at gray
        output_offset=0.5,
        coord_order="xy",
        value_range=(0.0, 1.0),
    )


def published(facts: SourceFacts) -> Recipe:
    """The fit of the augmentation study's Fashion-MNIST INRs (arXiv 2402.04081).

    The settings come from its public configuration, its model code and an answer of DWSNets'
    authors. A small first layer and zero biases make independent fits comparable.
    """
    return Recipe(name="published", spec=_image_spec(facts), fit=FitConfig())


def fast(facts: SourceFacts) -> Recipe:
    """A quarter of the published steps, and a last layer that starts as small as the others."""
    fit = FitConfig(num_steps=250, init=InitConfig(last_layer="small"))
    return Recipe(name="fast", spec=_image_spec(facts), fit=fit)


def signed(facts: SourceFacts) -> Recipe:
    """The fast recipe with a first layer twice as large, a quarter of SIREN's bound.

    Its weights teach more when alignment or the reading network removes the signs of units.
    """
    # about twice the first layer of fast and published
    fit = fast(facts).fit
    larger = replace(fit, init=replace(fit.init, first_layer=0.25))
    return Recipe(name="signed", spec=_image_spec(facts), fit=larger)


def sharp(facts: SourceFacts) -> Recipe:
    """SIREN's own initialisation (arXiv 2006.09661) and Adam at 2e-3, for reconstruction.

    It never stops early. The better such a fit, the less its weights teach.
    """
    init = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")
    fit = FitConfig(num_steps=500, lr=2e-3, stop_psnr_db=None, init=init)
    return Recipe(name="sharp", spec=_image_spec(facts), fit=fit)


def _shape_spec(facts: SourceFacts, *hidden: int) -> InrSpec:
    """Networks with SIREN's frequency in every layer; axes and values are as the source has them.

    Occupancy gets a third of the frequency: its step rings, and at 30 crumbs fill the space around
    a shape (median IoU 0.84 on 12 closed meshes, and 0.93 at 10).
    """
    omega = 10.0 if facts.value_kind == "occupancy" else 30.0
    return InrSpec(
        widths=(3, *hidden, facts.d_out),
        omega=(omega,) * len(hidden),
        coord_order="xyz",
        coord_center=(0.0, 0.0, 0.0),
        value_range=facts.value_range,
        value_kind=facts.value_kind,
    )


# SIREN's own initialisation. The small first layer of the study's image networks makes shapes
# unrecognisable: median IoU 0.71 against 0.96 for 3-32-32-1 (14 closed meshes).
_SHAPE_INIT = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")


def published_shape(facts: SourceFacts) -> Recipe:
    """3-32-32-32-1, Adam at 2e-3 falling to zero over 2,000 steps of 2,048 points.

    The augmentation study publishes neither widths nor sampling of its 3-D networks. These are
    ours: the smallest networks whose shapes can be recognised, with 2,273 weights.
    """
    fit = FitConfig(
        num_steps=2000, lr=2e-3, schedule="cosine", points_per_step=2048, init=_SHAPE_INIT
    )
    return Recipe(name="published", spec=_shape_spec(facts, 32, 32, 32), fit=fit)


def fast_shape(facts: SourceFacts) -> Recipe:
    """The default with a quarter of its steps, for experiments and for large jobs."""
    made = published_shape(facts)
    return replace(made, name="fast", fit=replace(made.fit, num_steps=500))


def sharp_shape(facts: SourceFacts) -> Recipe:
    """3-64-64-64-1, 8,641 weights, for reconstruction; it never stops early."""
    made = published_shape(facts)
    fit = replace(made.fit, stop_psnr_db=None)
    return Recipe(name="sharp", spec=_shape_spec(facts, 64, 64, 64), fit=fit)


def teach_shape(facts: SourceFacts) -> Recipe:
    """3-32-32-1 from a small start without biases, 500 steps: soft shapes whose weights teach.

    The output starts at the middle of the values, so that the fit learns neither inside nor
    outside first.
    """
    low, high = facts.value_range
    spec = replace(_shape_spec(facts, 32, 32), omega=(30.0, 30.0), output_offset=(low + high) / 2)
    fit = FitConfig(
        num_steps=500,
        lr=2e-3,
        schedule="cosine",
        points_per_step=2048,
        init=InitConfig(last_layer="small"),
    )
    return Recipe(name="teach", spec=spec, fit=fit)


def inr2vec(facts: SourceFacts) -> Recipe:
    """3-512-512-512-512-1 from one initialisation that all items share, 790 thousand weights.

    The architecture and the sharing are inr2vec's (arXiv 2302.05438). The loss here is on clipped
    distances rather than logits, and the fit is ours.
    """
    # inr2vec shares one start so that weights of different shapes correspond unit by unit.
    init = replace(_SHAPE_INIT, shared=True)
    fit = FitConfig(num_steps=500, lr=1e-4, schedule="cosine", points_per_step=4096, init=init)
    return Recipe(name="inr2vec", spec=_shape_spec(facts, 512, 512, 512, 512), fit=fit)


# Hidden widths of the default recipe by the number of coordinates, and points of an update.
_DEFAULT_HIDDEN = {1: (64, 64), 2: (64, 64, 64), 3: (64, 64, 64), 4: (128, 128, 128)}
_DEFAULT_POINTS = {1: 0, 2: 0, 3: 4096, 4: 4096}


def default(facts: SourceFacts) -> Recipe:
    """SIREN (arXiv 2006.09661) for any signal over one to four coordinates.

    Two or three hidden layers of 64 units (128 over four coordinates) with frequency 30, SIREN's
    initialisation, and Adam at 1e-3 falling to zero over 1,000 steps. The output starts at the
    middle of the values.
    """
    if facts.d_in not in _DEFAULT_HIDDEN:
        raise ValueError(f"signals need 1 to 4 coordinates; {facts.name} has {facts.d_in}")
    hidden, (low, high) = _DEFAULT_HIDDEN[facts.d_in], facts.value_range
    spec = InrSpec(
        widths=(facts.d_in, *hidden, facts.d_out),
        omega=(30.0,) * len(hidden),
        output_offset=(low + high) / 2,
        coord_order=facts.coord_order or {1: "x", 2: "xy", 3: "xyz", 4: "xyzt"}[facts.d_in],
        coord_center=(0.0,) * facts.d_in,
        value_range=facts.value_range,
        value_kind=facts.value_kind,
    )
    init = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")
    fit = FitConfig(
        lr=1e-3, schedule="cosine", points_per_step=_DEFAULT_POINTS[facts.d_in], init=init
    )
    return Recipe(name="default", spec=spec, fit=fit)


def sound(facts: SourceFacts) -> Recipe:
    """1-64-64-64-d_out for a sound of about a second, with a first frequency of 1,000.

    SIREN's audio experiments (arXiv 2006.09661, sec. 4.2) raise the first layer's frequency alone:
    a sine over a second turns through hundreds of periods. Frequencies that an INR reaches grow
    with omega, so longer or brighter sounds need a larger one, and more weights.
    """
    made = default(facts)
    hidden = (64, 64, 64)
    widths = (facts.d_in, *hidden, facts.d_out)
    spec = replace(made.spec, widths=widths, omega=(1000.0, 30.0, 30.0))
    return replace(made, name="sound", spec=spec, fit=replace(made.fit, points_per_step=4096))


_IMAGE_RECIPES: dict[str, Callable[[SourceFacts], Recipe]] = {
    "published": published,
    "fast": fast,
    "signed": signed,
    "sharp": sharp,
}
_SHAPE_RECIPES: dict[str, Callable[[SourceFacts], Recipe]] = {
    "published": published_shape,
    "fast": fast_shape,
    "sharp": sharp_shape,
    "teach": teach_shape,
    "inr2vec": inr2vec,
}


# The recipes for each kind of signal.
RECIPES = {
    "images": _IMAGE_RECIPES,
    "shapes": _SHAPE_RECIPES,
    "sounds": {"sound": sound},
    "any signal": {"default": default},
}


def usual_recipe(facts: SourceFacts) -> RecipeName:
    """The recipe of a build that names none: published where there is one, otherwise default."""
    known, _ = _recipes_for(facts)
    usual = cast(RecipeName, facts.usual_recipe)
    return usual or ("published" if "published" in known else "default")


def _recipes_for(facts: SourceFacts) -> tuple[dict[str, Callable[[SourceFacts], Recipe]], str]:
    """The recipes that are made for a kind of signal, and its name; {} for other signals."""
    if (facts.value_kind, facts.d_in) == ("intensity", 2) and facts.coord_order in ("", "xy"):
        return _IMAGE_RECIPES, "images"
    if facts.value_kind in SOLID_KINDS and facts.d_in == 3:
        return _SHAPE_RECIPES, "shapes"
    if facts.d_in == 1:
        return {"sound": sound}, "signals over one coordinate"
    return {}, f"{facts.value_kind} over {facts.d_in} coordinates"


def recipe(name: RecipeName, facts: SourceFacts) -> Recipe:
    """The recipe of that name for a source's kind of signal.

    Raises ValueError for an unknown name, and for a recipe of another kind of signal.
    """
    check_name(name, get_args(RecipeName), "recipe")
    known, kind = _recipes_for(facts)
    known = known | {"default": default}
    check_name(name, known, f"recipe for {kind}")
    return known[name](facts)
