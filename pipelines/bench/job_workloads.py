"""Workloads of the jobs bench: whole jobs, from opening the parent to the last commit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from inrgen.core.config import MatchConfig
from inrgen.core.spec import InrSpec
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks
from inrgen.jobs.derive import derive_blocks
from inrgen.jobs.operations import align_parameters, augment_parameters, record_templates
from inrgen.jobs.plan import DeriveTask, derive_cost
from inrgen.jobs.stats import StatsTask, measure_moments
from inrgen.store.create import create_store
from inrgen.store.derivation import Derivation
from inrgen.store.files.opening import open_files
from inrgen.store.index import content_sha256
from inrgen.store.metadata import read_facts
from inrgen.store.reader import open_store
from inrgen.store.shard import ShardDraft
from inrgen.store.shard_sources import DirectShards, spec_shards
from inrgen.store.writer import StoreWriter
from inrgen.transforms.named import parse_links


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPaths:
    """Paths of a job.

    Attributes:
        parent: the store that jobs read.
        out: the folder or store that they write.
        spec: architecture of the parent.
        workers: blocks at a time.
    """

    parent: str
    out: str
    spec: InrSpec
    workers: int

    @property
    def spec_id(self) -> str:
        return self.spec.spec_id


@dataclass(frozen=True, kw_only=True, slots=True)
class _Copy:
    """One shard to read and write."""

    parent: str
    out: str
    spec_id: str
    block: int


def _copy_shard(task: _Copy) -> None:
    source = open_files(task.parent)
    shards = spec_shards(task.parent, read_facts(source), task.spec_id)
    shard = DirectShards(source, shards).open(task.block)
    draft = ShardDraft(shards.shape(task.block))
    for chunk in range(draft.shape.num_chunks):
        draft.rows(chunk)[:] = shard.view(draft.shape.chunk_range(chunk))
        draft.close(chunk)
    open_files(task.out).put(shards.key(task.block), draft.data)


def _blocks(paths: JobPaths) -> range:
    return range(open_store(paths.parent).layouts[paths.spec_id].num_blocks)


def _run(paths: JobPaths, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
    return run_tasks(function, tasks, ExecutorConfig(workers=paths.workers))


def shards_alone(paths: JobPaths) -> None:
    """Read, check, copy and write every shard, on all the threads that a job has."""
    blocks = _blocks(paths)
    tasks = [
        _Copy(parent=paths.parent, out=paths.out, spec_id=paths.spec_id, block=block)
        for block in blocks
    ]
    # A worker of a job writes its shard in a second thread.
    list(run_tasks(_copy_shard, tasks, ExecutorConfig(workers=2 * paths.workers)))


def _derive(
    paths: JobPaths, operation: str, parameters: dict[str, Any], about: dict[str, Any]
) -> None:
    """Derive a store as the commands do, from opening the parent to the last commit."""
    layout = open_store(paths.parent).layouts[paths.spec_id]
    derivation = Derivation(
        operation=operation,
        copies=1,
        parent_sha256=content_sha256(paths.parent),
        parameters=parameters,
    )
    create_store(paths.out, [(paths.spec, layout)], derivation.identity, about)
    tasks = [
        DeriveTask(
            parent=paths.parent,
            out=paths.out,
            spec_id=paths.spec_id,
            block=block,
            rows_at_once=derive_cost(paths.spec, layout, 1).most_rows,
        )
        for block in _blocks(paths)
    ]
    with StoreWriter(paths.out) as writer:
        for staged in derive_blocks(tasks, ExecutorConfig(workers=paths.workers)):
            writer.commit(staged)
        writer.finish()


def _augment(paths: JobPaths, chain: str) -> None:
    _derive(paths, "augment", augment_parameters(parse_links(chain), seed=0), {})


def _align(paths: JobPaths) -> None:
    template = open_store(paths.parent).read([0])
    parameters = align_parameters("0", MatchConfig(), {})
    _derive(paths, "align", parameters, record_templates({paths.spec_id: template}))


def _stats(paths: JobPaths) -> None:
    layout = open_store(paths.parent).layouts[paths.spec_id]
    step = derive_cost(paths.spec, layout, 1).most_rows
    tasks = [
        StatsTask(
            store=paths.parent,
            spec_id=paths.spec_id,
            block=block,
            rows=layout.block_rows(block),
            split="train",
            rows_at_once=step,
        )
        for block in _blocks(paths)
    ]
    list(_run(paths, measure_moments, tasks))


WORKLOADS: dict[str, Callable[[JobPaths], None]] = {
    "stats": _stats,
    "augment siren-negation": partial(_augment, chain="siren-negation"),
    "augment rotation": partial(_augment, chain="rotation"),
    "augment gaussian-noise": partial(_augment, chain="gaussian-noise"),
    "align to a row": _align,
}
