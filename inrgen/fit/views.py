"""Fit every view of a run of items: signals in, rows of weights and their records out."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core import rng
from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import reconstruction_psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import init_keys, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitPlan
from inrgen.fit.engine import Engine, FitBatch
from inrgen.fit.gpu_idle import BusyInterval, gpu_name
from inrgen.fit.starts.start import LearnedStart
from inrgen.fit.surface import ShapeQuality, measure_shape
from inrgen.sources.base import BadSignal, Item, Signal
from inrgen.store.records import FitRecord, FitStatus

# Signals are read and fitted a group at a time, so that a block of large images needs no more
# memory than a block of small ones: about 64 MB of float32 values and coordinates.
_VALUES_AT_ONCE = 16_000_000
# On CPU, limit a group to a few core-seconds so that progress stays visible, but to no fewer than
# a few INRs a thread, so that no thread idles for long. Loose points take seconds to prepare, so
# their groups have just those few.
_FLOP_AT_ONCE = 1e11
_INRS_A_THREAD = 4
# 64 MB of weights; an optimiser takes several times as much for gradients and moments.
_WEIGHTS_AT_ONCE = 16_000_000

OnRows = Callable[[int], None]


def ignore_rows(num_rows: int) -> None:
    """No-op progress callback."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """Record fields that come from the fit of one row; FitRecord documents them."""

    source_sha256: str = ""
    num_steps: int = 0
    final_loss: float = math.nan
    psnr_db: float = math.nan
    status: FitStatus
    reason: str = ""
    duration_s: float = 0.0
    grid: tuple[int, ...] = ()
    shape: ShapeQuality = field(default_factory=ShapeQuality)

    def columns(self) -> dict[str, Any]:
        """All fields as columns of a record; those of shape stand beside the others."""
        columns = {name: getattr(self, name) for name in _OUTCOME_FIELDS}
        return columns | {name: getattr(self.shape, name) for name in _SHAPE_FIELDS}


# Listed once: every row of a build needs them.
_SHAPE_FIELDS = tuple(field.name for field in fields(ShapeQuality))
_OUTCOME_FIELDS = tuple(field.name for field in fields(_Outcome) if field.name != "shape")


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedRows:
    """Fitted rows in item order, all views of an item together; failed rows are NaN.

    busy holds the intervals of GPU work; it is empty on CPUs.
    """

    flat: Float[np.ndarray, "b p"]
    records: tuple[FitRecord, ...]
    busy: tuple[BusyInterval, ...] = ()


def target_values(spec: InrSpec, signal: Signal) -> Float[Tensor, "n d_out"]:
    """A signal's values in the spec's range; intensities come in [0, 1], distances as they are."""
    if spec.value_kind != "intensity" or spec.value_range == (0.0, 1.0):
        return signal.values
    return spec.value_range[0] + spec.value_width * signal.values


def signal_coords(spec: InrSpec, signal: Signal) -> Float[Tensor, "n d_in"]:
    """The coordinates of a signal's values: its own points, or a grid."""
    return grid_coords(spec, signal.grid) if signal.coords is None else signal.coords


def _readable(
    load: Iterable[Signal | BadSignal], unreadable: dict[int, str]
) -> Iterator[tuple[int, Signal]]:
    """Yield the signals with their positions; collect the reasons of the others in unreadable."""
    for position, signal in enumerate(load):
        if isinstance(signal, BadSignal):
            unreadable[position] = str(signal)
        else:
            yield position, signal


