"""Build a store: every view of every item of a source, fitted, written and committed once."""

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from inrgen.executors.progress import show_progress
from inrgen.fit.busy import Busy, waiting_shares
from inrgen.fit.plan import BuildConfig, plan_build
from inrgen.fit.worker import Resources, block_tasks, build_block, run_blocks
from inrgen.store.create import create_store
from inrgen.store.files.location import absolute
from inrgen.store.quality import Quality, measure_quality
from inrgen.store.reader import open_store
from inrgen.store.writer import StoreWriter

__all__ = ["BuildConfig", "BuildSummary", "build"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSummary:
    """What a build did; quality is the whole store's, and all else this run's.

    waiting: of each GPU the share of the time from its first fit to its last in which it had none
        under way; {} on processors.
    """

    store: str
    rows_fitted: int
    rows_found: int
    seconds: float
    rows_per_s: float
    quality: Quality
    waiting: dict[str, float]

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """What was done and how good it is."""
        found = f" ({self.rows_found:,} were there already)" if self.rows_found else ""
        done = f"fitted {self.rows_fitted:,} INRs in {self.seconds:.1f} s{found}"
        rate = f", {self.rows_per_s:.1f} INRs/s" if self.rows_fitted else ""
        waits = [
            f"{gpu} waited for data {share:.0%} of the time (less with a smaller --gpu-share)"
            for gpu, share in self.waiting.items()
        ]
        return "\n".join([f"{self.store}: {done}{rate}", *waits, *self.quality.lines()])

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def build(config: BuildConfig) -> BuildSummary:
    """Build a store, or go on with one that an earlier run of the same build left unfinished.

    Raises:
        ValueError: the source, the recipe or the store on disk is not what it must be.
        OSError: the store cannot be written.
    """
    plan = plan_build(config)
    store = absolute(config.out)
    spec = plan.job.spec
    about = {"inrgen_version": version("inrgen")}
    create_store(store, [(spec, plan.layout)], identity=plan.identity, about=about)
    means = Resources(workers=config.workers, address=config.address, gpu_share=config.gpu_share)
    began, fitted, busy = time.perf_counter(), 0, list[Busy]()
    with StoreWriter(store) as writer:
        blocks = writer.pending(spec.spec_id)
        found = plan.layout.rows - sum(len(plan.layout.block_rows(block)) for block in blocks)
        tasks = block_tasks(plan, store, blocks, means)
        with show_progress("build", plan.layout.rows, found, "INRs") as progress:
            for done in run_blocks(build_block, tasks, means, progress):
                writer.commit(done.staged)
                fitted += done.rows_fitted
                busy += done.busy
        writer.finish()
    seconds = time.perf_counter() - began
    return BuildSummary(
        store=str(config.out),
        rows_fitted=fitted,
        rows_found=found,
        seconds=seconds,
        rows_per_s=fitted / seconds,
        quality=measure_quality(open_store(store)),
        waiting=waiting_shares(busy),
    )
