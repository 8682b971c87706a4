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
from inrgen.core.grid import grid_coords
from inrgen.core.metrics import reconstruction_psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import init_keys, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.busy import Busy, gpu_name
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import Engine, FitBatch
from inrgen.fit.shape_quality import ShapeQuality, measure_shape
from inrgen.sources.base import BadSignal, Item, Signal
from inrgen.store.records import FitRecord, FitStatus

# Signals are read and fitted a few at a time, so that a block of large images needs no more
# memory than a block of small ones: about 64 MB of float32 values and coordinates.
_VALUES_AT_ONCE = 16_000_000
# On processors no more than takes a second or a few on one core, so that work that is slow is seen
# to move; but a few INRs a thread, so that none stands idle for long. Of loose points, which take
# seconds to prepare, just those few.
_FLOP_AT_ONCE = 1e11
_INRS_A_THREAD = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class FitPlan:
    """What is done to every item alike: which networks, how fitted, how often, from which seed.

    min_psnr_db marks rows that stay under it as below_target; None marks none.
    """

    spec: InrSpec
    fit: FitConfig
    seed: int
    views: int
    min_psnr_db: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What a record says of a row beyond which item, view and run it belongs to."""

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
        """All of it as a record has it, side by side."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        shape = own.pop("shape")
        return own | {field.name: getattr(shape, field.name) for field in fields(shape)}


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedRows:
    """Rows in item order, all views of an item together; NaN where there is nothing to keep.

    busy: when a GPU was at work on them; () on processors.
    """

    flat: Float[np.ndarray, "b p"]
    records: tuple[FitRecord, ...]
    busy: tuple[Busy, ...] = ()


def target_values(spec: InrSpec, signal: Signal) -> Float[Tensor, "n d_out"]:
    """A signal's values in the spec's range; intensities come in [0, 1], distances as they are."""
    if spec.value_kind != "intensity" or spec.value_range == (0.0, 1.0):
        return signal.values
    return spec.value_range[0] + spec.value_width * signal.values


def signal_coords(spec: InrSpec, signal: Signal) -> Float[Tensor, "n d_in"]:
    """Where a signal's values were taken."""
    return grid_coords(spec, signal.grid) if signal.coords is None else signal.coords


def _readable(
    load: Iterable[Signal | BadSignal], unreadable: dict[int, str]
) -> Iterator[tuple[int, Signal]]:
    """The signals with their places; the places of the others go into unreadable, with reasons."""
    for place, signal in enumerate(load):
        if isinstance(signal, BadSignal):
            unreadable[place] = str(signal)
        else:
            yield place, signal


