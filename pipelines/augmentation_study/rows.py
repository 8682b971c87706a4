"""Rows of the study: frozen values with stable names, the most informative first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from inrgen.training.config import MixName, Partners
from inrgen.training.models.catalog import parse_model

Corpus = Literal["images", "modelnet_like", "watertight_shapes", "modelnet40"]
Aligned = Literal["no", "permutation", "signed"]
Pretrained = Literal["no", "linear", "tuned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Cell of a table: a network, its training data, and their augmentation.

    Attributes:
        corpus: the scale's images, or shapes by their own name.
        model: the network, as in `inrgen train`.
        augment, mixup, mixup_beta, partners: as in `inrgen train`, in the published
            parametrisation.
        views: fits of each training item.
        fraction: share of the labelled training items.
        aligned: align every INR first to the iterated mean of training INRs.
        pretrained: pre-train by contrast on all training items without labels, then train a linear
            layer on fixed features, or tune the whole network.
        folds: folds of a cross-validation over all items, one training each; with 0 the splits of
            the stores are used.
        recipe: a recipe of the recipe study, in the grammar of `inrgen probe-recipes`; the other
            fields then do not matter.
    """

    corpus: Corpus = "images"
    model: str = "dws"
    augment: str = ""
    mixup: MixName = "none"
    mixup_beta: float = 1.0
    partners: Partners = "clean"
    views: int = 1
    fraction: float = 1.0
    aligned: Aligned = "no"
    pretrained: Pretrained = "no"
    folds: int = 0
    recipe: str = ""

    @property
    def change(self) -> str:
        """Short name of the augmentation."""
        parts = [name for name in self.augment.split(",") if name]
        if self.mixup != "none":
            beta = "" if self.mixup_beta == 1.0 else f"_beta{self.mixup_beta:g}"
            parts.append(f"{self.mixup}_mixup{beta}")
        return "+".join(parts) or "none"

    @property
    def reads_values(self) -> bool:
        """True where the network evaluates INRs, and so reads more than their weights."""
        return getattr(parse_model(self.model), "points", 0) > 0

    @property
    def row_id(self) -> str:
        """Name, also of a file, with all that differs from the defaults."""
        if self.recipe:
            return f"recipe-{self.recipe.replace(',', '+')}"
        parts = [self.corpus, self.model.replace(",", "+"), f"{self.views}v", self.change]
        if self.aligned != "no":
            parts.append(f"{self.aligned}_template")
        if self.partners == "leaky":
            parts.append("leaky")
        if self.fraction != 1.0:
            parts.append(f"share{self.fraction:g}")
        if self.pretrained != "no":
            parts.append(f"contrast_{self.pretrained}")
        if self.folds:
            parts.append(f"{self.folds}folds")
        return "-".join(parts)


# Augmentations of the published table, as options of inrgen train.
AUGMENTATIONS: dict[str, tuple[str, MixName]] = {
    "No augmentation": ("", "none"),
    "Translate": ("translate", "none"),
    "Rotation": ("rotation", "none"),
    "Scale": ("scale", "none"),
    "Gaussian noise": ("gaussian-noise", "none"),
    "SIREN bias": ("siren-bias", "none"),
    "SIREN negation": ("siren-negation", "none"),
    "Dropout": ("dropout", "none"),
    "Quantile dropout": ("quantile-dropout", "none"),
    "MixUp": ("", "direct"),
    "MixUp + random perm.": ("", "permuted"),
    "Alignment + MixUp": ("", "aligned"),
}
# First rows of the graph network, which takes by far the most time.
_FEW = ("Alignment + MixUp", "MixUp", "SIREN negation")
SIZES = (0.1, 0.25, 0.5, 1.0)
RECIPES = (
    "published",
    "fast",
    "published,last=small",
    "fast,steps=60",
    "fast,bias=torch",
    "fast,init=siren,steps=120,lr=2e-3",
    "sharp",
    "fast,shared=yes",
    "sharp,steps=120,shared=yes",
)


def views_beside(views: int) -> tuple[tuple[int, int], ...]:
    """Pair each published number of views with ours; ten has none where all rows have one view."""
    return ((1, 1),) if views == 1 else ((1, 1), (10, views))


def table_row(augmentation: str, model: str, views: int, corpus: Corpus = "images") -> Row:
    """Make a row of the published table."""
    augment, mixup = AUGMENTATIONS[augmentation]
    return Row(corpus=corpus, model=model, augment=augment, mixup=mixup, views=views)


def size_rows() -> tuple[Row, ...]:
    """Rows of the data-size curve: shares of the images, with and without aligned MixUp."""
    mixups: tuple[MixName, ...] = ("none", "aligned")
    return tuple(Row(mixup=mixup, fraction=share) for share in SIZES for mixup in mixups)


def curve_rows(views: int) -> tuple[Row, ...]:
    """Rows whose test loss is measured after every epoch, to see when they overfit."""
    plain = (Row(), Row(mixup="aligned"), Row(model="signed", mixup="signed"))
    return tuple(replace(row, views=v) for row in plain for _, v in views_beside(views))


def leaky_rows(model: str) -> tuple[Row, ...]:
    """Rows of MixUp on one view with partners from any view, as in published code."""
    mixups: tuple[MixName, ...] = ("direct", "permuted", "aligned")
    return tuple(Row(model=model, mixup=mixup, partners="leaky") for mixup in mixups)


