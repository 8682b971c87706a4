"""Learning of starts: the outer loop over training items, its checkpoint and its file.

A start depends on its number, the seed and the items, never on the other starts, on threads or on
interruptions.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor
from tqdm import tqdm

from inrgen.core.params import Params
from inrgen.core.spec import SOLID_KINDS, InrSpec
from inrgen.core.summary import Summary, count
from inrgen.executors.progress import show_progress
from inrgen.fit.recipes import recipe
from inrgen.fit.starts.checkpoint import (
    check_identity,
    checkpoint_path,
    load_checkpoint,
    recorded_source,
    save_checkpoint,
)
from inrgen.fit.starts.config import LearnStartConfig
from inrgen.fit.starts.guide import make_guide, read_labels
from inrgen.fit.starts.meta_sgd import (
    MetaProblem,
    MetaState,
    first_state,
    has_diverged,
    has_lost,
    keep_best,
    roll_back,
    step_positions,
    update,
)
from inrgen.fit.starts.start import VERSION, LearnedStart, load_start, save_start
from inrgen.fit.starts.training_images import open_images
from inrgen.fit.starts.training_items import TrainingSignals
from inrgen.fit.starts.training_shapes import open_shapes
from inrgen.fit.starts.unit_values import scale_last, scale_steps, unit_spec
from inrgen.sources.base import Source, SourceFacts
from inrgen.sources.catalog import open_source
from inrgen.sources.items import items_digest
from inrgen.sources.selection import describe_part

# One task then keeps a core busy for about a tenth of a second.
_VALUES_AT_ONCE = 2**19
_EVALUATIONS = 20
_CHECKPOINT_S = 10.0
_MAX_ROLLBACKS = 5
# Learning takes time with every point. Builds may take more: 6,000 add 0.03 to the IoU of 384.
_SHAPE_POINTS = 512
_SHAPE_HIDDEN, _SHAPE_OMEGA = (64, 64), 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnStartSummary(Summary):
    """Summary of learn-start.

    Attributes:
        psnr_db: mean PSNR of held-out training items after the inner steps, over all starts.
        seconds: duration of this run alone.
        found: whether the file was there already.
    """

    out: str
    views: int
    architecture: str
    inner_steps: int
    psnr_db: float
    num_held_out: int
    seconds: float
    size_bytes: int
    sha256: str
    found: bool

    def text(self) -> str:
        """A short summary for people."""
        did = "was there already" if self.found else f"learned in {self.seconds:.1f} s"
        return (
            f"{self.out}: {count(self.views, 'start')} of {self.architecture}, {did}\n"
            f"{self.psnr_db:.2f} dB on {self.num_held_out} held-out training items after "
            f"{self.inner_steps} steps\n{self.size_bytes:,} bytes, sha256 {self.sha256}"
        )


def _choose_spec(config: LearnStartConfig, facts: SourceFacts) -> InrSpec:
    """The networks of recipe fast, or wide ones for shapes, with the config's own widths."""
    of_shapes = facts.value_kind in SOLID_KINDS
    spec = recipe("teach" if of_shapes else "fast", facts).spec
    usual = (_SHAPE_HIDDEN, _SHAPE_OMEGA) if of_shapes else (spec.widths[1:-1], spec.omega[0])
    hidden = usual[0] if config.hidden is None else config.hidden
    omega = usual[1] if config.omega is None else config.omega
    return replace(spec, widths=(spec.d_in, *hidden, spec.d_out), omega=(omega,) * len(hidden))


def _open_signals(config: LearnStartConfig, source: Source, spec: InrSpec) -> TrainingSignals:
    num_points = config.points_per_step
    if spec.value_kind in SOLID_KINDS:
        args = (config.seed, num_points, config.num_inner_steps)
        return open_shapes(source, spec, *args, config.source)
    return open_images(source, spec, config.seed, num_points, config.source)


