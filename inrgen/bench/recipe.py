"""What a recipe costs and gives: time, PSNR, and how well a classifier learns from the weights."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.bench.fitted import FittedViews, Images, fit_images, fitted_psnr_db, load_images
from inrgen.bench.probe import Accuracy, LabelledRows, ProbeConfig, mean_accuracy, mlp_hits
from inrgen.bench.report import BenchReport
from inrgen.bench.set_probe import set_hits
from inrgen.bench.variants import parse_variant
from inrgen.core.matching import MatchConfig, match
from inrgen.core.splits import Split
from inrgen.core.symmetry import Kind
from inrgen.core.template import iterated_mean
from inrgen.figures.style import save_figure
from inrgen.figures.trade import Measured, TradePoint, trade_figure
from inrgen.fit.engines import EngineChoice, make_engine, resolve_engine
from inrgen.fit.recipes import Recipe
from inrgen.sources.config import SourceConfig

_ALIGNED: dict[str, Kind] = {"mlp_permutation": "permutation", "mlp_signed": "signed"}
# Known before hours of fitting, and not only when the plot is saved.
_PLOTS = (".png", ".pdf", ".svg")
PROBES = ("mlp_raw", *_ALIGNED, "set_raw")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeBench:
    """Fit the same images by several recipes: the time, the PSNR, and what the weights teach.

    A recipe is [NAME][,KEY=VALUE]... without spaces: a name (published, which is meant where none
    is given, fast or sharp) and what differs from it. Keys: init=small|siren (first layer),
    bias=zero|torch, last=torch|siren|small, shared=yes|no, steps, lr, decay, omega,
    schedule=constant|cosine, stop=DB|never. So fast,lr=1e-3 or init=small,last=small,steps=120.

    Test accuracies come from a plain MLP on raw weights and on weights aligned to the iterated
    mean of the training rows, by permutations alone and with signs; and from a small network that
    sees neither order nor signs of hidden units, on raw weights. PSNR alone must not choose a
    recipe: sharp fits from SIREN's own start teach next to nothing.

    Attributes:
        source: where images come from: any source of labelled images of one size.
        data: the folder that holds the data set; digits need none.
        recipes: what to compare, in the grammar above.
        train: images to learn from, the first so many of the train split.
        val: images that choose the epoch, the first of the val split.
        test: images that are classified, the first of the test split.
        engine: which engine fits: auto, torch, cpu or gpu.
        mlp: how the plain MLP is trained.
        set_model: how the network that sees neither order nor signs is trained.
        repeats: trainings of each probe, with one seed after the other; accuracies are their means.
        plot: a file to draw the trade into, .png, .pdf or .svg; without it nothing is drawn.
        seed: names all randomness, the same for every recipe.
    """

    source: str = "digits"
    data: str | None = None
    recipes: tuple[str, ...] = ("published", "published,last=small", "fast", "sharp")
    train: int = 600
    val: int = 150
    test: int = 200
    engine: EngineChoice = "auto"
    mlp: ProbeConfig = field(default_factory=ProbeConfig)
    set_model: ProbeConfig = field(
        default_factory=lambda: ProbeConfig(hidden=64, dropout=0.2, lr=2e-3, batch=64, epochs=16)
    )
    repeats: int = 2
    plot: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train", "val", "test", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not self.recipes:
            raise ValueError("recipes needs at least one recipe; got none")
        if self.plot is not None and Path(self.plot).suffix.lower() not in _PLOTS:
            raise ValueError(f"plot must end in one of {', '.join(_PLOTS)}; got {self.plot!r}")
        for text in self.recipes:
            parse_variant(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeRow:
    """One recipe.

    recipe: as it was typed. num_failed: fits that ended without finite weights, which all other
        figures leave out; a figure that has nothing left is NaN.
    seconds_per_10k: time to fit 10,000 INRs with this engine on all cores of this machine.
    psnr_db, psnr_p5_db, psnr_p95_db: mean and percentiles over all images.
    accuracy: by probe: mlp_raw, mlp_permutation, mlp_signed, set_raw.
    """

    recipe: str
    source: str
    engine: str
    num_train: int
    num_val: int
    num_test: int
    num_failed: int
    seconds_per_10k: float
    psnr_db: float
    psnr_p5_db: float
    psnr_p95_db: float
    accuracy: dict[str, Accuracy]


Splits = dict[Split, Images]
Fits = dict[Split, FittedViews]


def _silent(line: str) -> None:
    """Say nothing of the progress."""


def run(config: RecipeBench, progress: Callable[[str], None] = _silent) -> list[RecipeRow]:
    """Every recipe on the same images from the same seeds, one after the other.

    Raises ValueError for a source without labels, or with images of several sizes.
    """
    sizes: dict[Split, int] = {"train": config.train, "val": config.val, "test": config.test}
    images: Splits = {
        split: load_images(
            SourceConfig(name=config.source, data=config.data, split=split, limit=limit)
        )
        for split, limit in sizes.items()
    }
    for split, part in images.items():
        if int(part.labels.min()) < 0:
            raise ValueError(f"source needs a label for every image; {config.source} lacks {split}")
    # All plans first: a recipe that is not for this source is refused before the first is fitted.
    plans = {text: parse_variant(text).plan(images["train"].facts) for text in config.recipes}
    rows = []
    for text in config.recipes:
        progress(f"{text}: fitting {sum(map(len, images.values())):,} images")
        rows.append(_measure(config, text, plans[text], images, progress))
    return rows


def _measure(
    config: RecipeBench,
    text: str,
    plan: Recipe,
    images: Splits,
    progress: Callable[[str], None],
) -> RecipeRow:
    """Fit, measure, leave failed fits out, and learn from the others."""
    name = resolve_engine(config.engine, plan.spec, plan.fit)
    engine = make_engine(name)
    # The first fit of a shape may compile; this one is not counted.
    brief = replace(plan, fit=replace(plan.fit, num_steps=1))
    fit_images(images["val"], brief, engine, 1, config.seed)
    fits: Fits = {
        split: fit_images(part, plan, engine, 1, config.seed) for split, part in images.items()
    }
    num = sum(map(len, fits.values()))
    psnr = torch.cat([fitted_psnr_db(images[split], fit) for split, fit in fits.items()])
    fits = {split: _finite(fit) for split, fit in fits.items()}
    progress(f"{text}: learning from {len(fits['train']):,} INRs")
    psnr_db, low, high = _spread(psnr)
    return RecipeRow(
        recipe=text,
        source=config.source,
        engine=name,
        num_train=len(images["train"]),
        num_val=len(images["val"]),
        num_test=len(images["test"]),
        num_failed=num - sum(map(len, fits.values())),
        seconds_per_10k=sum(fit.seconds for fit in fits.values()) * 10_000 / num,
        psnr_db=psnr_db,
        psnr_p5_db=low,
        psnr_p95_db=high,
        accuracy=_accuracies(config, fits),
    )


def _spread(psnr_db: Float[Tensor, " b"]) -> tuple[float, float, float]:
    """Mean, 5th and 95th percentile of what is not NaN; NaN if nothing is."""
    kept = psnr_db[~psnr_db.isnan()]
    if not len(kept):
        return math.nan, math.nan, math.nan
    low, high = torch.quantile(kept, torch.tensor([0.05, 0.95], dtype=kept.dtype)).tolist()
    return float(kept.mean()), low, high


def _finite(fit: FittedViews) -> FittedViews:
    return fit.take(fit.params.flat().isfinite().all(dim=1).nonzero()[:, 0])


def _accuracies(config: RecipeBench, fits: Fits) -> dict[str, Accuracy]:
    """Every probe on the INRs of one recipe."""
    if not all(map(len, fits.values())):
        return dict.fromkeys(PROBES, Accuracy(percent=math.nan, standard_error=math.nan))
    spec, raw = fits["train"].spec, _rows(fits)
    rows = {"mlp_raw": raw} | {name: _rows(_aligned(fits, k)) for name, k in _ALIGNED.items()}
    # One MLP config and one seed for all recipes, so that they differ by their weights alone.
    mlp = replace(config.mlp, seed=config.mlp.seed + config.seed)
    found = {
        name: mean_accuracy(mlp, config.repeats, lambda c, parts=parts: mlp_hits(*parts, c))
        for name, parts in rows.items()
    }
    units = replace(config.set_model, seed=config.set_model.seed + config.seed)
    found["set_raw"] = mean_accuracy(units, config.repeats, lambda c: set_hits(spec, *raw, c))
    return found


def _rows(fits: Fits) -> tuple[LabelledRows, LabelledRows, LabelledRows]:
    """Train, val and test as the probes take them."""
    train, val, test = (
        LabelledRows(flat=fits[split].params.flat(), labels=fits[split].labels)
        for split in ("train", "val", "test")
    )
    return train, val, test


def _aligned(fits: Fits, kind: Kind) -> Fits:
    """All splits aligned to a template that is made of train alone."""
    spec, search = fits["train"].spec, MatchConfig(kind=kind)
    template = iterated_mean(spec, fits["train"].params, config=search)
    return {
        split: replace(fit, params=match(spec, template, fit.params, search).aligned)
        for split, fit in fits.items()
    }


_HEADS = {
    "mlp_raw": "MLP raw",
    "mlp_permutation": "MLP permuted",
    "mlp_signed": "MLP signed",
    "set_raw": "set model",
}


def table(rows: Sequence[RecipeRow]) -> str:
    """Rows as text: seconds for 10,000 INRs, PSNR in dB, test accuracies in %."""
    columns = [
        ["recipe", *(row.recipe for row in rows)],
        ["s/10k", *(f"{row.seconds_per_10k:.0f}" for row in rows)],
        [
            "PSNR dB (5-95 %)",
            *(f"{r.psnr_db:.1f} ({r.psnr_p5_db:.1f}-{r.psnr_p95_db:.1f})" for r in rows),
        ],
        *(
            [head, *(f"{a.percent:.1f} ±{a.standard_error:.1f}" for a in _of(rows, probe))]
            for probe, head in _HEADS.items()
        ),
        ["failed", *(str(row.num_failed) for row in rows)],
    ]
    padded = []
    for at, column in enumerate(columns):
        size = max(map(len, column))
        padded.append([text.rjust(size) if at else text.ljust(size) for text in column])
    lines = ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]
    first = rows[0]
    about = (
        f"{first.source}, engine {first.engine}: {first.num_train:,} images to learn from, "
        f"{first.num_test:,} to test; test accuracies in %"
    )
    return "\n".join([about, "", *lines])


def _of(rows: Sequence[RecipeRow], probe: str) -> list[Accuracy]:
    return [row.accuracy[probe] for row in rows]


def _point(row: RecipeRow) -> TradePoint:
    shown = {"signed-aligned MLP": "mlp_signed", "set model": "set_raw"}
    return TradePoint(
        name=row.recipe,
        seconds=row.seconds_per_10k,
        psnr_db=Measured(value=row.psnr_db, low=row.psnr_p5_db, high=row.psnr_p95_db),
        accuracy={
            label: Measured(
                value=a.percent, low=a.percent - a.standard_error, high=a.percent + a.standard_error
            )
            for label, a in ((label, row.accuracy[probe]) for label, probe in shown.items())
        },
    )


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is for the table alone."""
    sys.stderr.write(line + "\n")


def bench_recipe(config: RecipeBench) -> BenchReport:
    """The benchmark as a command, which says on stderr what it is at, and draws its plot."""
    rows = run(config, _say)
    if config.plot is not None:
        heading = f"{config.source}: what {rows[0].num_train:,} INRs a recipe teach"
        save_figure(trade_figure([_point(row) for row in rows], heading), config.plot)
    return BenchReport(rows=rows, table=table(rows))
