"""Align a store: make its template, derive the aligned store, and measure the distances."""

import sys
import time
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from inrgen.core import rng
from inrgen.core.config import MatchConfig, thorough
from inrgen.core.matching import check_kind
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.template import ROUNDS, aligned_sum, medoid
from inrgen.executors.config import ExecutorConfig, process_bytes
from inrgen.executors.progress import show_progress
from inrgen.executors.runner import run_tasks
from inrgen.jobs.block import BlockDistance, measure_distance
from inrgen.jobs.derive import (
    DerivePlan,
    DeriveSummary,
    ensure_store,
    fill,
    limit_executor,
    plan_derivation,
)
from inrgen.jobs.operations import ALIGN, align_parameters, record_templates
from inrgen.jobs.plan import PAIRS, TemplateChoice
from inrgen.jobs.template_store import find_template
from inrgen.store.files.location import Location
from inrgen.store.queries import select_usable
from inrgen.store.reader import Store, open_store
from inrgen.store.records import is_one_of
from inrgen.store.rows import RowRun

# A medoid takes the square of this number of matchings.
_MEDOID_ROWS = 24
# Numbers of a sample that are aligned together: a few MB, for any size of sample.
_NUMBERS_AT_ONCE = 524_288
# Memory of a sample in multiples of its float32 size; it is once held in double precision.
_SAMPLE_COPIES = 4


def align_store(
    store: Location,
    out: Location,
    template: TemplateChoice | None = None,
    search: MatchConfig | None = None,
    executor: ExecutorConfig | None = None,
) -> DeriveSummary:
    """Align a store into a new one, or resume an earlier run of the same alignment.

    Args:
        template: the reference of the rows; by default the mean of a sample.
        search: the search for each row's symmetry; by default thorough and signed. With the
            template of an aligned store, the search of that store takes the default's place.
        executor: settings for running blocks; the result never depends on them.

    Raises:
        ValueError: the networks lack the symmetry, the template's row does not exist, the store
            is not finished, or out holds another store.
        OSError: the new store cannot be written.
    """
    template, search = template or TemplateChoice(), search or thorough("signed")
    executor = executor or ExecutorConfig()
    found = None
    if template.elsewhere is not None:
        found = find_template(open_store(store), *template.elsewhere, search)
        search = found.search
        parameters = align_parameters("store", search, found.facts)
    else:
        parameters = align_parameters(template.kind, search, template.sampling)
    plan = plan_derivation(store, out, ALIGN, 1, parameters)
    for spec in plan.parent.specs.values():
        check_kind(spec, search.kind)
    # The limit is planned before the template, whose memory is part of the estimate.
    limited, began = limit_executor(plan.block_costs(), executor), time.perf_counter()
    ensure_store(
        plan,
        lambda: (
            _make_templates(plan, template, search, executor.memory_mb)
            if found is None
            else record_templates(found.templates)
        ),
    )
    # A template can take longer than the rows, so it counts in the time and the rate.
    seconds = time.perf_counter() - began
    summary = fill(plan, executor, limited)
    seconds += summary.seconds
    before, after = _measure(plan, limited[0].rows_at_once, limited[1])
    return replace(
        summary,
        store=str(out),
        seconds=seconds,
        rows_per_s=summary.rows_made / seconds,
        before=before,
        after=after,
        notes=_start_notes(plan.parent),
    )


def _start_notes(store: Store) -> tuple[str, ...]:
    """A sentence on the gain of aligning a store from learned starts; fit/README.md measures it."""
    if store.learned_start is None:
        return ()
    if max(layout.views for layout in store.layouts.values()) == 1:
        return (
            "all rows began at one learned start, so their units correspond already and "
            "alignment gains little",
        )
    return (
        "rows of one view began at one learned start, so alignment brings the views together "
        "and gains little within a view",
    )


