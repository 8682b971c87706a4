"""Comparison of recipes: time, quality, and how well classifiers learn from the weights."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.config import Split
from inrgen.figures.trade import Measured, TradePoint
from inrgen.fit.variants import parse_variant
from inrgen.probes.catalog import (
    HEADS,
    Accuracy,
    accuracy,
    accuracy_text,
    check_probes,
    differences,
    judged_shares,
)
from inrgen.probes.config import Learners, ProbeName, ProbeRecipesConfig
from inrgen.probes.fits import RecipeFits, fit_recipes
from inrgen.probes.report import columns_text, ignore_progress
from inrgen.probes.subjects import Subjects, choose_subjects, read_pixels
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeRow:
    """Figures of one recipe.

    Attributes:
        recipe: the recipe as typed.
        source: the source by name.
        engine: the engine that fitted.
        num_train, num_val, num_test: items of each split.
        folds: folds of the cross-validation over all items; 0 where the splits were used.
        num_failed: fits without finite weights. All other figures leave them out, and are NaN
            where nothing is left.
        seconds_per_10k: seconds to fit 10,000 INRs with this engine on all cores of this machine.
        psnr_db, psnr_p5_db, psnr_p95_db: mean and percentiles over all items.
        iou, chamfer: medians over shapes, between the 5th and the 95th percentile; else NaN.
        crumbed, crumb_area: share of the shapes with crumbs, and the mean share of crumbs in the
            area of their surfaces, both 0 to 1; else NaN.
        accuracy: accuracy of each probe.
        difference: gain over the first recipe, INR by INR; empty for the first.
    """

    recipe: str
    source: str
    engine: str
    num_train: int
    num_val: int
    num_test: int
    folds: int
    num_failed: int
    seconds_per_10k: float
    psnr_db: float
    psnr_p5_db: float
    psnr_p95_db: float
    iou: Measured
    chamfer: Measured
    crumbed: float
    crumb_area: float
    accuracy: dict[ProbeName, Accuracy]
    difference: dict[ProbeName, Accuracy]


def compare_recipes(
    config: ProbeRecipesConfig, progress: Callable[[str], None] = ignore_progress
) -> list[RecipeRow]:
    """Fit the same items from the same seeds with each recipe, and probe the weights.

    Raises ValueError for a source without labels, and for a recipe unfit for it.
    """
    sizes: dict[Split, int] = {"train": config.train, "val": config.val, "test": config.test}
    source = open_source(SourceConfig(name=config.source, data=config.data, shape=config.shape))
    subjects = choose_subjects(source, sizes, config.folds, config.limit_order)
    # Plan all recipes first, so that one unfit for this source is refused before any is fitted.
    plans = {text: parse_variant(text).plan(source.facts) for text in config.recipes}
    for plan in plans.values():
        check_probes(plan.spec, config.probes)
    divisions = subjects.divide(config.folds, config.seed)
    learners = Learners(
        mlp=config.mlp, set_model=config.set_model, repeats=config.repeats, seed=config.seed
    )
    pixels = read_pixels(source, subjects.places) if "mlp_pixels" in config.probes else None
    rows, first = [], {}
    for text, fits in fit_recipes(subjects, plans, config.engine, config.seed, progress):
        progress(f"{text}: learning from the weights")
        shares = judged_shares(
            fits.plan.spec,
            fits.params,
            subjects.labels,
            divisions,
            config.probes,
            learners,
            pixels,
        )
        first = first or shares
        gains = differences(shares, first) if shares is not first else {}
        rows.append(_row(config, subjects, text, fits, shares, gains))
    return rows


def _row(
    config: ProbeRecipesConfig,
    subjects: Subjects,
    text: str,
    fits: RecipeFits,
    shares: Mapping[ProbeName, Float[Tensor, " b"]],
    gains: dict[ProbeName, Accuracy],
) -> RecipeRow:
    """Sum up the figures of a recipe."""
    # Failed fits have no PSNR, IoU or Chamfer distance: NaN, which all summaries skip.
    psnr = spread(fits.psnr_db)
    crumbs = fits.crumbs[~fits.crumbs.isnan()]
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
        # math.nan itself, which equals itself in comparisons of rows; a new NaN does not.
        crumbed=float((crumbs > 0).double().mean()) if len(crumbs) else math.nan,
        crumb_area=float(crumbs.mean()) if len(crumbs) else math.nan,
        accuracy={name: accuracy(share) for name, share in shares.items()},
        difference=gains,
    )


def spread(values: Float[Tensor, " b"]) -> Measured:
    """Median, 5th and 95th percentile of the values that are not NaN; NaN where none is."""
    kept = values[~values.isnan()].double()
    if not len(kept):
        return Measured(value=math.nan, low=math.nan, high=math.nan)
    low, median, high = torch.quantile(kept, torch.tensor([0.05, 0.5, 0.95]).double()).tolist()
    return Measured(value=median, low=low, high=high)


def _psnr(row: RecipeRow) -> Measured:
    return Measured(value=row.psnr_db, low=row.psnr_p5_db, high=row.psnr_p95_db)


def _range_text(found: Measured, digits: int) -> str:
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}-{found.high:.{digits}f})"


def _has_shapes(rows: Sequence[RecipeRow]) -> bool:
    return not all(math.isnan(row.iou.value) for row in rows)


def recipe_table(rows: Sequence[RecipeRow]) -> str:
    """Print seconds per 10,000 INRs, quality, test accuracies, and gains over the first recipe."""
    first = rows[0]
    total = first.num_train + first.num_val + first.num_test
    parts = f"{first.num_train:,} items to learn from, {first.num_test:,} to test"
    if first.folds:
        parts = f"{total:,} items, {first.folds} folds"
    about = f"{first.source}, engine {first.engine}: {parts}; accuracies in %, ± standard error"
    columns = {"recipe": lambda row: row.recipe, "s/10k": lambda row: f"{row.seconds_per_10k:.0f}"}
    if _has_shapes(rows):
        columns["IoU (5-95 %)"] = lambda row: _range_text(row.iou, 2)
        columns["Chamfer (5-95 %)"] = lambda row: _range_text(row.chamfer, 3)
        columns["with crumbs (area)"] = lambda row: f"{row.crumbed:.0%} ({row.crumb_area:.1%})"
    else:
        columns["PSNR dB (5-95 %)"] = lambda row: _range_text(_psnr(row), 1)
    for probe in first.accuracy:
        columns[HEADS[probe]] = lambda row, probe=probe: accuracy_text(row.accuracy[probe])
    columns["failed"] = lambda row: str(row.num_failed)
    lines = [about, "", columns_text(columns, rows, 1)]
    # Paired differences resolve more than the accuracies above them.
    if len(rows) > 1:
        gains = {f"points on {first.recipe}": lambda row: row.recipe}
        for probe in first.accuracy:
            gains[HEADS[probe]] = lambda row, probe=probe: accuracy_text(row.difference[probe], "+")
        lines += ["", columns_text(gains, rows[1:], 1)]
    return "\n".join(lines)


def trade_points(rows: Sequence[RecipeRow]) -> tuple[list[TradePoint], str]:
    """Points of the trade-off plot, and the label of its quality axis (IoU or PSNR)."""
    of_shapes = _has_shapes(rows)
    name = "IoU: median" if of_shapes else "PSNR (dB): mean"
    drawn = [
        TradePoint(
            name=row.recipe,
            seconds=row.seconds_per_10k,
            quality=row.iou if of_shapes else _psnr(row),
            accuracy={
                HEADS[probe]: Measured(
                    value=found.percent,
                    low=found.percent - found.standard_error,
                    high=found.percent + found.standard_error,
                )
                for probe, found in row.accuracy.items()
            },
        )
        for row in rows
    ]
    return drawn, f"{name}, 5th to 95th percentile"
