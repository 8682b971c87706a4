"""Workloads of the jobs bench: whole jobs, from opening the parent to the last commit."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inrgen.core.config import MatchConfig
from inrgen.core.spec import InrSpec
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks
from inrgen.jobs.derive import ensure_store, fill, plan_derivation
from inrgen.jobs.operations import (
    ALIGN,
    AUGMENT,
    align_parameters,
    augment_parameters,
    record_templates,
)
from inrgen.jobs.stats import measure_statistics
from inrgen.store.files.opening import open_files
from inrgen.store.metadata import read_facts
from inrgen.store.open_shard import spec_shards
from inrgen.store.reader import open_store
from inrgen.store.shard import ShardDraft
from inrgen.store.shard_sources import DirectShards
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Copy:
    """Task of copying one shard."""

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


def shards_alone(paths: JobPaths) -> None:
    """Read, check, copy and write every shard, on all the threads that a job has."""
    spec_id = paths.spec.spec_id
    blocks = range(open_store(paths.parent).layouts[spec_id].num_blocks)
    tasks = [
        _Copy(parent=paths.parent, out=paths.out, spec_id=spec_id, block=block) for block in blocks
    ]
    # A worker of a job writes its shard in a second thread.
    list(run_tasks(_copy_shard, tasks, ExecutorConfig(workers=2 * paths.workers)))


def _derive(
    paths: JobPaths, operation: str, parameters: dict[str, Any], about: dict[str, Any]
) -> None:
    """Derive a store as the commands do, without the summary that follows the last commit."""
    plan = plan_derivation(paths.parent, paths.out, operation, 1, parameters)
    ensure_store(plan, lambda: about)
    fill(plan, ExecutorConfig(workers=paths.workers))


def _augment(paths: JobPaths, augment: str) -> None:
    _derive(paths, AUGMENT, augment_parameters(parse_links(augment), seed=0), {})


def _align(paths: JobPaths) -> None:
    # One descent from the identity, without the extra pass that measures distances.
    template = open_store(paths.parent).read([0])
    parameters = align_parameters("0", MatchConfig(), {})
    _derive(paths, ALIGN, parameters, record_templates({paths.spec.spec_id: template}))


def _stats(paths: JobPaths) -> None:
    executor = ExecutorConfig(workers=paths.workers)
    measure_statistics(paths.parent, "train", Path(f"{paths.out}.json"), executor)


WORKLOADS: dict[str, Callable[[JobPaths], None]] = {
    "stats": _stats,
    "augment siren-negation": partial(_augment, augment="siren-negation"),
    "augment rotation": partial(_augment, augment="rotation"),
    "augment gaussian-noise": partial(_augment, augment="gaussian-noise"),
    "align to a row": _align,
}
