"""How a kind of signal is best fitted: networks and fit together, by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from inrgen.core.siren import InitConfig
from inrgen.core.spec import SOLID_KINDS, InrSpec
from inrgen.fit.config import FitConfig
from inrgen.sources.base import SourceFacts

RecipeName = Literal["published", "fast", "signed", "sharp", "teach", "inr2vec"]


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
    """A quarter of the published steps, and a last layer that starts as small as the others.

    For trying out and for large jobs. Its weights teach more than the published ones, for the last
    layer's sake and whatever the steps: after 1,500 Fashion-MNIST images a probe that ignores order
    and sign of units reaches 64.8 % on these, 57.9 on published ones, and 64.7 on published ones
    with such a last layer (`inrgen bench recipe`; a standard error is 1.4).
    """
    fit = FitConfig(num_steps=250, init=InitConfig(last_layer="small"))
    return Recipe(name="fast", spec=_image_spec(facts), fit=fit)


def signed(facts: SourceFacts) -> Recipe:
    """As fast, from a larger first layer: for readers that know the signs of hidden units.

    The first layer starts at a quarter of SIREN's bound, twice as large as the published one, and
    weights teach more where signs are taken out, by alignment or by the network. After 1,500
    Fashion-MNIST images, two seeds (`inrgen bench recipe`; a standard error of a difference is
    1.5), an MLP on signed-aligned weights reaches 67.6 and 67.3 % on these, and 55.6 and 60.1 on
    fast ones; a network that ignores order and sign 67.2 and 65.3, and 64.8 and 65.5; PSNR is
    23.7 dB, and 20.6. A tenth of SIREN's bound gains nothing, half of it loses 11 and 7 points (one
    seed). At the study's small scale, one seed, the signed network gains 3.4 points, but DWSNets,
    which know no signs, lose 5.1, and 3.5 with negation.
    """
    fit = fast(facts).fit
    larger = replace(fit, init=replace(fit.init, first_layer=0.25))
    return Recipe(name="signed", spec=_image_spec(facts), fit=larger)


def sharp(facts: SourceFacts) -> Recipe:
    """SIREN's own initialisation (arXiv 2006.09661) and Adam at 2e-3: for reconstruction.

    On Fashion-MNIST about 47 dB after 120 steps and 70 dB after these 500; but the better such a
    fit, the less its weights teach: an MLP on 7,000 permutation-aligned INRs at 75 dB reached
    14.8 % test accuracy where it reached 59.4 on fits with a small start. Never stops early.
    """
    init = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")
    fit = FitConfig(num_steps=500, lr=2e-3, stop_psnr_db=None, init=init)
    return Recipe(name="sharp", spec=_image_spec(facts), fit=fit)


def _shape_spec(facts: SourceFacts, *hidden: int) -> InrSpec:
    """SIREN's frequency in every layer, axes as the file has them, values as the source gives.

    For occupancy a third of the frequency: its step rings, and with 30 the space around a shape
    fills with crumbs (median IoU 0.84 on 12 closed meshes, and 0.93 with 10).
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


# SIREN's own initialisation. The small first layer of the study's image networks leaves a shape
# unrecognisable: median IoU 0.71 against 0.96 for 3-32-32-1 (14 closed meshes, measured here).
_SHAPE_INIT = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")


def published_shape(facts: SourceFacts) -> Recipe:
    """3-32-32-32-1, Adam at 2e-3 falling to zero over 2,000 steps of 2,048 points.

    The augmentation study publishes neither widths nor sampling of its 3-D networks; these are
    ours, chosen by measurement: the smallest whose shapes can be recognised, with 2,273 weights.
    Median IoU on 14 closed meshes (SIREN's initialisation, distances clipped at 0.1): 3-16-16-1
    0.917, 3-24-24-1 0.955, 3-32-32-1 0.962 (but 0.72 at worst, on thin legs), 3-32-32-32-1 0.984
    (0.84 at worst).
    """
    fit = FitConfig(
        num_steps=2000, lr=2e-3, schedule="cosine", points_per_step=2048, init=_SHAPE_INIT
    )
    return Recipe(name="published", spec=_shape_spec(facts, 32, 32, 32), fit=fit)


def fast_shape(facts: SourceFacts) -> Recipe:
    """The default with a quarter of its steps, for trying out and for large jobs."""
    made = published_shape(facts)
    return replace(made, name="fast", fit=replace(made.fit, num_steps=500))


def sharp_shape(facts: SourceFacts) -> Recipe:
    """3-64-64-64-1, 8,641 weights, for reconstruction. Never stops early."""
    made = published_shape(facts)
    fit = replace(made.fit, stop_psnr_db=None)
    return Recipe(name="sharp", spec=_shape_spec(facts, 64, 64, 64), fit=fit)


def teach_shape(facts: SourceFacts) -> Recipe:
    """3-32-32-1 from a small start without biases, 500 steps: soft shapes whose weights teach.

    For learning from weights. Ten classes of 240 meshes, a fit each, in four folds, chance 10 %, a
    standard error 3, two seeds (`inrgen bench recipe --source mesh-folder --target occupancy
    --recipes teach --folds 4 --probes kernel_raw kernel_signed kernel_set kernel_values`): kernel
    ridge regression on what random networks see that ignore order and sign of units reaches 65.0
    and 61.3 % on fits of occupancy, on signed-aligned weights 45.8 and 50.0, on raw ones 8, and on
    the functions' values 60.0 and 55.8. What it costs is detail: the median IoU is 0.70. On
    distances, in an earlier measurement, 59.6, 33.3 and 13.3; and from a start that all items share
    (build --shared) raw weights of distances reach 70.4. On the default's weights an MLP stays at
    chance. The output starts at the middle of the values, so that neither inside nor outside is
    learned first.
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

    The architecture and the sharing are inr2vec's (arXiv 2302.05438); the loss here is on clipped
    distances and not on logits, and the fit is ours.
    """
    init = replace(_SHAPE_INIT, shared=True)
    fit = FitConfig(num_steps=500, lr=1e-4, schedule="cosine", points_per_step=4096, init=init)
    return Recipe(name="inr2vec", spec=_shape_spec(facts, 512, 512, 512, 512), fit=fit)


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


def recipe(name: RecipeName, facts: SourceFacts) -> Recipe:
    """The recipe of that name for what a source's signals are.

    Raises ValueError for an unknown name, and for signals that no recipe is for.
    """
    if name not in get_args(RecipeName):
        raise ValueError(f"recipe must be one of {get_args(RecipeName)}; got {name!r}")
    if (facts.value_kind, facts.d_in) == ("intensity", 2):
        known, kind = _IMAGE_RECIPES, "images"
    elif facts.value_kind in SOLID_KINDS and facts.d_in == 3:
        known, kind = _SHAPE_RECIPES, "shapes"
    else:
        raise ValueError(
            "recipes are for images (intensity over 2 coordinates) and shapes (distance or "
            "occupancy over 3); "
            f"{facts.name} gives {facts.value_kind} over {facts.d_in}"
        )
    if name not in known:
        raise ValueError(f"recipe must be one of {tuple(known)} for {kind}; got {name!r}")
    return known[name](facts)
