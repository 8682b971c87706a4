"""The same items fitted by several recipes: images at once, shapes a few at a time."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.fit.engine import Engine
from inrgen.fit.engines import EngineChoice, make_engine, resolve_engine
from inrgen.fit.recipes import Recipe
from inrgen.fit.views import FitPlan, FittedRows, fit_block
from inrgen.probes.fitted import fit_images, fitted_psnr_db, read_images
from inrgen.probes.subjects import Subjects
from inrgen.sources.base import BadSignal, Signal

# Prepared shapes held at once: megabytes each.
_SHAPES_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeFits:
    """One INR of each item by one recipe, NaN where the fit failed.

    seconds: that fitting took. Of shapes that is what a build counts, which measures PSNR, too.
    psnr_db, iou, chamfer: how well each INR stands for its item, as records have it; the latter two
        of shapes alone, else NaN.
    """

    plan: Recipe
    engine: str
    params: Params
    seconds: float
    psnr_db: Float[Tensor, " b"]
    iou: Float[Tensor, " b"]
    chamfer: Float[Tensor, " b"]

    @property
    def num_failed(self) -> int:
        """INRs without finite weights."""
        return int((~self.params.flat().isfinite().all(dim=1)).sum())


def fit_recipes(
    subjects: Subjects,
    plans: Mapping[str, Recipe],
    choice: EngineChoice,
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[tuple[str, RecipeFits]]:
    """The fits of each recipe, in their order. Starts depend on seed, item and recipe alone."""
    engines = {
        text: make_engine(resolve_engine(choice, plan.spec, plan.fit))
        for text, plan in plans.items()
    }
    if subjects.source.facts.value_kind == "intensity":
        yield from _of_images(subjects, plans, engines, seed, progress)
    else:
        yield from _of_shapes(subjects, plans, engines, seed, progress)


def _brief(plan: Recipe) -> Recipe:
    """A single step: the first fit of an architecture may compile, and should not be timed."""
    return replace(plan, fit=replace(plan.fit, num_steps=1))


def _of_images(
    subjects: Subjects,
    plans: Mapping[str, Recipe],
    engines: Mapping[str, Engine],
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[tuple[str, RecipeFits]]:
    images = read_images(subjects.source, subjects.places)
    none = torch.full((len(images),), math.nan, dtype=torch.float64)
    for text, plan in plans.items():
        progress(f"{text}: fitting {len(images):,} images")
        fit_images(images, _brief(plan), engines[text], 1, seed)
        fitted = fit_images(images, plan, engines[text], 1, seed)
        yield (
            text,
            RecipeFits(
                plan=plan,
                engine=engines[text].name,
                params=fitted.params,
                seconds=fitted.seconds,
                psnr_db=fitted_psnr_db(images, fitted),
                iou=none,
                chamfer=none,
            ),
        )


def _of_shapes(
    subjects: Subjects,
    plans: Mapping[str, Recipe],
    engines: Mapping[str, Engine],
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[tuple[str, RecipeFits]]:
    """Each shape is prepared once, which takes longer than a fit, and fitted by all recipes."""
    parts: dict[str, list[FittedRows]] = {text: [] for text in plans}
    for first in range(0, len(subjects), _SHAPES_AT_ONCE):
        items = subjects.items[first : first + _SHAPES_AT_ONCE]
        progress(f"shapes: {first:,} of {len(subjects):,} fitted by {len(plans)} recipes")
        signals = [_load(subjects, at) for at in range(first, first + len(items))]
        for text, plan in plans.items():
            job = FitPlan(spec=plan.spec, fit=plan.fit, seed=seed, views=1)
            if not first:
                fit_block(replace(job, fit=_brief(plan).fit), engines[text], items, signals, 0)
            parts[text].append(fit_block(job, engines[text], items, signals, first))
    for text, plan in plans.items():
        flat = torch.from_numpy(np.concatenate([part.flat for part in parts[text]]))
        records = [record for part in parts[text] for record in part.records]
        yield (
            text,
            RecipeFits(
                plan=plan,
                engine=engines[text].name,
                params=Params.from_flat(plan.spec, flat),
                seconds=sum(record.duration_s for record in records),
                psnr_db=torch.tensor([record.psnr_db for record in records]).double(),
                iou=torch.tensor([record.iou for record in records]).double(),
                chamfer=torch.tensor([record.chamfer for record in records]).double(),
            ),
        )


def _load(subjects: Subjects, at: int) -> Signal | BadSignal:
    """The signal of an item, or the reason why there is none."""
    try:
        return subjects.source.load(subjects.places[at])
    except BadSignal as bad:
        return bad
