"""Align a whole store once, so that whoever mixes its rows needs no matching."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Int

from inrgen.core.arguments import StoreArgument
from inrgen.core.matching import MatchConfig, Opening, thorough
from inrgen.core.params import Params
from inrgen.core.symmetry import Kind, require_activation
from inrgen.executors.config import ExecutorConfig, process_bytes
from inrgen.executors.progress import show_progress
from inrgen.executors.runner import run_tasks
from inrgen.jobs.align import OPERATION, PAIRS, align_parameters, make_template, sample_rows
from inrgen.jobs.block import BlockDistance, measure_block, note_template
from inrgen.jobs.derive import (
    DerivePlan,
    DeriveSummary,
    ensure_store,
    fill,
    pace_of,
    plan_derivation,
    summarise,
    tasks_of,
)
from inrgen.jobs.plan import Concurrency
from inrgen.store.parent import RowRun
from inrgen.store.reader import Store, open_store
from inrgen.store.records import USABLE_STATUSES

_TEMPLATES = ("mean", "medoid")
# Bytes that aligning a sample takes for each byte of it: itself, once more in double precision.
_SAMPLE_COPIES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignConfig:
    """Align every row to one template, or each item's views; the same command again resumes.

    Each row is carried by a symmetry, so it computes what it did; the record notes its parent's
    row and the symmetry. Rows that hold no weights stay as they are.

    Attributes:
        store: the store's folder.
        out: the folder of the new store; made where there is none.
        to: mean, the iterated mean of a sample of the training rows; medoid, the row of a few from
            which others are least far; the number of a row; or pairs, which aligns each item's
            views to its first one.
        match: what is searched: permutation alone, signed with the sign of each unit, or phase
            with half periods too.
        opening: where each search begins: ends matches units first by what ties them to outputs
            and coordinates; identity takes them in the order they have, as published code does,
            and ends no farther than it began; both takes the nearer of the two.
        restarts: further searches of each row from disturbed ends, or random orders; the nearest
            counts. Each takes as long as the first one. A store that an earlier inrgen began goes
            on with ends and 4 or, where it notes no opening, with identity and 0.
        sample: rows that a mean or medoid is made of, at most.
        seed: names the sample.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: StoreArgument
    to: str = "mean"
    match: Kind = "signed"
    opening: Opening = thorough("signed").opening
    restarts: int = thorough("signed").restarts
    sample: int = 1000
    seed: int = 0
    how: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = field(default_factory=ExecutorConfig)

    def __post_init__(self) -> None:
        if self.to not in (*_TEMPLATES, PAIRS) and not self.to.isdecimal():
            raise ValueError(f"to must be mean, medoid, pairs or a row's number; got {self.to!r}")
        if not 1 <= self.sample <= 2000:
            raise ValueError(f"sample must be in 1..2000; got {self.sample}")
        if not 0 <= self.restarts <= 1000:
            raise ValueError(f"restarts must be in 0..1000; got {self.restarts}")

    @property
    def search(self) -> MatchConfig:
        """How each row is matched to its reference."""
        return MatchConfig(kind=self.match, restarts=self.restarts, opening=self.opening)


def _is_in(column: Any, wanted: Sequence[str]) -> Bool[np.ndarray, " r"]:
    """Which rows of a column of texts have one of some: by the few different texts that it has."""
    coded = column.combine_chunks().dictionary_encode()
    known = np.array([text in wanted for text in coded.dictionary.to_pylist()], dtype=bool)
    return known[coded.indices.to_numpy()]


