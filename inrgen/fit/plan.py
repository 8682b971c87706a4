"""What a build is: everything that decides its result, settled before any work."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engines import EngineChoice, resolve_engine
from inrgen.fit.recipes import RecipeName, recipe
from inrgen.fit.views import FitPlan
from inrgen.sources.base import SourceFacts
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import items_digest
from inrgen.store.layout import Layout
from inrgen.store.reader import Store

# A block of shapes has then 250 rows at most: 3 minutes on one core with the default recipe.
_SHAPE_CHUNK_ROWS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """Fit many views of every item of a source into a store; the same command again resumes.

    The result depends on the source and on all that comes before workers; the rest changes only
    how long it takes.

    Attributes:
        source: the data set.
        out: the store's folder, made where there is none, or s3://BUCKET/PREFIX.
        views: fits of each item, each from a random initialisation of its own.
        recipe: published as the augmentation study fits, fast for weights that teach as well in
            less time, signed for images whose weights teach more once aligned with signs and to
            networks that know signs, sharp for reconstruction (its weights teach a classifier
            little), teach for shapes whose weights teach, at the cost of detail, inr2vec for shapes
            in that study's large network.
        engine: what does the fitting; auto takes the fastest that can.
        seed: names all randomness of the build.
        stop_psnr: a fit stops early at this PSNR, in dB, instead of the recipe's (40 dB, but for
            sharp); inf never stops.
        num_steps: updates at most, instead of the recipe's.
        lr: learning rate, instead of the recipe's.
        hidden: widths of the hidden layers, instead of the recipe's.
        omega: frequency of every sine layer, instead of the recipe's.
        shared: start view v of every item from the same weights, so that items lie side by side
            unaligned and their weights teach as they are; the views of an item still differ.
        min_psnr: rows under this PSNR, in dB, are marked below_target.
        workers: fits at a time, one core each; 0 is this process alone, without Ray; by default
            every core that Ray has.
        address: a running Ray cluster, "auto" or "HOST:PORT"; by default one is started here.
        gpu_share: for engine gpu: the share of a GPU that each worker holds. With a quarter, one
            fits while others read, measure and write; 1 needs the least memory.
    """

    source: Annotated[SourceConfig, tyro.conf.arg(name=""), tyro.conf.PositionalRequiredArgs]
    out: StoreArgument
    views: int = 10
    recipe: RecipeName = "published"
    engine: EngineChoice = "auto"
    seed: int = 0
    stop_psnr: float | None = None
    num_steps: int | None = None
    lr: float | None = None
    hidden: tuple[int, ...] | None = None
    omega: float | None = None
    shared: bool = False
    min_psnr: float | None = None
    workers: int | None = None
    address: str | None = None
    gpu_share: float = 0.25

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views must be at least 1; got {self.views}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must be 0 (this process alone) or more; got {self.workers}")
        if not 0 < self.gpu_share <= 1:
            raise ValueError(f"gpu_share must be over 0 and at most 1; got {self.gpu_share}")
        # records hold it in 64 bits
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed must fit into 64 bits with its sign; got {self.seed}")
        if self.min_psnr is not None and not math.isfinite(self.min_psnr):
            raise ValueError(f"min_psnr must be finite, or left out; got {self.min_psnr}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildPlan:
    """All that decides a build's result."""

    source: SourceConfig
    items_sha256: str
    recipe: RecipeName
    job: FitPlan
    engine: str
    layout: Layout

    @property
    def identity(self) -> dict[str, Any]:
        """What the store notes of it, and what a build that resumes is held to."""
        return {
            "source": self.source.identity(),
            "items": {
                "count": self.layout.rows // self.layout.views,
                "sha256": self.items_sha256,
            },
            "recipe": self.recipe,
            "spec": self.job.spec.to_dict(),
            "fit": self.job.fit.to_dict(),
            "engine": self.engine,
            "seed": self.job.seed,
            "views": self.job.views,
            "min_psnr_db": self.job.min_psnr_db,
        }


def _networks(config: BuildConfig, facts: SourceFacts) -> tuple[InrSpec, FitConfig]:
    """The recipe, with the changes that were asked for."""
    chosen = recipe(config.recipe, facts)
    spec, fit = chosen.spec, chosen.fit
    if config.hidden is not None:
        widths = (spec.d_in, *config.hidden, spec.d_out)
        spec = replace(spec, widths=widths, omega=(spec.omega[0],) * len(config.hidden))
    if config.omega is not None:
        spec = replace(spec, omega=(config.omega,) * spec.num_hidden)
    if config.stop_psnr is not None:
        never = config.stop_psnr == math.inf
        fit = replace(fit, stop_psnr_db=None if never else config.stop_psnr)
    if config.num_steps is not None:
        fit = replace(fit, num_steps=config.num_steps)
    if config.lr is not None:
        fit = replace(fit, lr=config.lr)
    if config.shared:
        fit = replace(fit, init=replace(fit.init, shared=True))
    return spec, fit


def _layout(num_items: int, views: int, facts: SourceFacts) -> Layout:
    """The cut of the rows into blocks: for shapes, which take a second a fit, some minutes each."""
    rows = num_items * views
    if facts.d_in == 3:
        return Layout(rows=rows, views=views, max_chunk_rows=_SHAPE_CHUNK_ROWS)
    return Layout(rows=rows, views=views)


def plan_build(config: BuildConfig) -> BuildPlan:
    """Read the source's list of items and settle everything that the result depends on."""
    source = open_source(config.source)
    spec, fit = _networks(config, source.facts)
    return BuildPlan(
        source=config.source,
        items_sha256=items_digest(source.items),
        recipe=config.recipe,
        job=FitPlan(
            spec=spec, fit=fit, seed=config.seed, views=config.views, min_psnr_db=config.min_psnr
        ),
        engine=resolve_engine(config.engine, spec, fit),
        layout=_layout(len(source.items), config.views, source.facts),
    )


def source_again(store: Store, data: str | None) -> SourceConfig:
    """The source that a store was built from, read from the store itself.

    Of a derived store it is the source of the first of its ancestors.

    Args:
        data: where the source's files are now; a store does not note where they were.
    """
    noted = store.built_identity.get("source")
    if not isinstance(noted, dict):
        raise ValueError(f"{store.path} was not made by `inrgen build`: it notes no source")
    return SourceConfig.from_identity(noted, data)


def plan_again(store: Store, data: str | None) -> BuildPlan:
    """The plan that a store was built by, read from the store itself; data as in source_again.

    Raises:
        ValueError: the store was not made by a build, or the source's items are not those it had.
    """
    noted, source = store.identity, source_again(store, data)
    plan = BuildPlan(
        source=source,
        items_sha256=items_digest(open_source(source).items),
        recipe=noted["recipe"],
        job=FitPlan(
            spec=store.spec,
            fit=FitConfig.from_dict(noted["fit"]),
            seed=noted["seed"],
            views=noted["views"],
            min_psnr_db=noted["min_psnr_db"],
        ),
        engine=noted["engine"],
        layout=store.layouts[store.spec.spec_id],
    )
    if plan.identity != noted:
        raise ValueError(
            f"{store.path} was built from other items of {source.name} than those found now, or by "
            "another version of inrgen"
        )
    return plan