def _most_items(job: FitPlan, engine: Engine, signal: Signal) -> int:
    """How many such signals to fit at once: all that there are on a GPU, which needs many."""
    if engine.name == "gpu":
        return sys.maxsize
    inrs = _INRS_A_THREAD * torch.get_num_threads()
    if signal.coords is None:
        points = job.fit.points_per_step or len(signal.values)
        # two for each weight and point forwards, and four back
        flop = 6.0 * job.spec.num_params * points * max(1, job.fit.num_steps)
        inrs = max(inrs, int(_FLOP_AT_ONCE / flop))
    return max(1, inrs // job.views)


def _groups(
    job: FitPlan, engine: Engine, signals: Iterable[tuple[int, Signal]]
) -> Iterator[list[tuple[int, Signal]]]:
    """Cut a stream of signals into groups of one shape that are fitted at once."""
    group: list[tuple[int, Signal]] = []
    held, most = 0, 0
    for place, signal in signals:
        first = group[0][1] if group else signal
        alike = (first.grid, first.values.shape) == (signal.grid, signal.values.shape)
        size = signal.values.numel() + (0 if signal.coords is None else signal.coords.numel())
        if group and (not alike or held + size > _VALUES_AT_ONCE or len(group) == most):
            yield group
            group, held = [], 0
        if not group:
            most = _most_items(job, engine, signal)
        group.append((place, signal))
        held += size
    if group:
        yield group


def _status(job: FitPlan, loss: float, psnr: float, num_steps: int) -> tuple[FitStatus, str]:
    if not math.isfinite(loss) or math.isnan(psnr) or psnr == -math.inf:
        return "non_finite", f"the fit turned non-finite within {num_steps} steps"
    if job.min_psnr_db is not None and psnr < job.min_psnr_db:
        return "below_target", f"{psnr:.2f} dB is under the {job.min_psnr_db:g} dB asked for"
    return "ok", ""


def _batch(job: FitPlan, items: Sequence[Item], signals: Sequence[Signal]) -> FitBatch:
    """All views of signals of one shape, each INR with the keys of its own name."""
    hashes = rng.hash_items(item.item_id for item in items).repeat_interleave(job.views)
    views = torch.arange(job.views).repeat(len(items))
    alike = signals[:1] if signals[0].coords is None else signals
    return FitBatch(
        coords=torch.stack([signal_coords(job.spec, s) for s in alike]),
        values=torch.stack([target_values(job.spec, s) for s in signals]),
        signal_of=torch.arange(len(items)).repeat_interleave(job.views),
        keys=rng.keys(job.seed, "fit", hashes, views),
        start=initialise(job.spec, job.fit.init, init_keys(job.seed, job.fit.init, hashes, views)),
    )


def _psnr_db(spec: InrSpec, params: Params, batch: FitBatch, device: str) -> Float[Tensor, " b"]:
    """PSNR of the weights as they will be stored, measured where they were fitted."""
    coords, values, signal_of = (
        part.to(device) for part in (batch.coords, batch.values, batch.signal_of)
    )
    return reconstruction_psnr_db(spec, params.to(device=device), coords, values, signal_of).cpu()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Signals of one shape with all their views fitted; the rows of failed fits are NaN."""

    rows: Float[np.ndarray, "b p"]
    outcomes: list[_Outcome]
    busy: tuple[Busy, ...]


def _fit_group(
    job: FitPlan, engine: Engine, items: Sequence[Item], signals: Sequence[Signal]
) -> _Group:
    """Fit all views of signals of one shape."""
    began = time.perf_counter()
    batch = _batch(job, items, signals)
    handed_over = time.time()
    result = engine.fit(job.spec, job.fit, batch)
    psnr = _psnr_db(job.spec, result.params, batch, engine.device)
    gpu, back = gpu_name(engine.device), time.time()
    rows = result.params.flat().numpy()
    seconds = (time.perf_counter() - began) / len(rows)
    digests = [signal.sha256() for signal in signals]
    outcomes = []
    for at in range(len(rows)):
        loss, quality = float(result.final_loss[at]), float(psnr[at])
        num_steps, of = int(result.num_steps[at]), at // job.views
        status, reason = _status(job, loss, quality, num_steps)
        check = signals[of].check
        measured = ShapeQuality()
        if check is not None and status != "non_finite":
            measured = measure_shape(job.spec, result.params[[at]], check)
        outcomes.append(
            _Outcome(
                source_sha256=digests[of],
                num_steps=num_steps,
                final_loss=loss,
                psnr_db=quality,
                status=status,
                reason=reason,
                duration_s=seconds,
                grid=signals[of].grid,
                shape=measured,
            )
        )
    failed = [outcome.status == "non_finite" for outcome in outcomes]
    return _Group(
        rows=np.where(np.array(failed)[:, None], np.float32(np.nan), rows),
        outcomes=outcomes,
        busy=(Busy(gpu=gpu, begin=handed_over, end=back),) if gpu else (),
    )


def fit_block(
    job: FitPlan,
    engine: Engine,
    items: Sequence[Item],
    load: Iterable[Signal | BadSignal],
    first_row: int,
    on_rows: Callable[[int], None] = lambda num_rows: None,
) -> FittedRows:
    """Fit every view of every item.

    An item that could not be read, and a fit that turned non-finite, keep their rows, as NaN, with
    a record that says why.

    Args:
        items: the items of this block, in order.
        load: one signal an item, in the same order, or the reason why there is none.
        first_row: the row of the first item's first view in the spec's array.
        on_rows: told how many more rows are done, as they are.
    """
    flat = np.full((len(items) * job.views, job.spec.num_params), np.nan, dtype=np.float32)
    outcomes: dict[int, _Outcome] = {}
    unreadable: dict[int, str] = {}
    busy: list[Busy] = []
    for group in _groups(job, engine, _readable(load, unreadable)):
        places, signals = zip(*group, strict=True)
        fitted = _fit_group(job, engine, [items[place] for place in places], signals)
        at = [place * job.views + view for place in places for view in range(job.views)]
        flat[at] = fitted.rows
        outcomes |= dict(zip(at, fitted.outcomes, strict=True))
        busy += fitted.busy
        on_rows(len(at))
    for place, reason in unreadable.items():
        for view in range(job.views):
            outcomes[place * job.views + view] = _Outcome(status="bad_input", reason=reason)
    on_rows(len(unreadable) * job.views)
    spec_id = job.spec.spec_id
    records = tuple(
        FitRecord(
            item_id=items[row // job.views].item_id,
            view=row % job.views,
            row=first_row + row,
            spec_id=spec_id,
            split=items[row // job.views].split,
            label=items[row // job.views].label,
            label_name=items[row // job.views].label_name,
            seed=job.seed,
            engine=engine.name,
            **outcomes[row].columns(),
        )
        for row in range(len(flat))
    )
    return FittedRows(flat=flat, records=records, busy=tuple(busy))
