"""Build a store: every view of every item of a source, fitted, written and committed once."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import tyro

from inrgen.fit.block import ViewsJob, fit_block
from inrgen.fit.engines import EngineChoice, make_engine, resolve_engine
from inrgen.fit.ray_pool import PoolConfig, run_tasks
from inrgen.fit.recipes import RecipeName, recipe
from inrgen.journeys.progress import show_progress
from inrgen.sources.base import BadSignal, Item, Signal, Source
from inrgen.sources.config import SourceConfig
from inrgen.sources.catalog import open_source
from inrgen.sources.items import items_digest
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.quality import Quality, measure_quality
from inrgen.store.reader import open_store
from inrgen.store.writer import StagedBlock, StoreWriter, stage_block


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """Fit many views of every item of a source into a store; the same command again resumes.

    The result depends on the source and on all that comes before workers; workers and address
    change only how long it takes.

    Attributes:
        source: the data set.
        out: the store's folder; made where there is none.
        views: fits of each item, each from a random initialisation of its own.
        recipe: "published" as the augmentation study fits, "fast" for about the same weights in
            less time, "sharp" for reconstruction (its weights teach a classifier little).
        engine: what does the fitting; auto takes the fastest that can.
        seed: names all randomness of the build.
        stop_psnr: a fit stops early at this PSNR, in dB, instead of the recipe's (40 dB, but for
            sharp); inf never stops.
        num_steps: updates at most, instead of the recipe's.
        lr: learning rate, instead of the recipe's.
        hidden: widths of the hidden layers, instead of the recipe's.
        omega: frequency of every sine layer, instead of the recipe's.
        min_psnr: rows under this PSNR, in dB, are marked below_target.
        workers: fits at a time, one core each; 0 is this process alone, without Ray; by default
            every core that Ray has.
        address: a running Ray cluster, "auto" or "HOST:PORT"; by default one is started here.
    """

    source: Annotated[SourceConfig, tyro.conf.arg(name=""), tyro.conf.PositionalRequiredArgs]
    out: Path
    views: int = 10
    recipe: RecipeName = "published"
    engine: EngineChoice = "auto"
    seed: int = 0
    stop_psnr: float | None = None
    num_steps: int | None = None
    lr: float | None = None
    hidden: tuple[int, ...] | None = None
    omega: float | None = None
    min_psnr: float | None = None
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views must be at least 1; got {self.views}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must be 0 (this process alone) or more; got {self.workers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildPlan:
    """All that decides a build's result; identity is what a resumed build is held to."""

    source: SourceConfig
    job: ViewsJob
    engine: str
    layout: Layout
    identity: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockTask:
    """One block for a worker, wherever it runs: paths and plain values alone."""

    store: str
    source: SourceConfig
    job: ViewsJob
    engine: str
    threads: int | None
    layout: Layout
    block: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSummary:
    """What a build did; rows_fitted and seconds are this run's, quality is the whole store's."""

    store: str
    rows_fitted: int
    rows_found: int
    seconds: float
    rows_per_s: float
    quality: Quality

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """What was done and how good it is."""
        found = f" ({self.rows_found:,} were there already)" if self.rows_found else ""
        done = f"fitted {self.rows_fitted:,} INRs in {self.seconds:.1f} s{found}"
        rate = f", {self.rows_per_s:.1f} INRs/s" if self.rows_fitted else ""
        return "\n".join([f"{self.store}: {done}{rate}", *self.quality.lines()])


@lru_cache(maxsize=1)
def _opened(config: SourceConfig) -> Source:
    """A worker reads a source's files once, however many of its blocks it gets."""
    return open_source(config)