def _identity(config: LearnStartConfig, source: Source, spec: InrSpec) -> dict[str, Any]:
    """Everything that decides the bytes of a start, as plain values."""
    return {
        "source": config.training_source.identity(),
        "items_sha256": items_digest(source.items),
        "num_items": len(source.items),
        "seed": config.seed,
        "spec": spec.to_dict(),
        "inner_steps": config.num_inner_steps,
        "settings": config.settings,
    }


@contextmanager
def _open_pool(threads: int | None) -> Iterator[ThreadPoolExecutor]:
    """Threads for tasks. Each computes with one core, so that their number changes no sum."""
    # torch's own number is that of the cores at hand.
    before = torch.get_num_threads()
    size = threads or before
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(size, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Learner:
    """The outer loop's problem and data on one device."""

    config: LearnStartConfig
    problem: MetaProblem
    signals: TrainingSignals
    labels: Int[Tensor, " i"] | None
    pool: ThreadPoolExecutor

    @property
    def device(self) -> torch.device:
        return self.problem.step_of.device

    def _tasks(self, num_items: int, num_points: int) -> list[tuple[slice, slice]]:
        """Starts and items of each task. The size of a task depends on neither starts nor threads.

        A GPU takes everything at once.
        """
        if self.device.type != "cpu":
            return [(slice(None), slice(None))]
        width = num_points * max(self.problem.spec.widths)
        size = max(1, _VALUES_AT_ONCE // width)
        items = [slice(low, low + size) for low in range(0, num_items, size)]
        starts = range(self.config.views)
        return [(slice(v, v + 1), some) for v in starts for some in items]

    def _sum(
        self, work: Callable[[tuple[slice, slice]], tuple[Tensor, ...]], tasks: list
    ) -> list[Tensor]:
        """The sums of the results of tasks, for each start in the order of its items."""
        totals: list[Tensor] = []
        for (starts, _), parts in zip(tasks, self.pool.map(work, tasks), strict=True):
            if not totals:
                totals = [p.new_zeros(self.config.views, *p.shape[1:]) for p in parts]
            for total, part in zip(totals, parts, strict=True):
                total[starts] += part
        return totals

    def _labels(self, positions: list[list[int]]) -> Int[Tensor, "k m"] | None:
        """Labels of items at the source's positions; None without a guide."""
        return None if self.labels is None else self.labels[torch.tensor(positions)].to(self.device)

    def gradient(self, state: MetaState, step: int) -> list[Tensor]:
        """Mean loss of each start's batch in an outer step, and its gradients."""
        config = self.config
        name = (config.seed, step, config.views, config.batch)
        coords, values = (part.to(self.device) for part in self.signals.draw(*name))
        labels = self._labels(self.signals.items.draw_positions(*name))

        def work(task: tuple[slice, slice]) -> tuple[Tensor, ...]:
            learned = (state.start[task[0]], state.log_steps[task[0]], state.readers[task[0]])
            return self.problem.outer_gradient(*learned, *_cut(coords, values, labels, task))

        tasks = self._tasks(config.batch, values.shape[-2])
        return [total / config.batch for total in self._sum(work, tasks)]

    def measure(self, state: MetaState) -> Float64[Tensor, " k"]:
        """Mean PSNR in dB of the held-out items after the inner steps, of each start.

        With a guide it is the mean guided loss in dB.
        """
        held_out = self.signals.held_out(self.config.views)
        coords, values = (part.to(self.device) for part in held_out)
        labels = self._labels([list(self.signals.items.held_out_at)] * self.config.views)

        def work(task: tuple[slice, slice]) -> tuple[Tensor, ...]:
            learned = (state.start[task[0]], state.log_steps[task[0]], state.readers[task[0]])
            return (self.problem.held_out_db(*learned, *_cut(coords, values, labels, task)),)

        tasks = self._tasks(self.signals.num_held_out, values.shape[-2])
        return self._sum(work, tasks)[0] / self.signals.num_held_out

    def advance(self, state: MetaState, step: int) -> MetaState:
        """Take one outer step; starts that diverge go back to their best instead."""
        config = self.config
        loss, by_start, by_steps, by_readers = self.gradient(state, step)
        # a cosine to zero (SGDR, arXiv 1608.03983, without restarts)
        factor = 0.5 * (1.0 + math.cos(math.pi * step / config.outer_steps))
        moved = update(
            state, by_start, by_steps, by_readers, config.start_lr, config.step_lr, factor
        )
        diverged = has_diverged(state, self.problem.spec.value_width, loss, by_start, by_steps)
        return self._roll_back(moved, diverged, step)

    def select(self, state: MetaState, step: int) -> MetaState:
        """Measure every start, remember those that are better, and roll back those that are lost.

        step: number of outer steps done.
        """
        found = self.measure(state)
        counted = "" if self.problem.guide is None else " (errors of the classifier counted)"
        _say(
            f"step {step:,}: {float(found.mean()):.2f} dB{counted} on {self.signals.num_held_out} "
            f"held-out items after {self.config.num_inner_steps} steps"
        )
        return self._roll_back(keep_best(state, found), has_lost(state, found), step)

    def _roll_back(self, state: MetaState, diverged: Bool[Tensor, " k"], step: int) -> MetaState:
        """Put diverged starts back to their best, and say so.

        Raises ValueError if a start diverges again and again.
        """
        if not bool(diverged.any()):
            return state
        config, state = self.config, roll_back(state, diverged)
        for view in diverged.nonzero().flatten().tolist():
            if int(state.rollbacks[view]) > _MAX_ROLLBACKS:
                raise ValueError(
                    f"start {view} diverged {_MAX_ROLLBACKS + 1} times, the last time in outer "
                    f"step {step}; lower lr ({config.start_lr:g}) or step_lr ({config.step_lr:g})"
                )
            _say(
                f"start {view} diverged in step {step}; it goes on from its best "
                f"({float(state.best_db[view]):.2f} dB) with half the learning rate"
            )
        return state


def _cut(
    coords: Tensor, values: Tensor, labels: Tensor | None, task: tuple[slice, slice]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The points, values and labels of a task; coordinates that all share are left whole."""
    place = (..., *task, slice(None), slice(None))
    at = coords if coords.ndim == 2 else coords[place].flatten(-4, -3)
    return at, values[place], None if labels is None else labels[task]


def _say(text: str) -> None:
    """Write a line to stderr without tearing a progress bar."""
    tqdm.write(f"learn-start: {text}", file=sys.stderr)


def _learn(learner: _Learner, identity: dict[str, Any], checkpoint: Path) -> MetaState:
    """Run all outer steps that the checkpoint leaves to do."""
    config = learner.config
    state, first = first_state(learner.problem, config.seed, config.views), 0
    if checkpoint.exists():
        first, state = load_checkpoint(checkpoint, identity, state)
    else:
        state = learner.select(state, 0)
    saved_at = time.monotonic()
    every = max(1, config.outer_steps // _EVALUATIONS)
    with show_progress("learn-start", config.outer_steps, first, "steps") as progress:
        for step in range(first, config.outer_steps):
            state, done = learner.advance(state, step), step + 1
            measured = done % every == 0 or done == config.outer_steps
            if measured:
                state = learner.select(state, done)
            if measured or time.monotonic() - saved_at > _CHECKPOINT_S:
                save_checkpoint(checkpoint, identity, done, state)
                saved_at = time.monotonic()
            progress.advance(1)
    return state


def _as_start(
    learner: _Learner, identity: dict[str, Any], spec: InrSpec, state: MetaState
) -> LearnedStart:
    """The best starts of a finished loop for networks of a spec, with their facts."""
    found = state.best_db.cpu()
    if learner.problem.guide is not None:
        # best_db counts the classifier's errors, too
        plain = replace(learner, problem=replace(learner.problem, guide=None))
        best = replace(state, start=state.best_start, log_steps=state.best_log_steps)
        found = plain.measure(best).cpu()
    steps = state.best_log_steps.exp()[:, learner.problem.step_of]
    facts = {k: v for k, v in identity.items() if k not in ("spec", "inner_steps")}
    return LearnedStart(
        spec=spec,
        params=scale_last(Params.from_flat(spec, state.best_start.cpu()), spec.value_width),
        step_sizes=scale_steps(Params.from_flat(spec, steps.cpu()), spec.value_width),
        inner_steps=learner.config.num_inner_steps,
        facts={
            **json.loads(json.dumps(facts)),
            "guide": learner.config.guide,
            "psnr_db": float(found.mean()),
            "psnr_db_of_starts": found.tolist(),
            "num_held_out": learner.signals.num_held_out,
            "rollbacks": int(state.rollbacks.sum()),
            "version": VERSION,
            "inrgen_version": version("inrgen"),
        },
    )


def _summarise(out: Path, start: LearnedStart, seconds: float, found: bool) -> LearnStartSummary:
    return LearnStartSummary(
        out=str(out),
        views=start.num_views,
        architecture=start.spec.architecture,
        inner_steps=start.inner_steps,
        psnr_db=start.facts["psnr_db"],
        num_held_out=start.facts["num_held_out"],
        seconds=seconds,
        size_bytes=out.stat().st_size,
        sha256=start.sha256,
        found=found,
    )


def learn_start(config: LearnStartConfig) -> LearnStartSummary:
    """Learn starts from a source's training items, and write them to config.out.

    The same call resumes a run that was stopped, and finds a finished file.

    Raises:
        ValueError: the source, a file that is there already or a setting does not fit, or the
            outer loop diverges again and again.
        OSError: the data cannot be read, or the file cannot be written.
    """
    began = time.perf_counter()
    recorded = recorded_source(config.out)
    config = replace(config, source=config.source.with_order(recorded))
    source = open_source(config.training_source)
    for note in describe_part(source.items, config.training_source):
        _say(note)
    spec = _choose_spec(config, source.facts)
    if spec.value_kind in SOLID_KINDS and not config.points_per_step:
        config = replace(config, points_per_step=_SHAPE_POINTS)
    identity = _identity(config, source, spec)
    if config.out.exists():
        start = load_start(config.out)
        facts = {"spec": spec.to_dict(), "inner_steps": start.inner_steps, **start.facts}
        there = {name: facts.get(name) for name in identity} | {"spec": start.spec.to_dict()}
        check_identity(config.out, there, json.loads(json.dumps(identity)))
        # A run that was killed after its last step may have left its checkpoint.
        checkpoint_path(config.out).unlink(missing_ok=True)
        return _summarise(config.out, start, time.perf_counter() - began, found=True)
    labels = read_labels(source) if config.guide == "labels" else None
    problem = MetaProblem(
        spec=unit_spec(spec),
        inner_steps=config.num_inner_steps,
        momentum=config.inner_momentum,
        second_order=config.order == 2,
        step_of=step_positions(spec, config.step_sizes).to(_device(config.device)),
        guide=None if labels is None else make_guide(spec, labels, config.guide_weight),
    )
    signals, checkpoint = _open_signals(config, source, spec), checkpoint_path(config.out)
    with _open_pool(config.threads) as pool:
        learner = _Learner(
            config=config, problem=problem, signals=signals, labels=labels, pool=pool
        )
        start = _as_start(learner, identity, spec, _learn(learner, identity, checkpoint))
    save_start(config.out, start)
    checkpoint.unlink(missing_ok=True)
    return _summarise(config.out, start, time.perf_counter() - began, found=False)


def _device(name: str) -> torch.device:
    """The device by name. Raises ValueError where there is none."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used: {reason}") from error