def beyond_rows(views: int) -> tuple[Row, ...]:
    """Rows beyond the paper: signs in alignment and network, and one template for all.

    Networks with points also evaluate each INR at points that they learn. An INR halfway between
    two others does not compute an image, so MixUp costs such a network 5 points: 79.4 % against
    84.7 of 5,000 validation images after a quarter of the published fits.
    """
    plain = Row(views=views)
    signed = replace(plain, model="signed")
    template = replace(plain, aligned="signed")
    return (
        replace(plain, mixup="signed"),
        signed,
        replace(signed, mixup="signed"),
        replace(signed, mixup="aligned"),
        template,
        replace(template, model="mlp"),
        replace(template, mixup="direct"),
        replace(template, model="mlp", mixup="direct"),
        replace(template, model="signed", mixup="direct"),
        replace(plain, model="mlp"),
        replace(template, model="mlp", aligned="permutation"),
        # Half of the published translations move nothing; these move the signal.
        replace(plain, augment="translate,published=no"),
        replace(plain, augment="siren-negation", mixup="aligned"),
        replace(signed, mixup="signed", augment="gaussian-noise"),
        replace(plain, mixup="signed", augment="gaussian-noise"),
        replace(signed, mixup="signed", augment="translate,published=no"),
        replace(plain, model="signed,points=64", mixup="signed"),
        replace(plain, model="signed,points=256"),
        replace(plain, model="values"),
    )


def contrastive_rows(views: int) -> tuple[Row, ...]:
    """Rows after contrastive pre-training, read out and tuned, on all labels and a tenth of them.

    The plan also has each of them without pre-training.
    """
    ways: tuple[Pretrained, ...] = ("linear", "tuned")
    return tuple(
        Row(views=views, pretrained=how, fraction=share) for how in ways for share in (0.1, 1.0)
    )


def shape_rows(views: int) -> tuple[Row, ...]:
    """Rows on the available shapes, under their own names; they are not ModelNet40."""
    plain = Row(corpus="modelnet_like")
    few = (
        plain,
        replace(plain, views=views),
        replace(plain, augment="siren-negation", views=views),
        replace(plain, mixup="aligned", views=views),
        replace(plain, mixup="signed", views=views),
        replace(plain, model="signed", mixup="signed", views=views),
        replace(plain, mixup="aligned"),
        replace(plain, mixup="signed"),
    )
    return few + tuple(replace(row, corpus="watertight_shapes") for row in few[:3])


def fold_rows() -> tuple[Row, ...]:
    """Rows of the available shapes in folds, which judge every shape; one view, then ten."""
    plain = Row(corpus="modelnet_like", folds=4)
    changed = (plain, replace(plain, augment="siren-negation"), replace(plain, mixup="aligned"))
    return tuple(replace(row, views=views) for views in (1, 10) for row in changed)


def plan_rows(views: int, shape_views: int, modelnet40: bool = False) -> tuple[Row, ...]:
    """Plan all rows, each once, the most informative first.

    Args:
        views: fits of each training image in the ten-view rows, ten except at the smallest scale;
            with 1 there are no such rows, and none with partners from other views.
        shape_views: the same for the available shapes.
        modelnet40: plan the rows of the real set, too.
    """
    first = (
        table_row("No augmentation", "dws", 1),
        table_row("Alignment + MixUp", "dws", 1),
        Row(model="signed"),
        Row(mixup="signed"),
        table_row("SIREN negation", "dws", 1),
        table_row("MixUp", "dws", 1),
        Row(model="signed", mixup="signed"),
        table_row("No augmentation", "dws", views),
        table_row("Alignment + MixUp", "dws", views),
        Row(model="signed", mixup="signed", views=views),
        Row(recipe="published"),
        Row(recipe="fast"),
        *(table_row(a, "dws", 1) for a in AUGMENTATIONS),
        *(Row(recipe=text) for text in RECIPES),
    )
    rest = (
        *beyond_rows(1)[:7],
        *(table_row(a, "dws", views) for a in AUGMENTATIONS),
        *(leaky_rows("dws") if views > 1 else ()),
        *beyond_rows(views)[:7],
        *size_rows(),
        *shape_rows(shape_views),
        *fold_rows(),
        *contrastive_rows(views),
        *(replace(row, pretrained="no") for row in contrastive_rows(views)),
        *(table_row(a, "gnn", 1) for a in ("No augmentation", *_FEW)),
        *beyond_rows(1),
        *beyond_rows(views),
        *(table_row(a, "gnn", v) for v in (1, views) for a in AUGMENTATIONS),
        *(leaky_rows("gnn") if views > 1 else ()),
    )
    # The paper has no three-dimensional rotations.
    solid = [a for a in AUGMENTATIONS if a != "Rotation"]
    real = [
        table_row(a, model, v, "modelnet40")
        for v in (1, 10)
        for model in ("dws", "gnn")
        for a in solid
    ]
    # A row named twice keeps its first place.
    return tuple(dict.fromkeys((*first, *rest, *(real if modelnet40 else ()))))


def choose_rows(rows: Sequence[Row], patterns: Sequence[str]) -> tuple[Row, ...]:
    """Choose the rows whose names match any shell pattern; without patterns, all.

    Raises ValueError for a pattern that no row matches.
    """
    for pattern in patterns:
        if not any(fnmatchcase(row.row_id, pattern) for row in rows):
            raise ValueError(
                f"rows needs patterns of row names, such as {rows[0].row_id}; none is {pattern!r}"
            )
    return tuple(
        row for row in rows if not patterns or any(fnmatchcase(row.row_id, p) for p in patterns)
    )
