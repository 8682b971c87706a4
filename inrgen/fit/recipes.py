"""How a kind of signal is best fitted: networks and fit together, by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from inrgen.core.siren import InitConfig
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.sources.base import SourceFacts

RecipeName = Literal["published", "fast", "sharp"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Networks and how they are fitted, ready to use or to vary with dataclasses.replace."""

    name: RecipeName
    spec: InrSpec
    fit: FitConfig


def _image_spec(facts: SourceFacts) -> InrSpec:
    """2-32-32-d_out with sine frequency 30, the networks of arXiv 2301.12780 and 2402.04081."""
    return InrSpec(
        widths=(2, 32, 32, facts.d_out),
        omega=(30.0, 30.0),
        output_offset=0.5,
        coord_order="xy",
        value_range=(0.0, 1.0),
    )


def published(facts: SourceFacts) -> Recipe:
    """As the augmentation study fitted its Fashion-MNIST INRs (arXiv 2402.04081).

    For comparing with published results. Adam at 5e-4 for 1,000 steps on all pixels, stopped at
    40 dB; a small first layer and zero biases, which is what makes independent fits comparable.
    Settings: public configuration, model code and an answer of DWSNets' authors. Reconstructions
    are soft: 21.7 dB on average over 300 Fashion-MNIST images x 2 views. It is the last layer,
    torch's default, that costs most: drawn as small as the others it gives 27.5 dB.
    """
    return Recipe(name="published", spec=_image_spec(facts), fit=FitConfig())


def fast(facts: SourceFacts) -> Recipe:
    """The published fit with a quarter of its steps, for trying out and for large jobs.

    About 17 dB on Fashion-MNIST. Fewer steps do not make weights teach less: with a small last
    layer, which differs from the one here, an MLP on 7,000 signed-aligned INRs reached 68.5 %
    test accuracy after 250 steps and 66.1 after 1,000 (a standard error is about a point).
    """
    return Recipe(name="fast", spec=_image_spec(facts), fit=replace(FitConfig(), num_steps=250))


def sharp(facts: SourceFacts) -> Recipe:
    """SIREN's own initialisation (arXiv 2006.09661) and Adam at 2e-3: for reconstruction.

    On Fashion-MNIST about 47 dB after 120 steps and 75 dB after these 500; but the better such a
    fit, the less its weights teach: an MLP on 7,000 permutation-aligned INRs at 75 dB reached
    14.8 % test accuracy where it reached 59.4 on fits with a small start. Never stops early.
    """
    init = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")
    fit = FitConfig(num_steps=500, lr=2e-3, stop_psnr_db=None, init=init)
    return Recipe(name="sharp", spec=_image_spec(facts), fit=fit)


_IMAGE_RECIPES: dict[str, Callable[[SourceFacts], Recipe]] = {
    "published": published,
    "fast": fast,
    "sharp": sharp,
}


def recipe(name: RecipeName, facts: SourceFacts) -> Recipe:
    """The recipe of that name for what a source's signals are.

    Raises ValueError for an unknown name, and for signals that no recipe is for.
    """
    if name not in _IMAGE_RECIPES:
        raise ValueError(f"recipe must be one of {get_args(RecipeName)}; got {name!r}")
    if (facts.value_kind, facts.d_in) != ("intensity", 2):
        raise ValueError(
            f"recipes are for images (intensity over 2 coordinates); "
            f"{facts.name} gives {facts.value_kind} over {facts.d_in}"
        )
    return _IMAGE_RECIPES[name](facts)
