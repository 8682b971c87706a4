"""Fitted views of small images, in memory: what alignment and recipes are measured on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.grid import grid_coords
from inrgen.core.metrics import reconstruction_psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import init_keys, initialise
from inrgen.core.spec import InrSpec
from inrgen.core.splits import Split
from inrgen.fit.engine import Engine, FitBatch
from inrgen.fit.engines import make_engine, resolve_engine
from inrgen.fit.recipes import Recipe, RecipeName, recipe
from inrgen.sources.base import BadSignal, Source, SourceFacts
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """The signals of a source, all on one grid, with the hashes of their ids and their labels."""

    facts: SourceFacts
    values: Float[Tensor, "s n d_out"]
    grid: tuple[int, ...]
    hashes: Int[Tensor, " s"]
    labels: Int[Tensor, " s"]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedViews:
    """INRs of some images, all views of an image together, and the time that fitting took."""

    spec: InrSpec
    params: Params
    items: Int[Tensor, " b"]
    labels: Int[Tensor, " b"]
    grid: tuple[int, ...]
    seconds: float

    def __len__(self) -> int:
        return len(self.params)

    def take(self, rows: Int[Tensor, " r"]) -> "FittedViews":
        """The INRs at rows."""
        return replace(
            self, params=self.params[rows], items=self.items[rows], labels=self.labels[rows]
        )


def load_images(config: SourceConfig) -> Images:
    """Read every image of a source.

    Raises ValueError for signals that are no images of one size, and for one that is unreadable.
    """
    source = open_source(config)
    return read_images(source, range(len(source.items)))


def read_images(source: Source, places: Sequence[int]) -> Images:
    """Read the images at places of a source. Raises ValueError as load_images does."""
    name = source.facts.name
    signals = []
    for at in places:
        try:
            signals.append(source.load(at))
        except BadSignal as bad:
            item_id = source.items[at].item_id
            raise ValueError(f"{name} has an unreadable item, {item_id}: {bad}") from bad
    grids = {signal.grid for signal in signals}
    if len(grids) > 1 or () in grids:
        raise ValueError(f"{name} needs images of one size here; got {sorted(grids)[:3]}")
    items = [source.items[at] for at in places]
    return Images(
        facts=source.facts,
        values=torch.stack([signal.values for signal in signals]),
        grid=signals[0].grid,
        hashes=rng.hash_items(item.item_id for item in items),
        labels=torch.tensor([item.label for item in items]),
    )


def fit_images(images: Images, plan: Recipe, engine: Engine, views: int, seed: int) -> FittedViews:
    """Fit so many views of each image by a recipe."""
    hashes = images.hashes.repeat_interleave(views)
    view = torch.arange(views).repeat(len(images))
    signal_of = torch.arange(len(images)).repeat_interleave(views)
    began = time.perf_counter()
    batch = FitBatch(
        coords=grid_coords(plan.spec, images.grid)[None],
        values=images.values,
        signal_of=signal_of,
        keys=rng.keys(seed, "fit", hashes, view),
        start=initialise(plan.spec, plan.fit.init, init_keys(seed, plan.fit.init, hashes, view)),
    )
    params = engine.fit(plan.spec, plan.fit, batch).params
    return FittedViews(
        spec=plan.spec,
        params=params,
        items=signal_of,
        labels=images.labels.repeat_interleave(views),
        grid=images.grid,
        seconds=time.perf_counter() - began,
    )


def fitted_psnr_db(images: Images, fitted: FittedViews) -> Float[Tensor, " b"]:
    """How well each INR stands for its image; NaN where its fit failed."""
    coords = grid_coords(fitted.spec, images.grid)[None]
    return reconstruction_psnr_db(fitted.spec, fitted.params, coords, images.values, fitted.items)


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

    small_last_layer starts the last layer as small as the others and its bias at zero, as the
    figures of this project's first study of learnability did; the published one is torch's
    default.
    """
    name = "digits" if data is None else "fashion-mnist"
    images = load_images(SourceConfig(name=name, data=data, split=split, limit=num_items))
    plan = recipe(recipe_name, images.facts)
    fit = plan.fit if num_steps is None else replace(plan.fit, num_steps=num_steps)
    if small_last_layer:
        fit = replace(fit, init=replace(fit.init, last_layer="small"))
    plan = replace(plan, fit=fit)
    engine = make_engine(resolve_engine("auto", plan.spec, fit))
    return fit_images(images, plan, engine, views, seed)