def make_template(spec: InrSpec, params: Params, kind: str, search: MatchConfig) -> Params:
    """Make a template of one INR.

    Args:
        params: a sample of finite INRs.
        kind: "medoid" takes the medoid of the first few. "mean" takes the iterated mean that
            starts there, so that no outlier decides it.
    """
    few, names = params[:_MEDOID_ROWS], torch.arange(len(params))
    at = int(medoid(spec, few, search, names[:_MEDOID_ROWS]))
    template = few[at : at + 1]
    if kind == "medoid":
        return template
    # Names are places in the sample, so the cut into parts cannot change a restart.
    step = max(1, _NUMBERS_AT_ONCE // spec.num_params)
    parts = [slice(start, start + step) for start in range(0, len(params), step)]
    for _ in range(ROUNDS):
        sums = [aligned_sum(spec, template, params[part], search, names[part]) for part in parts]
        template = reduce(add, sums).mean()
    return template


def _make_templates(
    plan: DerivePlan, choice: TemplateChoice, search: MatchConfig, memory_mb: float | None
) -> dict[str, Any]:
    """The templates of all architectures, as a store records them; none for pairs."""
    found: dict[str, Params] = {}
    for spec_id, spec in plan.parent.specs.items():
        if choice.kind == PAIRS:
            continue
        rows = template_rows(plan.parent, spec_id, choice)
        needed = process_bytes() + len(rows) * spec.num_params * 4 * _SAMPLE_COPIES
        if memory_mb is not None and needed > memory_mb * 1e6:
            raise ValueError(
                f"memory_mb must be at least {needed / 1e6:,.0f} for a sample of "
                f"{len(rows)} rows; got {memory_mb:g}"
            )
        if choice.row is None:
            # Nothing else moves on the screen meanwhile.
            sys.stderr.write(f"align: making the template, a {choice.kind} of {len(rows):,} rows\n")
            sys.stderr.flush()
        params = _read_rows(plan.parent, spec_id, rows)
        is_row = choice.row is not None
        found[spec_id] = params if is_row else make_template(spec, params, choice.kind, search)
    return record_templates(found)


def template_rows(store: Store, spec_id: str, choice: TemplateChoice) -> Int[np.ndarray, " s"]:
    """The rows that a template is made from: training rows if there are any.

    Raises ValueError if a row that was chosen, or every row, holds no weights.
    """
    wanted = select_usable(spec_id)
    if choice.row is not None:
        for table in store.scan_records(["row"], wanted):
            if choice.row in table["row"].to_numpy():
                return np.array([choice.row])
        raise ValueError(f"template must be a row that holds weights; got {choice.row}")
    # Templates made from val or test rows would leak them into training.
    every, training = _Sample(choice.sample), _Sample(choice.sample)
    for table in store.scan_records(["row", "split"], wanted):
        rows = table["row"].to_numpy()
        # Keys of row numbers, so that the cut into tables does not matter.
        keys = rng.keys(choice.seed, "template", torch.tensor(rows)).numpy()
        every.add(rows, keys)
        is_training = is_one_of(table["split"], ["train"])
        training.add(rows[is_training], keys[is_training])
    rows = training.rows if len(training.rows) else every.rows
    if not len(rows):
        raise ValueError(f"{store.path} has no row of {spec_id} that holds weights")
    return np.sort(rows)


class _Sample:
    """A sample of the rows added: those whose keys are smallest, in whatever order they come."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.rows, self._keys = np.zeros((2, 0), dtype=np.int64)

    def add(self, rows: Int[np.ndarray, " r"], keys: Int[np.ndarray, " r"]) -> None:
        rows, keys = np.append(self.rows, rows), np.append(self._keys, keys)
        kept = np.argsort(keys, kind="stable")[: self._size]
        self.rows, self._keys = rows[kept], keys[kept]


def _read_rows(store: Store, spec_id: str, rows: Int[np.ndarray, " s"]) -> Params:
    """Read sorted rows from all over a store, with at most one shard in memory."""
    blocks = rows // store.layouts[spec_id].shard_rows
    parts = []
    for block in np.unique(blocks):
        some = rows[blocks == block]
        run = RowRun(store.path, spec_id, range(int(some[0]), int(some[-1]) + 1))
        parts.append(run.read(some))
    return Params.from_flat(store.specs[spec_id], torch.from_numpy(np.concatenate(parts)))


def _measure(plan: DerivePlan, rows_at_once: int, executor: ExecutorConfig) -> tuple[float, float]:
    """Mean squared distances from the reference before and after, as both stores hold them."""
    layouts = open_store(plan.out).layouts
    blocks = {spec_id: list(range(layout.num_blocks)) for spec_id, layout in layouts.items()}
    tasks = plan.tasks(blocks, rows_at_once)
    found: list[BlockDistance] = []
    with show_progress("measure", len(tasks), 0, "blocks") as progress:
        for one in run_tasks(measure_distance, tasks, executor, progress.tick):
            found.append(one)
            progress.advance(1)
    # Blocks finish in any order, which must not show in the last digits of a sum.
    found.sort(key=lambda one: (one.spec_id, one.block))
    before, after = np.sum([one.sums for one in found], axis=0)
    count = max(1, sum(one.count for one in found))
    return float(before / count), float(after / count)
