"""What `inrgen bench jobs` times: jobs from their first look at a store to the last commit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from inrgen.core.matching import MatchConfig
from inrgen.core.spec import InrSpec
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks
from inrgen.jobs.align import align_parameters
from inrgen.jobs.augment import augment_parameters
from inrgen.jobs.block import note_template
from inrgen.jobs.derive_run import derive_blocks
from inrgen.jobs.plan import DeriveTask, derive_cost
from inrgen.jobs.stats import StatsTask, measure_moments
from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.derivation import Derivation
from inrgen.store.files.protocol import open_files
from inrgen.store.layout import shard_key
from inrgen.store.metadata import read_facts
from inrgen.store.reader import open_store
from inrgen.store.shard import ShardDraft, good_chunks, shard_shape, view_chunk
from inrgen.store.shard_file import map_shard
from inrgen.store.writer import StoreWriter
from inrgen.transforms.named import parse_links


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """The store that jobs read, where they write, and how many blocks they work on at a time."""

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
    facts = read_facts(source, task.parent)
    layout, spec = facts.layouts[task.spec_id], facts.specs[task.spec_id]
    shape, key = (
        shard_shape(layout, spec.num_params, task.block),
        shard_key(task.spec_id, task.block),
    )
    data, draft = map_shard(source, task.parent, key, shape), ShardDraft(shape)
    for chunk in range(shape.num_chunks):
        assert good_chunks(shape, data, np.array([chunk])).all(), "made a moment ago"
        rows = draft.rows(chunk)
        rows[:] = view_chunk(shape, data, chunk)[: len(rows)]
        draft.close(chunk)
    open_files(task.out).put(key, draft.data)


def _blocks(site: Site) -> range:
    return range(open_store(site.parent).layouts[site.spec_id].num_blocks)


def _run(site: Site, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
    return run_tasks(function, tasks, ExecutorConfig(workers=site.workers))


def shards_alone(site: Site) -> None:
    """Every shard read, checked, copied and written, on all the threads that a job has."""
    blocks = _blocks(site)
    tasks = [
        _Copy(parent=site.parent, out=site.out, spec_id=site.spec_id, block=block)
        for block in blocks
    ]
    # a job's worker writes its shard in a thread of its own
    list(run_tasks(_copy_shard, tasks, ExecutorConfig(workers=2 * site.workers)))


def _derive(site: Site, operation: str, parameters: dict[str, Any], about: dict[str, Any]) -> None:
    """What the commands do, from the first look at the parent to the last commit."""
    layout = open_store(site.parent).layouts[site.spec_id]
    derivation = Derivation(
        operation=operation,
        copies=1,
        parent_sha256=content_sha256(site.parent),
        parameters=parameters,
    )
    create_store(site.out, [(site.spec, layout)], derivation.identity, about)
    tasks = [
        DeriveTask(
            parent=site.parent,
            out=site.out,
            spec_id=site.spec_id,
            block=block,
            rows_at_once=derive_cost(site.spec, layout, 1).most_rows,
        )
        for block in _blocks(site)
    ]
    with StoreWriter(site.out) as writer:
        for staged in derive_blocks(tasks, ExecutorConfig(workers=site.workers)):
            writer.commit(staged)
        writer.finish()


def _augment(site: Site, chain: str) -> None:
    _derive(site, "augment", augment_parameters(parse_links(chain), seed=0), {})


def _align(site: Site) -> None:
    template = open_store(site.parent).read([0])
    parameters = align_parameters("0", MatchConfig(), {})
    _derive(site, "align", parameters, note_template({site.spec_id: template}))


def _stats(site: Site) -> None:
    layout = open_store(site.parent).layouts[site.spec_id]
    step = derive_cost(site.spec, layout, 1).most_rows
    tasks = [
        StatsTask(
            store=site.parent,
            spec_id=site.spec_id,
            block=block,
            rows=layout.block_rows(block),
            split="train",
            rows_at_once=step,
        )
        for block in _blocks(site)
    ]
    list(_run(site, measure_moments, tasks))


WAYS: dict[str, Callable[[Site], None]] = {
    "stats": _stats,
    "augment siren-negation": partial(_augment, chain="siren-negation"),
    "augment rotation": partial(_augment, chain="rotation"),
    "augment gaussian-noise": partial(_augment, chain="gaussian-noise"),
    "align to a row": _align,
}
