"""Mean and deviation of every parameter over a split, kept with the store for its loaders."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import tyro

from inrgen.core.arguments import OptionalLocalPath, StoreArgument
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import show_progress
from inrgen.executors.runner import run_tasks
from inrgen.jobs.derive import pace_of
from inrgen.jobs.plan import read_cost
from inrgen.jobs.stats import Moments, StatsTask, measure_moments, no_moments
from inrgen.store.content import content_sha256
from inrgen.store.reader import Store, open_store
from inrgen.store.statistics import Statistics, encode_statistics, write_statistics


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsConfig:
    """Mean and unbiased standard deviation of every parameter, over the rows that hold weights.

    They are kept in the store, where StreamLoader(store, normalise_by="train") finds them.

    Attributes:
        store: the store's folder.
        split: whose rows they are over.
        out: a JSON file to write instead, such as for a store that may only be read; a store with
            several architectures gets one for each, with its name in front of the suffix.
    """

    store: tyro.conf.Positional[StoreArgument]
    split: Literal["train", "val", "test", "all"] = "train"
    out: OptionalLocalPath = None
    how: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = field(default_factory=ExecutorConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsOf:
    """One architecture's. constant: how many parameters do not vary, which cannot be divided by."""

    spec_id: str
    count: int
    mean_of_means: float
    mean_of_std: float
    constant: int
    written: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsSummary:
    """Where the statistics are, and a look at them."""

    store: str
    split: str
    specs: list[StatsOf]

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """A line for each architecture."""
        lines = []
        for one in self.specs:
            flat = f"; {one.constant:,} do not vary" if one.constant else ""
            lines.append(
                f"{one.written}: {one.count:,} rows of {self.split}, means {one.mean_of_means:.4g} "
                f"and deviations {one.mean_of_std:.4g} on average{flat}"
            )
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def _moments(store: Store, spec_id: str, config: StatsConfig) -> Moments:
    """Add up all blocks, in their order, whatever the order in which they are done."""
    spec, layout = store.specs[spec_id], store.layouts[spec_id]
    pace, executor = pace_of([read_cost(spec, layout)], config.how)
    tasks = [
        StatsTask(
            store=store.path,
            spec_id=spec_id,
            block=block,
            rows=layout.block_rows(block),
            split=None if config.split == "all" else config.split,
            rows_at_once=pace.rows_at_once,
        )
        for block in range(layout.num_blocks)
    ]
    total, following = no_moments(spec.num_params), 0
    early: dict[int, Moments] = {}
    with show_progress("stats", layout.rows, 0, "INRs") as progress:
        for found in run_tasks(measure_moments, tasks, executor, progress.tick):
            early[found.block] = found.moments
            progress.advance(len(layout.block_rows(found.block)))
            while following in early:
                total, following = total + early.pop(following), following + 1
    return total


def _write(store: Store, config: StatsConfig, found: Statistics) -> str:
    if config.out is None:
        return f"{config.store}/{write_statistics(store.path, found)}"
    several = len(store.specs) > 1
    out = config.out.with_name(f"{config.out.stem}.{found.spec_id}{config.out.suffix}")
    out = out if several else config.out
    out.write_bytes(encode_statistics(found))
    return str(out)


def stats(config: StatsConfig) -> StatsSummary:
    """Add up a store in one pass.

    Raises ValueError for a store that is not finished, a split of fewer than two rows, or an out
    that is a folder.
    """
    store = open_store(config.store)
    content = content_sha256(config.store)
    if config.out is not None:
        # before a pass over the whole store, not after it
        if config.out.is_dir():
            raise ValueError(f"out must be a file; got the folder {config.out}")
        config.out.parent.mkdir(parents=True, exist_ok=True)
    specs = []
    for spec_id in store.specs:
        moments = _moments(store, spec_id, config)
        if moments.count < 2:
            raise ValueError(
                f"split must have at least 2 rows of {spec_id} that hold weights; "
                f"{config.split} has {moments.count}"
            )
        std = moments.std()
        found = Statistics(
            spec_id=spec_id,
            split=config.split,
            count=moments.count,
            mean=moments.mean.tolist(),
            std=std.tolist(),
            store_seal=store.seal,
            content_sha256=content,
        )
        specs.append(
            StatsOf(
                spec_id=spec_id,
                count=moments.count,
                mean_of_means=float(moments.mean.mean()),
                mean_of_std=float(std.mean()),
                constant=int((std == 0).sum()),
                written=_write(store, config, found),
            )
        )
    return StatsSummary(store=str(config.store), split=config.split, specs=specs)