def plan_build(config: BuildConfig) -> BuildPlan:
    """Read the source's list of items and settle everything that the result depends on."""
    source = _opened(config.source)
    chosen = recipe(config.recipe, source.facts)
    spec, fit = chosen.spec, chosen.fit
    if config.stop_psnr is not None:
        never = config.stop_psnr == math.inf
        fit = replace(fit, stop_psnr_db=None if never else config.stop_psnr)
    if config.hidden is not None:
        spec = replace(
            spec,
            widths=(spec.d_in, *config.hidden, spec.d_out),
            omega=(spec.omega[0],) * len(config.hidden),
        )
    if config.omega is not None:
        spec = replace(spec, omega=(config.omega,) * spec.num_hidden)
    if config.num_steps is not None:
        fit = replace(fit, num_steps=config.num_steps)
    if config.lr is not None:
        fit = replace(fit, lr=config.lr)
    job = ViewsJob(
        spec=spec, fit=fit, seed=config.seed, views=config.views, min_psnr_db=config.min_psnr
    )
    engine = resolve_engine(config.engine, spec, fit)
    num_items = len(source.items)
    if num_items == 0:
        raise ValueError(f"the source {config.source.name!r} has no items to fit")
    identity = {
        "source": config.source.identity(),
        "items": {"count": num_items, "sha256": items_digest(source.items)},
        "recipe": config.recipe,
        "spec": spec.to_dict(),
        "fit": fit.to_dict(),
        "engine": engine,
        "seed": config.seed,
        "views": config.views,
        "min_psnr_db": config.min_psnr,
    }
    return BuildPlan(
        source=config.source,
        job=job,
        engine=engine,
        layout=Layout(rows=num_items * config.views, views=config.views),
        identity=identity,
    )


def _signals(source: Source, indices: Sequence[int]) -> Iterator[Signal | BadSignal]:
    for index in indices:
        try:
            yield source.load(index)
        except BadSignal as error:
            yield error


def build_block(task: BlockTask) -> StagedBlock:
    """Fit one block and stage it; what it returns is for the driver to commit."""
    source = _opened(task.source)
    rows = task.layout.block_rows(task.block)
    views = task.job.views
    indices = range(rows.start // views, rows.stop // views)
    items: list[Item] = [source.items[index] for index in indices]
    fitted = fit_block(
        task.job,
        make_engine(task.engine, task.threads),
        items,
        _signals(source, indices),
        first_row=rows.start,
    )
    return stage_block(task.store, task.job.spec.spec_id, task.block, fitted.flat, fitted.records)


def run_blocks(tasks: Sequence[BlockTask], config: BuildConfig, on_wait) -> Iterator[StagedBlock]:
    """Blocks as they are done: in this process for workers=0, through Ray otherwise."""
    if config.workers == 0:
        return map(build_block, tasks)
    pool = PoolConfig(workers=config.workers, address=config.address)
    return run_tasks(build_block, tasks, pool, on_wait)


def build(config: BuildConfig) -> BuildSummary:
    """Build a store, or go on with one that an earlier run of the same build left unfinished.

    Raises:
        ValueError: the source, the recipe or the store on disk is not what it must be.
        OSError: the store cannot be written.
    """
    plan = plan_build(config)
    store = str(config.out.absolute())
    spec_id = plan.job.spec.spec_id
    create_store(
        store,
        [(plan.job.spec, plan.layout)],
        identity=plan.identity,
        about={"inrgen_version": version("inrgen")},
    )
    began, fitted = time.perf_counter(), 0
    with StoreWriter(store) as writer:
        blocks = writer.pending(spec_id)
        missing = sum(len(plan.layout.block_rows(block)) for block in blocks)
        found = plan.layout.rows - missing
        tasks = [
            BlockTask(
                store=store,
                source=plan.source,
                job=plan.job,
                engine=plan.engine,
                threads=None if config.workers == 0 else 1,
                layout=plan.layout,
                block=block,
            )
            for block in blocks
        ]
        with show_progress("build", plan.layout.rows, found, "INRs") as progress:
            for staged in run_blocks(tasks, config, progress.tick):
                writer.commit(staged)
                done = len(plan.layout.block_rows(staged.block))
                fitted += done
                progress.advance(done)
        writer.finish()
    seconds = time.perf_counter() - began
    return BuildSummary(
        store=str(config.out),
        rows_fitted=fitted,
        rows_found=found,
        seconds=seconds,
        rows_per_s=fitted / seconds,
        quality=measure_quality(open_store(store).records),
    )
