"""Probe settings: the probes by name, how they train, and the options of the two commands.

Light on purpose: a command's help must not wait for torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.fit.build_config import EngineChoice
from inrgen.sources.config import LimitOrder
from inrgen.sources.options import ignored_options
from inrgen.sources.shape_config import ShapeConfig

ProbeName = Literal[
    "mlp_raw",
    "mlp_permutation",
    "mlp_signed",
    "mlp_pixels",
    "set_raw",
    "kernel_raw",
    "kernel_permutation",
    "kernel_signed",
    "kernel_set",
    "kernel_values",
]
Schedule = Literal["constant", "cosine"]
Precision = Literal["float32", "bfloat16"]
PROBES: tuple[ProbeName, ...] = get_args(ProbeName)
# Probes trained by steps, the default; kernel probes are for a few hundred INRs.
TRAINED: tuple[ProbeName, ...] = ("mlp_raw", "mlp_permutation", "mlp_signed", "set_raw")
# Probes that give probabilities, from features that need no template.
ENSEMBLES: tuple[ProbeName, ...] = ("mlp_raw", "mlp_pixels", "set_raw")
# Refused before hours of fitting, rather than when the plot is saved.
_PLOTS = (".png", ".pdf", ".svg")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeTraining:
    """A small classifier with strong regularisation, kept at its best validation epoch.

    Attributes:
        hidden: width of its hidden layers.
        dropout: share of hidden units dropped in training.
        lr: learning rate of AdamW.
        schedule: constant, or cosine, which falls to 0 at the last update.
        weight_decay: weight decay of AdamW, as torch defines it.
        mixup: mix each row and its label with another row's by a share from Beta(mixup, mixup)
            (arXiv 1710.09412); 0 mixes none.
        batch: rows per update.
        epochs: passes over the training rows.
        precision: of matrix products; bfloat16 takes half of the time or less on processors that
            have it.
        seed: names all randomness of the training.
    """

    # An MLP on weights overfits within a few passes, hence dropout, decay and few epochs.
    hidden: int = 512
    dropout: float = 0.5
    lr: float = 1e-3
    schedule: Schedule = "constant"
    weight_decay: float = 0.05
    mixup: float = 0.0
    batch: int = 128
    epochs: int = 8
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive(self, "hidden", "batch", "epochs")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be a positive number; got {self.lr}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be a number from 0 on; got {self.weight_decay}")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule must be one of {get_args(Schedule)}; got {self.schedule!r}")
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"precision must be one of {get_args(Precision)}; got {self.precision!r}"
            )
        if not 0 <= self.mixup <= 1:
            raise ValueError(f"mixup must lie in [0, 1]; got {self.mixup}")


def unit_set_training() -> ProbeTraining:
    """Default training of the unit-set network."""
    return ProbeTraining(hidden=64, dropout=0.2, lr=2e-3, batch=64, epochs=16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Learners:
    """Training settings that all probes of a comparison share.

    Attributes:
        mlp: training of the plain MLP.
        set_model: training of the unit-set network.
        repeats: trainings of each of the two, with consecutive seeds; accuracies are their means.
        seed: names all randomness.
    """

    mlp: ProbeTraining = field(default_factory=ProbeTraining)
    set_model: ProbeTraining = field(default_factory=unit_set_training)
    repeats: int = 2
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """Measure how well classifiers learn from the weights of a finished store.

    Probes are named by how they learn and by what they read. mlp is a plain MLP, set is a small
    network invariant to the order and signs of hidden units, kernel is ridge regression with a
    Gaussian kernel (for a few hundred INRs). raw reads the weights as stored; permutation and
    signed align them to the iterated mean of the training INRs first; kernel_set reads the
    features of random invariant networks; values reads the INR's own function on a grid; pixels
    reads the images that were fitted, which needs data.

    Probes learn from the store's train split, choose their epoch on val and are judged on test.
    A store without one of the three is cross-validated over all its items instead.

    Attributes:
        store: the finished store, with labels.
        probes: the probes to train.
        views: views of each item to read, the first ones.
        ensemble: judge an item once, by the mean log-probability of all repeats of all its views,
            where each view has networks of its own. For mlp_raw, mlp_pixels and set_raw.
        limit: items of each split to read, at most; None reads all.
        limit_order: stratified samples each split in proportion to its classes; first takes the
            first items.
        folds: folds of the cross-validation.
        epochs: passes over the training rows; by default 8 for mlp and 16 for set.
        mlp: training of the plain MLP.
        data: the folder that holds the data set, for pixels; digits need none.
        repeats: trainings of mlp and set with consecutive seeds; accuracies are their means.
        seed: names all randomness.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "data": "views limit limit_order folds data",
        "training": "ensemble epochs repeats seed",
        "mlp": "mlp",
    }

    store: tyro.conf.Positional[StoreArgument]
    probes: tuple[ProbeName, ...] = TRAINED
    views: int = 1
    ensemble: bool = False
    # A kernel probe holds matrices of the training rows squared: 5,000 rows take 100 MB each.
    limit: int | None = 5000
    limit_order: LimitOrder = "stratified"
    folds: int = 5
    epochs: int | None = None
    mlp: ProbeTraining = field(default_factory=ProbeTraining)
    data: str | None = None
    repeats: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive(self, "views", "limit", "epochs", "repeats")
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2; got {self.folds}")
        _check_probes(self.probes)
        if self.ensemble and not set(self.probes) <= set(ENSEMBLES):
            raise ValueError(
                f"ensemble is for {', '.join(ENSEMBLES)}, which you name with probes; "
                f"got {', '.join(self.probes)}"
            )

    def ignored(self) -> dict[str, str]:
        """Options without effect on these probes, each with what it is for."""
        found = _ignored_training(self.probes)
        if self.limit is None:
            found["limit_order"] = "samples, which limit takes"
        return found if "mlp_pixels" in self.probes else {**found, "data": "probe mlp_pixels"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRecipesConfig:
    """Fit the same items with several recipes; compare time, quality and what the weights teach.

    A recipe is [NAME][,FIELD=VALUE]... without spaces: a name (published, the default, fast, sharp,
    signed for images, teach or inr2vec for shapes), then the fields that differ. Short names:
    init=small|siren|X (first layer; X is a share of SIREN's bound), bias=zero|torch|X,
    last=torch|siren|small, shared=true|false, steps, lr, decay, omega, schedule=constant|cosine,
    stop=DB|never, activation and encoding as build takes them. Examples: fast,lr=1e-3 or
    init=small,last=small,steps=120. learned is the learned start that ships for the source;
    learned,start=PATH,steps=N,points=N takes a START file, other steps or points a step.

    Quality is the mean PSNR of images, or the medians of IoU and Chamfer distance of shapes.
    Probes measure what the weights teach. They are named by how they learn and by what they read:
    mlp is a plain MLP, set is a small network invariant to the order and signs of hidden units,
    kernel is ridge regression for a few hundred items. raw reads the weights as fitted;
    permutation and signed align them to the iterated mean of the training INRs; kernel_set reads
    the features of random invariant networks; values reads the INRs' functions, and pixels the
    images themselves, the same for every recipe. Never choose a recipe by PSNR alone: sharp fits
    from SIREN's own start teach next to nothing.

    Attributes:
        source: source of the items: labelled images, or meshes.
        data: the folder that holds the data set; digits need none.
        recipes: recipes to compare, in the grammar above; each is also compared with the first.
        train: items to learn from, of the train split.
        val: items that choose the epoch, of the val split.
        test: items to classify, of the test split.
        limit_order: stratified samples these items in proportion to the classes of each split;
            first takes the first items.
        folds: cross-validate over all of these items in this many folds, so that each is
            classified once; 0 keeps the source's splits.
        probes: the probes to train.
        engine: the engine that fits: auto, torch, cpu or gpu.
        mlp: training of the plain MLP.
        set_model: training of the network invariant to the order and signs of hidden units.
        repeats: trainings of mlp and set with consecutive seeds; accuracies are their means.
        plot: file for the trade-off plot, .png, .pdf or .svg; None draws nothing.
        seed: names all randomness, the same for every recipe.
        shape: settings for mesh-folder and modelnet40.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "source": "source data train val test limit_order folds",
        "shape": "shape",
        "fit": "recipes engine",
        "probe": "probes repeats seed",
        "mlp": "mlp",
        "set-model": "set_model",
    }

    source: str = "digits"
    data: str | None = None
    recipes: tuple[str, ...] = ("published", "published,last=small", "fast", "sharp")
    train: int = 600
    val: int = 150
    test: int = 200
    limit_order: LimitOrder = "stratified"
    folds: int = 0
    probes: tuple[ProbeName, ...] = TRAINED
    engine: EngineChoice = "auto"
    mlp: ProbeTraining = field(default_factory=ProbeTraining)
    set_model: ProbeTraining = field(default_factory=unit_set_training)
    repeats: int = 2
    plot: str | None = None
    seed: int = 0
    shape: tyro.conf.OmitArgPrefixes[ShapeConfig] = field(default_factory=ShapeConfig)

    def __post_init__(self) -> None:
        _check_positive(self, "train", "val", "test", "repeats")
        if self.folds != 0 and self.folds < 2:
            raise ValueError(f"folds must be 0 or at least 2; got {self.folds}")
        _check_distinct("recipe", self.recipes)
        _check_probes(self.probes)
        if self.plot is not None:
            self._check_plot(self.plot)
        # A recipe's text needs torch to be checked, which a help text must not wait for.
        from inrgen.fit.variants import parse_variant

        for text in self.recipes:
            parse_variant(text)

    def ignored(self) -> dict[str, str]:
        """Options without effect on this comparison, each with what it is for."""
        return ignored_options(self.source) | _ignored_training(self.probes)

    def _check_plot(self, plot: str) -> None:
        from inrgen.figures.trade import MOST_CLASSIFIERS

        if Path(plot).suffix.lower() not in _PLOTS:
            raise ValueError(f"plot must end in one of {', '.join(_PLOTS)}; got {plot!r}")
        if len(self.probes) > MOST_CLASSIFIERS:
            raise ValueError(
                f"plot draws at most {MOST_CLASSIFIERS} probes; got {len(self.probes)}"
            )


def _ignored_training(probes: tuple[ProbeName, ...]) -> dict[str, str]:
    """Settings of classifiers that are not among the probes."""
    learners = {name.split("_")[0] for name in probes}
    found = {"mlp": "mlp probes"} if "mlp" not in learners else {}
    found |= {"set_model": "set_raw"} if "set" not in learners else {}
    trained = ("epochs", "repeats")
    return found | (dict.fromkeys(trained, "mlp and set probes") if learners == {"kernel"} else {})


def _check_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")


def _check_distinct(noun: str, found: tuple[str, ...]) -> None:
    if not found:
        raise ValueError(f"{noun}s needs at least one {noun}; got none")
    if len(set(found)) < len(found):
        raise ValueError(f"{noun}s must differ; got {found}")


def _check_probes(probes: tuple[str, ...]) -> None:
    _check_distinct("probe", probes)
    for name in probes:
        if name not in PROBES:
            raise ValueError(f"probes must be among {', '.join(PROBES)}; got {name!r}")