def max_items(plan: FitPlan, engine: Engine, signal: Signal) -> int:
    """Number of such signals to fit at once. A GPU takes all, because it needs many."""
    if engine.name == "gpu":
        return sys.maxsize
    inrs = _INRS_A_THREAD * torch.get_num_threads()
    if signal.coords is None:
        points = plan.fit.points_per_step or len(signal.values)
        # two for each weight and point forward, and four backward
        flop = 6.0 * plan.spec.num_params * points * max(1, plan.fit.num_steps)
        inrs = max(inrs, int(_FLOP_AT_ONCE / flop))
    inrs = min(inrs, _WEIGHTS_AT_ONCE // plan.spec.num_params)
    return max(1, inrs // plan.views)


def _groups(
    plan: FitPlan, engine: Engine, signals: Iterable[tuple[int, Signal]]
) -> Iterator[list[tuple[int, Signal]]]:
    """Cut a stream of signals into groups of one shape, each to be fitted at once."""
    group: list[tuple[int, Signal]] = []
    held, most = 0, 0
    for position, signal in signals:
        # A batch is one tensor, so its signals need one shape.
        first = group[0][1] if group else signal
        alike = (first.grid, first.values.shape) == (signal.grid, signal.values.shape)
        alike = alike and (first.weights is None) == (signal.weights is None)
        size = signal.values.numel() + (0 if signal.coords is None else signal.coords.numel())
        if group and (not alike or held + size > _VALUES_AT_ONCE or len(group) == most):
            yield group
            group, held = [], 0
        if not group:
            most = max_items(plan, engine, signal)
        group.append((position, signal))
        held += size
    if group:
        yield group


def _status(plan: FitPlan, loss: float, psnr: float, num_steps: int) -> tuple[FitStatus, str]:
    if not math.isfinite(loss) or math.isnan(psnr) or psnr == -math.inf:
        return "non_finite", f"the fit turned non-finite within {num_steps} steps"
    if plan.min_psnr_db is not None and psnr < plan.min_psnr_db:
        return "below_target", f"{psnr:.2f} dB is under the {plan.min_psnr_db:g} dB asked for"
    return "ok", ""


def _weights_of(signals: Sequence[Signal]) -> Float[Tensor, "s n"] | None:
    """The weights of signals, scaled to the mean 1; None where they have none."""
    held = [s.weights / s.weights.mean() for s in signals if s.weights is not None]
    return torch.stack(held) if held else None


def _batch(
    plan: FitPlan,
    items: Sequence[Item],
    signals: Sequence[Signal],
    learned: LearnedStart | None,
) -> FitBatch:
    """All views of signals of one shape; each INR's keys come from its item and view."""
    hashes = rng.hash_items(item.item_id for item in items).repeat_interleave(plan.views)
    views = torch.arange(plan.views).repeat(len(items))
    if learned is None:
        init = plan.fit.init
        start = initialise(plan.spec, init, init_keys(plan.seed, init, hashes, views))
    else:
        start = learned.params[views]
    # Signals on a grid share its coordinates; loose points bring their own.
    alike = signals[:1] if signals[0].coords is None else signals
    return FitBatch(
        coords=torch.stack([signal_coords(plan.spec, s) for s in alike]),
        values=torch.stack([target_values(plan.spec, s) for s in signals]),
        signal_of=torch.arange(len(items)).repeat_interleave(plan.views),
        keys=rng.keys(plan.seed, "fit", hashes, views),
        start=start,
        step_sizes=None if learned is None else learned.step_sizes[views],
        momentum=0.0 if learned is None else learned.momentum,
        weights=_weights_of(signals),
    )


def _psnr_db(spec: InrSpec, params: Params, batch: FitBatch, device: str) -> Float[Tensor, " b"]:
    """PSNR of the weights as they will be stored, measured on the device that fitted them."""
    coords, values, signal_of = (
        part.to(device) for part in (batch.coords, batch.values, batch.signal_of)
    )
    weights = None if batch.weights is None else batch.weights.to(device)
    params = params.to(device=device)
    return reconstruction_psnr_db(spec, params, coords, values, signal_of, weights).cpu()


@dataclass(frozen=True, kw_only=True, slots=True)
class _FittedGroup:
    """All views of signals of one shape; the rows of failed fits are NaN."""

    rows: Float[np.ndarray, "b p"]
    outcomes: list[_Outcome]
    busy: tuple[BusyInterval, ...]


def _fit_group(
    plan: FitPlan,
    engine: Engine,
    items: Sequence[Item],
    signals: Sequence[Signal],
    start: LearnedStart | None,
) -> _FittedGroup:
    """Fit all views of signals of one shape, and measure each row."""
    began = time.perf_counter()
    batch = _batch(plan, items, signals, start)
    begin_s = time.time()  # wall time, which the processes of a machine share
    result = engine.fit(plan.spec, plan.fit, batch)
    # Not from final_loss: that is from before the last update, and perhaps of drawn points alone.
    psnr = _psnr_db(plan.spec, result.params, batch, engine.device)
    gpu, end_s = gpu_name(engine.device), time.time()
    rows = result.params.flat().numpy()
    seconds = (time.perf_counter() - began) / len(rows)
    digests = [signal.sha256() for signal in signals]
    outcomes = []
    for row in range(len(rows)):
        loss, quality = float(result.final_loss[row]), float(psnr[row])
        num_steps, position = int(result.num_steps[row]), row // plan.views
        status, reason = _status(plan, loss, quality, num_steps)
        reference = signals[position].reference
        shape, placement = ShapeQuality(), signals[position].placement
        # Only sources of shapes attach a reference, and only those of sounds a placement.
        if reference is not None and status != "non_finite":
            shape = measure_shape(plan.spec, result.params[[row]], reference)
        elif placement is not None:
            shape = ShapeQuality(center=placement.center, scale=placement.scale)
        outcomes.append(
            _Outcome(
                source_sha256=digests[position],
                num_steps=num_steps,
                final_loss=loss,
                psnr_db=quality,
                status=status,
                reason=reason,
                duration_s=seconds,
                grid=signals[position].grid,
                shape=shape,
            )
        )
    # A PSNR can turn non-finite with finite weights; such a row must not pass for a fit either.
    failed = [outcome.status == "non_finite" for outcome in outcomes]
    return _FittedGroup(
        rows=np.where(np.array(failed)[:, None], np.float32(np.nan), rows),
        outcomes=outcomes,
        busy=(BusyInterval(gpu=gpu, begin_s=begin_s, end_s=end_s),) if gpu else (),
    )


def _is_out_of_memory(error: Exception) -> bool:
    # torch has a class for GPUs alone; its allocator for CPUs raises a plain RuntimeError.
    said = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in said


def _fit_in_memory(
    plan: FitPlan,
    engine: Engine,
    items: Sequence[Item],
    group: Sequence[tuple[int, Signal]],
    start: LearnedStart | None,
    lacking: dict[int, str],
) -> Iterator[tuple[tuple[int, ...], _FittedGroup]]:
    """Fit a group at once, or item by item where memory does not hold it.

    Collects in lacking the positions of items that do not fit even alone, each with a reason.
    """
    positions, signals = zip(*group, strict=True)
    try:
        fitted = _fit_group(plan, engine, [items[at] for at in positions], signals, start)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        fitted = None
    if fitted is not None:
        yield positions, fitted
    elif len(group) == 1:
        lower = "--max-side" if plan.spec.d_in == 2 else "--num-points"
        lacking[positions[0]] = (
            f"memory does not hold a fit of {len(signals[0].values):,} points by "
            f"{plan.spec.num_params:,} weights in {plan.views} views; lower {lower}, --hidden, "
            "--views or --workers"
        )
    else:
        for alone in group:
            yield from _fit_in_memory(plan, engine, items, [alone], start, lacking)


def fit_block(
    plan: FitPlan,
    engine: Engine,
    items: Sequence[Item],
    load: Iterable[Signal | BadSignal],
    first_row: int,
    on_rows: OnRows = ignore_rows,
    start: LearnedStart | None = None,
) -> FittedRows:
    """Fit every view of every item.

    An item that cannot be read or does not fit into memory, and a fit that turns non-finite, keep
    their rows as NaN, each with a record that gives the reason.

    Args:
        items: the items of this block, in order.
        load: one signal an item, in the same order, or the reason why it cannot be read.
        first_row: the row of the first item's first view in the spec's array.
        on_rows: called with the number of rows that were just done.
        start: a learned start with plan.spec and an entry for each view; by default views start
            at random.
    """
    # NaN from the start, so that a row that nobody fits can never pass for weights.
    flat = np.full((len(items) * plan.views, plan.spec.num_params), np.nan, dtype=np.float32)
    outcomes: dict[int, _Outcome] = {}
    unreadable: dict[int, str] = {}
    busy: list[BusyInterval] = []
    groups = _groups(plan, engine, _readable(load, unreadable))
    fits = (
        pair
        for group in groups
        for pair in _fit_in_memory(plan, engine, items, group, start, unreadable)
    )
    for positions, fitted in fits:
        rows = [at * plan.views + view for at in positions for view in range(plan.views)]
        flat[rows] = fitted.rows
        outcomes |= dict(zip(rows, fitted.outcomes, strict=True))
        busy += fitted.busy
        on_rows(len(rows))
    # Complete only now: the loop above reads and fits the signals one by one.
    for position, reason in unreadable.items():
        for view in range(plan.views):
            outcomes[position * plan.views + view] = _Outcome(status="bad_input", reason=reason)
    on_rows(len(unreadable) * plan.views)
    records = _records(plan, engine, items, first_row, [outcomes[row] for row in range(len(flat))])
    return FittedRows(flat=flat, records=records, busy=tuple(busy))


def _records(
    plan: FitPlan,
    engine: Engine,
    items: Sequence[Item],
    first_row: int,
    outcomes: Sequence[_Outcome],
) -> tuple[FitRecord, ...]:
    """The records of all rows of a block, in order."""
    # A spec's id is a digest, which took a third of a build's time when each row made it anew.
    spec_id = plan.spec.spec_id
    pairs = ((item, view) for item in items for view in range(plan.views))
    return tuple(
        FitRecord(
            item_id=item.item_id,
            view=view,
            row=row,
            spec_id=spec_id,
            split=item.split,
            label=item.label,
            label_name=item.label_name,
            seed=plan.seed,
            engine=engine.name,
            **outcome.columns(),
        )
        for row, ((item, view), outcome) in enumerate(zip(pairs, outcomes, strict=True), first_row)
    )
