"""Fits in memory: the same items by several recipes."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.build_config import EngineChoice
from inrgen.fit.config import FitPlan
from inrgen.fit.crumbs import measure_crumbs
from inrgen.fit.engines import make_engine, resolve_engine
from inrgen.fit.recipes import Recipe
from inrgen.fit.views import FittedRows, fit_block
from inrgen.probes.subjects import Subjects
from inrgen.sources.base import BadSignal, Signal
from inrgen.sources.bounds import load_item
from inrgen.store.records import FitRecord

# Signals held at once. A prepared shape takes megabytes, and longer to make than to fit.
_SHAPES_AT_ONCE, _IMAGES_AT_ONCE = 8, 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeFits:
    """An INR of each subject by one recipe; NaN weights where the fit failed.

    Attributes:
        plan: the recipe.
        engine: the engine that fitted.
        params: b INRs.
        seconds: time of the fits as records have it, which includes measuring PSNR.
        psnr_db, iou, chamfer: quality as records have it; the latter two of shapes, else NaN; (b,).
        crumbs: crumbs' share of the area of a shape's surface; NaN where there is none; (b,).
    """

    plan: Recipe
    engine: str
    params: Params
    seconds: float
    psnr_db: Float[Tensor, " b"]
    iou: Float[Tensor, " b"]
    chamfer: Float[Tensor, " b"]
    crumbs: Float[Tensor, " b"]

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
    """Fit the subjects with each recipe, as a build would, and load each signal once.

    Starts depend on seed, item and recipe alone.
    """
    engines = {
        text: make_engine(resolve_engine(choice, plan.spec, plan.fit))
        for text, plan in plans.items()
    }
    of_images = subjects.source.facts.value_kind == "intensity"
    step = _IMAGES_AT_ONCE if of_images else _SHAPES_AT_ONCE
    # All recipes fit a group of signals before the next group is loaded.
    parts: dict[str, list[FittedRows]] = {text: [] for text in plans}
    crumbs: dict[str, list[float]] = {text: [] for text in plans}
    for first in range(0, len(subjects), step):
        items = subjects.items[first : first + step]
        places = subjects.places[first : first + len(items)]
        signals = [load_item(subjects.source, place) for place in places]
        for text, plan in plans.items():
            progress(f"{text}: fitting items from {first:,} of {len(subjects):,}")
            job = FitPlan(spec=plan.spec, fit=plan.fit, seed=seed, views=1)
            if not first:
                # The first fit of an architecture may compile, which must not be timed.
                warm_up = replace(job, fit=replace(plan.fit, num_steps=1))
                fit_block(warm_up, engines[text], items, signals, 0, start=plan.start)
            fitted = fit_block(job, engines[text], items, signals, first, start=plan.start)
            parts[text].append(fitted)
            crumbs[text] += _crumb_shares(plan.spec, fitted, signals)
    for text, plan in plans.items():
        yield text, _joined(plan, engines[text].name, parts[text], crumbs[text])


def _crumb_shares(
    spec: InrSpec, fitted: FittedRows, signals: list[Signal | BadSignal]
) -> list[float]:
    """Crumbs' share of the surface of each INR; NaN for images and where there is no surface."""
    shares = []
    for row, signal in zip(torch.from_numpy(fitted.flat), signals, strict=True):
        crumbs, reference = None, None if isinstance(signal, BadSignal) else signal.reference
        # Unsigned distances have no inside, so crumbs do not show.
        if reference is not None and reference.sign != "none" and row.isfinite().all():
            crumbs = measure_crumbs(spec, Params.from_flat(spec, row[None]), reference)
        shares.append(math.nan if crumbs is None else crumbs.area_share)
    return shares


def _joined(plan: Recipe, engine: str, parts: list[FittedRows], crumbs: list[float]) -> RecipeFits:
    records = [record for part in parts for record in part.records]

    def column(read: Callable[[FitRecord], float]) -> Float[Tensor, " b"]:
        return torch.tensor([read(record) for record in records]).double()

    # Failed fits keep their NaN rows, so that the rows of two recipes pair up item by item.
    flat = torch.from_numpy(np.concatenate([part.flat for part in parts]))
    return RecipeFits(
        plan=plan,
        engine=engine,
        params=Params.from_flat(plan.spec, flat),
        seconds=sum(record.duration_s for record in records),
        psnr_db=column(lambda record: record.psnr_db),
        iou=column(lambda record: record.iou),
        chamfer=column(lambda record: record.chamfer),
        crumbs=torch.tensor(crumbs).double(),
    )
