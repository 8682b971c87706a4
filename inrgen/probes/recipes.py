"""What a recipe costs and gives: time, quality, and how well a classifier learns from weights."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from inrgen.core.splits import Split
from inrgen.figures.style import save_figure
from inrgen.figures.trade import trade_figure
from inrgen.fit.engines import EngineChoice
from inrgen.fit.variants import parse_variant
from inrgen.probes.catalog import (
    PROBES,
    TRAINED,
    Learners,
    ProbeName,
    accuracy,
    differences,
    judged_shares,
)
from inrgen.probes.mlp import ProbeConfig
from inrgen.probes.recipe_fits import RecipeFits, fit_recipes
from inrgen.probes.recipe_row import MOST_DRAWN, RecipeRow, points, spread, table
from inrgen.probes.report import BenchReport
from inrgen.probes.subjects import Subjects, choose_subjects
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig

# Known before hours of fitting, and not only when the plot is saved.
_PLOTS = (".png", ".pdf", ".svg")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeBench:
    """Fit the same items by several recipes: the time, the quality, and what the weights teach.

    A recipe is [NAME][,KEY=VALUE]... without spaces: a name (published, which is meant where none
    is given, fast, sharp, for images signed, for shapes teach or inr2vec) and what differs. Keys:
    init=small|siren|X (first layer; X is that share of siren's bound), bias=zero|torch,
    last=torch|siren|small, shared=yes|no, steps, lr, decay, omega, schedule=constant|cosine,
    stop=DB|never. So fast,lr=1e-3 or init=small,last=small,steps=120.

    Quality is the mean PSNR of images, and the medians of IoU and Chamfer distance of shapes. What
    weights teach is told by probes, named by how they learn and what they see. mlp, set and kernel:
    a plain MLP, a small network that sees neither order nor signs of hidden units, and kernel ridge
    regression, for sources of a few hundred items. raw: the weights as they are; permutation and
    signed: aligned to the iterated mean of those learned from; kernel_set: what random networks see
    that see neither order nor signs; values: what the INRs' functions hold. PSNR alone must not
    choose a recipe: sharp fits from SIREN's own start teach next to nothing.

    Attributes:
        source: where items come from: any source of labelled images of one size, or of meshes.
        data: the folder that holds the data set; digits need none.
        recipes: what to compare, in the grammar above; the others also with the first one.
        train: items to learn from, the first so many of the train split.
        val: items that choose the epoch, the first of the val split.
        test: items that are classified, the first of the test split.
        folds: cross-validate on all of these items in so many folds, instead of by the source's
            splits; each is then classified once. 0 keeps to the splits.
        probes: who learns.
        engine: which engine fits: auto, torch, cpu or gpu.
        mlp: how the plain MLP is trained.
        set_model: how the network that sees neither order nor signs is trained.
        repeats: trainings of mlp and set, with one seed after the other; accuracies are their
            means.
        plot: a file to draw the trade into, .png, .pdf or .svg; without it nothing is drawn.
        seed: names all randomness, the same for every recipe.
        shape: how meshes become signals; no other source looks at it.
    """

    source: str = "digits"
    data: str | None = None
    recipes: tuple[str, ...] = ("published", "published,last=small", "fast", "sharp")
    train: int = 600
    val: int = 150
    test: int = 200
    folds: int = 0
    probes: tuple[ProbeName, ...] = TRAINED
    engine: EngineChoice = "auto"
    mlp: ProbeConfig = field(default_factory=ProbeConfig)
    set_model: ProbeConfig = field(default_factory=lambda: Learners().set_model)
    repeats: int = 2
    plot: str | None = None
    seed: int = 0
    shape: Annotated[ShapeConfig, tyro.conf.arg(name="")] = field(default_factory=ShapeConfig)

    def __post_init__(self) -> None:
        for name in ("train", "val", "test", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.folds != 0 and self.folds < 2:
            raise ValueError(f"folds must be 0 or from 2 on; got {self.folds}")
        for name, found in (("recipe", self.recipes), ("probe", self.probes)):
            if not found:
                raise ValueError(f"{name}s needs at least one {name}; got none")
            if len(set(found)) < len(found):
                raise ValueError(f"{name}s must differ; got {found}")
        for name in self.probes:
            if name not in PROBES:
                raise ValueError(f"probes must be among {', '.join(PROBES)}; got {name!r}")
        if self.plot is not None and Path(self.plot).suffix.lower() not in _PLOTS:
            raise ValueError(f"plot must end in one of {', '.join(_PLOTS)}; got {self.plot!r}")
        if self.plot is not None and len(self.probes) > MOST_DRAWN:
            raise ValueError(f"plot draws at most {MOST_DRAWN} probes; got {len(self.probes)}")
        for text in self.recipes:
            parse_variant(text)


def _silent(line: str) -> None:
    """Say nothing of the progress."""


def run(config: RecipeBench, progress: Callable[[str], None] = _silent) -> list[RecipeRow]:
    """Every recipe on the same items from the same seeds, one after the other.

    Raises ValueError for a source without labels, or with images of several sizes.
    """
    sizes: dict[Split, int] = {"train": config.train, "val": config.val, "test": config.test}
    source = open_source(SourceConfig(name=config.source, data=config.data, shape=config.shape))
    subjects = choose_subjects(source, sizes, config.folds)
    # All plans first: a recipe that is not for this source is refused before the first is fitted.
    plans = {text: parse_variant(text).plan(source.facts) for text in config.recipes}
    divisions = subjects.divide(config.folds, config.seed)
    learners = Learners(
        mlp=config.mlp, set_model=config.set_model, repeats=config.repeats, seed=config.seed
    )
    rows, first = [], {}
    for text, fits in fit_recipes(subjects, plans, config.engine, config.seed, progress):
        progress(f"{text}: learning from the weights")
        shares = judged_shares(
            fits.plan.spec, fits.params, subjects.labels, divisions, config.probes, learners
        )
        first = first or shares
        rows.append(
            _row(
                config,
                subjects,
                text,
                fits,
                accuracy={name: accuracy(share) for name, share in shares.items()},
                difference=differences(shares, first) if shares is not first else {},
            )
        )
    return rows


def _row(
    config: RecipeBench, subjects: Subjects, text: str, fits: RecipeFits, **found
) -> RecipeRow:
    """A recipe's figures."""
    psnr = spread(fits.psnr_db)
    return RecipeRow(
        recipe=text,
        source=config.source,
        engine=fits.engine,
        num_train=subjects.count("train"),
        num_val=subjects.count("val"),
        num_test=subjects.count("test"),
        folds=config.folds,
        num_failed=fits.num_failed,
        seconds_per_10k=fits.seconds * 10_000 / len(subjects),
        psnr_db=float(fits.psnr_db.nanmean()),
        psnr_p5_db=psnr.low,
        psnr_p95_db=psnr.high,
        iou=spread(fits.iou),
        chamfer=spread(fits.chamfer),
        **found,
    )


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is for the table alone."""
    sys.stderr.write(line + "\n")


def bench_recipe(config: RecipeBench) -> BenchReport:
    """The benchmark as a command, which says on stderr what it is at, and draws its plot."""
    rows = run(config, _say)
    if config.plot is not None:
        drawn, axis = points(rows)
        heading = f"{config.source}: what recipes cost, and what their weights teach"
        save_figure(trade_figure(drawn, heading, axis), config.plot)
    return BenchReport(rows=rows, table=table(rows))
