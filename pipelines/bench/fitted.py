"""Fitted views of small images, in memory, for the alignment and time-to-quality benches."""

import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.config import Split
from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import reconstruction_psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import init_keys, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.engine import Engine, FitBatch
from inrgen.fit.engines import make_engine, resolve_engine
from inrgen.fit.recipes import Recipe, recipe
from inrgen.sources.base import BadSignal, SourceFacts
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Images of one size.

    Attributes:
        facts: facts of their source.
        values: pixel values; (s, n, d_out).
        grid: rows and columns.
        hashes: hashes of the items' ids; (s,).
        labels: class numbers, -1 for none; (s,).
    """

    facts: SourceFacts
    values: Float[Tensor, "s n d_out"]
    grid: tuple[int, ...]
    hashes: Int[Tensor, " s"]
    labels: Int[Tensor, " s"]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedViews:
    """INRs of some images, all views of an image together.

    Attributes:
        spec: their architecture.
        params: b INRs.
        items: each INR's position among the images; (b,).
        labels: class numbers; (b,).
        grid: rows and columns of the images.
        seconds: wall time of the fit.
    """

    spec: InrSpec
    params: Params
    items: Int[Tensor, " b"]
    labels: Int[Tensor, " b"]
    grid: tuple[int, ...]
    seconds: float

    def __len__(self) -> int:
        return len(self.params)


def load_images(config: SourceConfig) -> Images:
    """Read every image of a source.

    Raises ValueError where signals are not images of one size, or one cannot be read.
    """
    source = open_source(config)
    name, signals = source.facts.name, []
    for at, item in enumerate(source.items):
        try:
            signals.append(source.load(at))
        except BadSignal as bad:
            raise ValueError(f"{name} has an unreadable item, {item.item_id}: {bad}") from bad
    grids = {signal.grid for signal in signals}
    if len(grids) > 1 or () in grids:
        raise ValueError(f"{name} needs images of one size here; got {sorted(grids)[:3]}")
    return Images(
        facts=source.facts,
        values=torch.stack([signal.values for signal in signals]),
        grid=signals[0].grid,
        hashes=rng.hash_items(item.item_id for item in source.items),
        labels=torch.tensor([item.label for item in source.items]),
    )


def fit_images(images: Images, plan: Recipe, engine: Engine, views: int, seed: int) -> FittedViews:
    """Fit every image with a recipe, views times each, in one batch."""
    hashes = images.hashes.repeat_interleave(views)
    view = torch.arange(views).repeat(len(images))
    signal_of = torch.arange(len(images)).repeat_interleave(views)
    # Drawing the starting weights is timed, too, as it is part of every fit.
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
    """PSNR of each INR against its image; NaN where its fit failed."""
    coords = grid_coords(fitted.spec, images.grid)[None]
    return reconstruction_psnr_db(fitted.spec, fitted.params, coords, images.values, fitted.items)


def fit_views(
    data: str | None,
    split: Split,
    num_items: int,
    views: int,
    num_steps: int | None = None,
    seed: int = 0,
    small_last_layer: bool = False,
) -> FittedViews:
    """Fit views of images with the published recipe.

    Args:
        data: the folder that holds Fashion-MNIST; None takes the digits of scikit-learn.
        small_last_layer: start the last layer as small as the others and its bias at zero, as in
            this project's first study of learnability; the published recipe has torch's default.
    """
    name = "digits" if data is None else "fashion-mnist"
    # The first images, as when the figures of RESULTS.md were measured.
    images = load_images(
        SourceConfig(name=name, data=data, split=split, limit=num_items, limit_order="first")
    )
    plan = recipe("published", images.facts)
    fit = plan.fit if num_steps is None else replace(plan.fit, num_steps=num_steps)
    if small_last_layer:
        fit = replace(fit, init=replace(fit.init, last_layer="small"))
    plan = replace(plan, fit=fit)
    engine = make_engine(resolve_engine("auto", plan.spec, fit))
    return fit_images(images, plan, engine, views, seed)
