"""Fitted views of small images, in memory: what alignment is measured on."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.grid import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import init_keys, initialise
from inrgen.core.spec import InrSpec
from inrgen.core.splits import Split
from inrgen.fit.engine import FitBatch
from inrgen.fit.engines import make_engine, resolve_engine
from inrgen.fit.recipes import RecipeName, recipe
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedViews:
    """INRs of the first items of a split, all views of an item together."""

    spec: InrSpec
    params: Params
    items: Int[Tensor, " b"]
    labels: Int[Tensor, " b"]
    grid: tuple[int, ...]


def fit_views(
    data: str | None,
    split: Split,
    num_items: int,
    views: int,
    recipe_name: RecipeName = "published",
    num_steps: int | None = None,
    seed: int = 0,
    small_last_layer: bool = False,
) -> FittedViews:
    """Fit views of Fashion-MNIST images where data is the folder that holds it, else of digits.

    small_last_layer starts the last layer as small as the others, as the figures of this
    project's first study of learnability did; the published one is torch's default.
    """
    name = "digits" if data is None else "fashion-mnist"
    source = open_source(SourceConfig(name=name, data=data, split=split, limit=num_items))
    plan = recipe(recipe_name, source.facts)
    fit = plan.fit if num_steps is None else replace(plan.fit, num_steps=num_steps)
    if small_last_layer:
        fit = replace(fit, init=replace(fit.init, last_layer="siren"))
    signals = [source.load(index) for index in range(len(source.items))]
    grid = signals[0].grid
    hashes = rng.hash_items(item.item_id for item in source.items).repeat_interleave(views)
    view = torch.arange(views).repeat(len(signals))
    keys = rng.keys(seed, "fit", hashes, view)
    batch = FitBatch(
        coords=grid_coords(plan.spec, grid)[None],
        values=torch.stack([signal.values for signal in signals]),
        signal_of=torch.arange(len(signals)).repeat_interleave(views),
        keys=keys,
        start=initialise(plan.spec, fit.init, init_keys(seed, fit.init, hashes, view)),
    )
    engine = make_engine(resolve_engine("auto", plan.spec, fit))
    return FittedViews(
        spec=plan.spec,
        params=engine.fit(plan.spec, fit, batch).params,
        items=batch.signal_of,
        labels=torch.tensor([i.label for i in source.items]).repeat_interleave(views),
        grid=grid,
    )