def _sampled(store: Store, spec_id: str, config: AlignConfig) -> tuple[np.ndarray, str]:
    """The rows that a template is made of, and the split that they are of."""
    table = store.read_records(["spec_id", "row", "split", "status"])
    kept = _is_in(table["status"], USABLE_STATUSES) & _is_in(table["spec_id"], [spec_id])
    training = kept & _is_in(table["split"], ["train"])
    split, wanted = ("train", training) if training.any() else ("all", kept)
    rows = table["row"].to_numpy()[wanted]
    if config.to.isdecimal():
        wanted_row = int(config.to)
        if wanted_row not in table["row"].to_numpy()[kept]:
            raise ValueError(f"to must be a row that holds weights; got {wanted_row}")
        return np.array([wanted_row]), "all"
    if not len(rows):
        raise ValueError(f"{store.path} has no row of {spec_id} that holds weights")
    return sample_rows(rows, config.seed, config.sample), split


def _read_sample(store: Store, spec_id: str, rows: Int[np.ndarray, " s"]) -> Params:
    """Rows from all over a store, in order; no more than one shard is held at a time."""
    blocks = rows // store.layouts[spec_id].shard_rows
    parts = []
    for block in np.unique(blocks):
        some = rows[blocks == block]
        run = RowRun(store.path, spec_id, range(int(some[0]), int(some[-1]) + 1))
        parts.append(run.read(some))
    return Params.from_flat(store.specs[spec_id], torch.from_numpy(np.concatenate(parts)))


def _templates(plan: DerivePlan, config: AlignConfig) -> dict[str, Any]:
    """What the store notes as its template: one INR for each spec, or none for pairs."""
    found: dict[str, Params] = {}
    for spec_id, spec in plan.parent.specs.items():
        if config.to == PAIRS:
            continue
        rows, _ = _sampled(plan.parent, spec_id, config)
        limit, takes = config.how.memory_mb, len(rows) * spec.num_params * 4 * _SAMPLE_COPIES
        needed = process_bytes() + takes
        if limit is not None and needed > limit * 1e6:
            raise ValueError(
                f"memory_mb must be at least {needed / 1e6:,.0f} for a sample of "
                f"{len(rows)} rows; got {limit:g}"
            )
        params = _read_sample(plan.parent, spec_id, rows)
        found[spec_id] = (
            params
            if config.to.isdecimal()
            else make_template(spec, params, config.to, config.search)
        )
    return note_template(found)


def _measure(plan: DerivePlan, paced: tuple[Concurrency, ExecutorConfig]) -> tuple[float, float]:
    """The mean squared distance from the reference before and after, read from both stores."""
    pace, executor = paced
    layouts = open_store(plan.out).layouts
    blocks = {spec_id: list(range(layout.num_blocks)) for spec_id, layout in layouts.items()}
    tasks = tasks_of(plan, blocks, pace)
    found: list[BlockDistance] = []
    with show_progress("measure", len(tasks), 0, "blocks") as progress:
        for one in run_tasks(measure_block, tasks, executor, progress.tick):
            found.append(one)
            progress.advance(1)
    found.sort(key=lambda one: (one.spec_id, one.block))
    before, after = np.sum([one.sums for one in found], axis=0)
    count = max(1, sum(one.count for one in found))
    return float(before / count), float(after / count)


def align(config: AlignConfig) -> DeriveSummary:
    """Align a store, or go on with one that an earlier run of the same command began.

    Raises:
        ValueError: the networks have no such symmetry, the row is not there, the store is not
            finished, or out holds another one.
        OSError: the new store cannot be written.
    """
    made_of = {"sample": config.sample, "seed": config.seed} if config.to in _TEMPLATES else {}
    parameters = align_parameters(config.to, config.search, made_of)
    plan = plan_derivation(config.store, config.out, OPERATION, 1, parameters)
    for spec in plan.parent.specs.values():
        if config.match != "permutation":
            allowed = ("sine",) if config.match == "phase" else ("sine", "tanh")
            require_activation(spec, f"match {config.match}", allowed)
    paced = pace_of(plan.cost(), config.how)
    ensure_store(plan, lambda: _templates(plan, config))
    filled = fill(plan, config.how, paced)
    return summarise(plan, config.out, filled, _measure(plan, paced))
