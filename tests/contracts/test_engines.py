"""Every engine fits as a literal loop does, and fits each INR independently of its batch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.cpu_engine import CpuEngine
from inrgen.fit.engine import Engine, FitBatch
from inrgen.fit.gpu_engine import GpuEngine
from inrgen.fit.starts.plan import learned_fit
from inrgen.fit.starts.start import find_shipped_start, load_start
from inrgen.fit.torch_engine import TorchEngine

ENGINES: list[Engine] = [TorchEngine(), CpuEngine(threads=2)]
each_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
# Learned step sizes go through batched torch on a GPU, which runs the same on a CPU.
LEARNERS: list[Engine] = [*ENGINES, GpuEngine(device="cpu")]
each_learner = pytest.mark.parametrize("engine", LEARNERS, ids=lambda e: e.name)


def spec_of(widths: tuple[int, ...], omega: tuple[float, ...], offset: float = 0.5) -> InrSpec:
    d_in = widths[0]
    return InrSpec(
        widths=widths,
        omega=omega,
        output_offset=offset,
        coord_order={1: "x", 2: "xy", 3: "xyz"}[d_in],
        coord_center=(0.0,) * d_in,
    )


# 1-D, 2-D and 3-D; one to three hidden layers; widths that fill no vector; several outputs.
CASES = {
    "published": (spec_of((2, 32, 32, 1), (30.0, 30.0)), (12, 12)),
    "one hidden layer": (spec_of((1, 16, 1), (20.0,), 0.0), (37,)),
    "odd widths, colours": (spec_of((2, 5, 33, 3), (30.0, 10.0)), (9, 7)),
    "three layers in space": (spec_of((3, 33, 17, 64, 2), (30.0, 15.0, 20.0), -0.25), (5, 4, 6)),
    "many outputs": (spec_of((2, 48, 20), (25.0,), 0.1), (6, 6)),
}
each_case = pytest.mark.parametrize(("spec", "shape"), CASES.values(), ids=CASES)


def smooth_batch(spec: InrSpec, shape: tuple[int, ...], num: int, init: InitConfig) -> FitBatch:
    """num INRs, two a signal, on smooth signals within [0, 1]."""
    items = torch.arange(num)
    coords = grid_coords(spec, shape)
    wave = rng.uniform(rng.keys(0, "wave", items), (spec.d_out, spec.d_in + 1), -3.0, 3.0)
    phase = torch.einsum("nd,bkd->bnk", coords, wave[:, :, :-1]) + wave[:, None, :, -1]
    return FitBatch(
        coords=coords[None],
        values=(0.5 + 0.4 * torch.sin(phase))[: (num + 1) // 2],
        signal_of=items // 2,
        keys=rng.keys(1, "fit", items),
        start=initialise(spec, init, rng.keys(2, "init", items)),
    )


def with_step_sizes(spec: InrSpec, batch: FitBatch, momentum: float = 0.0) -> FitBatch:
    """The batch with a step size for each parameter, small enough that fits are not chaotic."""
    keys = rng.keys(3, "step sizes", torch.arange(len(batch.start)))
    flat = rng.uniform(keys, (spec.num_params,), 1e-4, 5e-3)
    return replace(batch, step_sizes=Params.from_flat(spec, flat), momentum=momentum)


def part(batch: FitBatch, rows: list[int]) -> FitBatch:
    """The INRs of a batch at rows, in that order."""
    index = torch.tensor(rows)
    return replace(
        batch,
        signal_of=batch.signal_of[index],
        keys=batch.keys[index],
        start=batch.start[index],
        step_sizes=batch.step_sizes[index] if batch.step_sizes is not None else None,
    )


def tensors(params: Params) -> list[torch.Tensor]:
    """The tensors of params in the order of a flat row."""
    return [t for pair in zip(params.weights, params.biases, strict=True) for t in pair]


def literal_fit(spec: InrSpec, config: FitConfig, batch: FitBatch, row: int) -> np.ndarray:
    """Flat weights of an INR after config.num_steps, as in the papers, in float64."""
    start = batch.start[[row]].to(dtype=torch.float64)
    theta = [t[0].numpy().copy() for t in tensors(start)]
    step_sizes = None
    if batch.step_sizes is not None:
        step_sizes = [t[row].double().numpy() for t in tensors(batch.step_sizes)]
    first, second = [np.zeros_like(t) for t in theta], [np.zeros_like(t) for t in theta]
    signal = int(batch.signal_of[row])
    coords = batch.coords[signal if len(batch.coords) > 1 else 0].double().numpy()
    values = batch.values[signal].double().numpy()
    key = rng.fold(batch.keys[[row]], rng.hash_name("points"))
    for step in range(config.num_steps):
        x, y = coords, values
        if config.points_per_step:
            chosen = rng.integers(rng.fold(key, step), (config.points_per_step,), 0, len(coords))
            x, y = coords[chosen[0]], values[chosen[0]]
        inputs, angles = [x], []
        for l, omega in enumerate(spec.omega):
            angles.append(omega * (inputs[-1] @ theta[2 * l].T + theta[2 * l + 1]))
            inputs.append(np.sin(angles[-1]))
        error = inputs[-1] @ theta[-2].T + theta[-1] + spec.output_offset - y
        delta, gradient = 2.0 * error / error.size, []
        for l in range(spec.num_hidden, -1, -1):
            gradient = [delta.T @ inputs[l], delta.sum(axis=0), *gradient]
            if l > 0:
                delta = (delta @ theta[2 * l]) * np.cos(angles[l - 1]) * spec.omega[l - 1]
        rate = config.lr * min(1.0, (step + 1) / max(config.warmup_steps, 1))
        if config.schedule == "cosine":
            rate *= 0.5 * (1.0 + math.cos(math.pi * step / config.num_steps))
        for i, g in enumerate(gradient):
            if step_sizes is not None:
                first[i] = batch.momentum * first[i] + step_sizes[i] * g
                theta[i] = theta[i] - first[i]
                continue
            theta[i] = theta[i] * (1.0 - rate * config.weight_decay)
            first[i] = config.beta1 * first[i] + (1.0 - config.beta1) * g
            second[i] = config.beta2 * second[i] + (1.0 - config.beta2) * g * g
            m_hat = first[i] / (1.0 - config.beta1 ** (step + 1))
            v_hat = second[i] / (1.0 - config.beta2 ** (step + 1))
            theta[i] = theta[i] - rate * m_hat / (np.sqrt(v_hat) + config.eps)
    return np.concatenate([t.ravel() for t in theta])


def relative_gap(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


CONFIGS = {
    "all points": FitConfig(stop_psnr_db=None),
    "mini-batches": FitConfig(stop_psnr_db=None, points_per_step=13),
    "schedule": FitConfig(
        stop_psnr_db=None, schedule="cosine", warmup_steps=3, weight_decay=0.1, lr=2e-3
    ),
    "other knobs": FitConfig(stop_psnr_db=None, beta1=0.8, beta2=0.95, eps=1e-4),
}


@each_engine
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@each_case
def test_an_engine_fits_as_a_literal_float64_loop_does(engine, spec, shape, config):
    batch = smooth_batch(spec, shape, 3, config.init)
    for num_steps, bound in ((1, 1e-5), (5, 1e-4)):
        some = replace(config, num_steps=num_steps)
        found = engine.fit(spec, some, batch).params.flat().double().numpy()
        for row in range(3):
            assert relative_gap(found[row], literal_fit(spec, some, batch, row)) < bound


@each_case
@pytest.mark.parametrize(("points", "first_layer"), [(0, "siren"), (16, "small")])
def test_engines_end_at_the_same_quality(spec, shape, points, first_layer):
    config = FitConfig(
        num_steps=40,
        lr=2e-3,
        stop_psnr_db=None,
        points_per_step=points,
        init=InitConfig(first_layer=first_layer),
    )
    batch = smooth_batch(spec, shape, 4, config.init)
    quality = []
    for engine in ENGINES:
        values = evaluate(spec, engine.fit(spec, config, batch).params, batch.coords[0])
        error = (values - batch.values[batch.signal_of]).double().square().mean(dim=(1, 2))
        quality.append(float((-10.0 * error.log10()).mean()))
    assert max(quality) - min(quality) < 0.05


@each_engine
@each_case
@pytest.mark.parametrize("points", [0, 13])
def test_an_inr_does_not_depend_on_its_batch(engine, spec, shape, points):
    config = FitConfig(num_steps=2, points_per_step=points, stop_psnr_db=None)
    batch = smooth_batch(spec, shape, 18, config.init)
    together = engine.fit(spec, config, batch)
    orders = [list(range(17, -1, -1)), [5], list(range(1, 17))]
    for rows in orders:
        some = engine.fit(spec, config, part(batch, rows))
        assert torch.equal(some.params.flat(), together.params.flat()[rows])
        assert torch.equal(some.final_loss, together.final_loss[rows])


@each_engine
def test_a_fit_that_stops_moves_no_further_and_stops_no_other(engine):
    spec, shape = CASES["published"]
    config = FitConfig(num_steps=60, lr=2e-3, init=InitConfig(first_layer="siren"))
    batch = smooth_batch(spec, shape, 4, config.init)
    free = engine.fit(spec, replace(config, stop_psnr_db=None), batch)
    stopped = engine.fit(spec, replace(config, stop_psnr_db=25.0), batch)
    target = 10.0**-2.5
    assert stopped.num_steps.min() < stopped.num_steps.max() < 60
    assert (stopped.final_loss <= target).all()
    assert (free.num_steps == 60).all()
    for row, num_steps in enumerate(stopped.num_steps.tolist()):
        short = replace(config, stop_psnr_db=None, num_steps=num_steps)
        alone = engine.fit(spec, short, part(batch, [row]))
        assert torch.equal(alone.params.flat()[0], stopped.params.flat()[row])
        assert float(alone.final_loss) > target


@each_engine
def test_a_target_is_measured_against_the_value_range(engine):
    narrow, shape = CASES["published"]
    wide = replace(narrow, value_range=(-1.0, 1.0))
    config = FitConfig(num_steps=60, lr=2e-3, stop_psnr_db=20.0)
    batch = smooth_batch(narrow, shape, 2, config.init)
    in_wide = engine.fit(wide, replace(config, stop_psnr_db=20.0 + 20.0 * math.log10(2)), batch)
    in_narrow = engine.fit(narrow, config, batch)
    assert torch.equal(in_wide.num_steps, in_narrow.num_steps)


@each_learner
@pytest.mark.parametrize(("points", "momentum"), [(0, 0.0), (13, 0.9)])
@each_case
def test_learned_step_sizes_take_gradient_steps(engine, spec, shape, points, momentum):
    """Six steps agree with the literal loop and with torch, and use nothing of Adam."""
    config = learned_fit(6, points)
    batch = with_step_sizes(spec, smooth_batch(spec, shape, 3, config.init), momentum)
    found = engine.fit(spec, config, batch).params.flat()
    reference = TorchEngine().fit(spec, config, batch).params.flat()
    for row in range(3):
        expected = literal_fit(spec, config, batch, row)
        assert relative_gap(found[row].double().numpy(), expected) < 1e-5
        assert relative_gap(found[row].numpy(), reference[row].numpy()) < 1e-5
    other = replace(config, lr=0.3, beta1=0.1, weight_decay=0.5, schedule="cosine", warmup_steps=2)
    assert torch.equal(engine.fit(spec, other, batch).params.flat(), found)


@each_learner
@pytest.mark.parametrize(("source", "shape"), [("digits", (8, 8)), ("fashion-mnist", (28, 28))])
def test_engines_agree_after_six_steps_from_a_shipped_start(engine, source, shape):
    """Learned step sizes are a hundred times those above, and still amplify no rounding."""
    path = find_shipped_start(source, "2-32-32-1")
    assert path is not None
    learned = load_start(path)
    config = learned_fit(learned.inner_steps, points_per_step=0)
    batch = replace(
        smooth_batch(learned.spec, shape, 2, config.init),
        start=learned.params[[0, 0]],
        step_sizes=learned.step_sizes[[0, 0]],
        signal_of=torch.tensor([0, 0]),
    )
    found = engine.fit(learned.spec, config, batch).params.flat()[0].double().numpy()
    assert relative_gap(found, literal_fit(learned.spec, config, batch, 0)) < 1e-6


@each_engine
@pytest.mark.parametrize("points", [0, 13])
@each_case
def test_learned_step_sizes_keep_an_inr_apart_from_its_batch(engine, spec, shape, points):
    config = FitConfig(num_steps=3, points_per_step=points, stop_psnr_db=None)
    batch = with_step_sizes(spec, smooth_batch(spec, shape, 18, config.init))
    together = engine.fit(spec, config, batch)
    for rows in (list(range(17, -1, -1)), [5]):
        some = engine.fit(spec, config, part(batch, rows))
        assert torch.equal(some.params.flat(), together.params.flat()[rows])
        assert torch.equal(some.final_loss, together.final_loss[rows])


@each_learner
def test_a_fit_with_learned_step_sizes_stops_at_its_target(engine):
    spec, shape = CASES["published"]
    config = FitConfig(num_steps=60, stop_psnr_db=15.0)
    batch = with_step_sizes(spec, smooth_batch(spec, shape, 4, config.init))
    stopped = engine.fit(spec, config, batch)
    assert 0 < stopped.num_steps.min()
    assert stopped.num_steps.max() < 60
    assert (stopped.final_loss <= 10.0**-1.5).all()


@each_learner
@pytest.mark.parametrize("field", ["values", "start", "step_sizes"])
def test_a_non_finite_row_of_a_learned_start_never_passes_for_a_fit(engine, field):
    spec, shape = CASES["published"]
    config = FitConfig(num_steps=6, stop_psnr_db=None)
    batch = with_step_sizes(spec, smooth_batch(spec, shape, 4, config.init))
    if field == "values":
        values = batch.values.clone()
        values[1, 3] = math.nan
        bad = replace(batch, values=values)
    else:
        flat = getattr(batch, field).flat().clone()
        flat[2:, 7] = math.inf
        bad = replace(batch, **{field: Params.from_flat(spec, flat)})
    result, whole = engine.fit(spec, config, bad), engine.fit(spec, config, batch)
    assert result.params.flat()[2:].isnan().all()
    assert result.final_loss[2:].isnan().all()
    assert torch.equal(result.params.flat()[:2], whole.params.flat()[:2])


@each_learner
def test_step_sizes_of_other_shapes_are_refused(engine):
    spec, shape = CASES["published"]
    batch = with_step_sizes(spec, smooth_batch(spec, shape, 4, FitConfig().init))
    few = replace(batch, step_sizes=batch.step_sizes[:3])
    with pytest.raises(ValueError, match="step_sizes needs the shapes of start"):
        engine.fit(spec, FitConfig(num_steps=1), few)


@each_engine
@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("points", [0, 64])
def test_a_non_finite_row_never_passes_for_a_fit(engine, poison, points):
    spec, shape = CASES["published"]
    config = FitConfig(num_steps=20, points_per_step=points, stop_psnr_db=10.0)
    batch = smooth_batch(spec, shape, 6, config.init)
    values = batch.values.clone()
    values[1, ::2] = poison
    start = batch.start.flat()
    start[5, 7] = poison
    bad = replace(batch, values=values, start=Params.from_flat(spec, start))
    result, whole = engine.fit(spec, config, bad), engine.fit(spec, config, batch)
    failed = torch.tensor([False, False, True, True, False, True])
    assert torch.equal(result.final_loss.isnan(), failed)
    assert result.params.flat()[failed].isnan().all()
    assert torch.equal(result.params.flat()[~failed], whole.params.flat()[~failed])


@each_engine
def test_weights_that_overflow_in_the_last_update_are_nan(engine):
    spec, shape = CASES["published"]
    config = FitConfig(num_steps=1, lr=1.0, stop_psnr_db=None, weight_decay=1e38)
    batch = smooth_batch(spec, shape, 2, config.init)
    large = Params.from_flat(spec, 100.0 * batch.start.flat())
    result = engine.fit(spec, config, replace(batch, start=large))
    assert result.params.flat().isnan().all()
    assert result.final_loss.isnan().all()


@each_engine
def test_an_engine_changes_none_of_its_arguments(engine):
    spec, shape = CASES["odd widths, colours"]
    config = FitConfig(num_steps=3)
    batch = smooth_batch(spec, shape, 4, config.init)
    tensors = (batch.coords, batch.values, batch.signal_of, batch.keys, batch.start.flat())
    before = [tensor.clone() for tensor in tensors]
    result = engine.fit(spec, config, batch)
    after = (batch.coords, batch.values, batch.signal_of, batch.keys, batch.start.flat())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.equal(result.params.flat(), batch.start.flat())


@each_engine
def test_no_steps_return_the_start_and_its_loss(engine):
    spec, shape = CASES["published"]
    config = FitConfig(num_steps=0)
    batch = smooth_batch(spec, shape, 3, config.init)
    result = engine.fit(spec, config, batch)
    assert torch.equal(result.params.flat(), batch.start.flat())
    assert result.num_steps.tolist() == [0, 0, 0]
    error = evaluate(spec, batch.start, batch.coords[0]) - batch.values[batch.signal_of]
    torch.testing.assert_close(result.final_loss, error.square().mean(dim=(1, 2)))


@each_engine
def test_each_signal_may_have_its_own_points(engine):
    spec = CASES["three layers in space"][0]
    items = torch.arange(4)
    config = FitConfig(num_steps=5, stop_psnr_db=None, points_per_step=20)
    batch = FitBatch(
        coords=rng.uniform(rng.keys(0, "coords", items[:2]), (60, 3), -1.0, 1.0),
        values=rng.uniform(rng.keys(0, "values", items[:2]), (60, 2)),
        signal_of=torch.tensor([1, 0, 1, 1]),
        keys=rng.keys(0, "fit", items),
        start=initialise(spec, config.init, rng.keys(0, "init", items)),
    )
    found = engine.fit(spec, config, batch).params.flat().double().numpy()
    for row in range(4):
        assert relative_gap(found[row], literal_fit(spec, config, batch, row)) < 1e-4


@each_engine
def test_an_inconsistent_batch_is_refused(engine):
    spec, shape = CASES["published"]
    config = FitConfig(num_steps=1)
    batch = smooth_batch(spec, shape, 4, config.init)
    foreign = replace(batch, signal_of=torch.tensor([0, 1, 2, 0]))
    with pytest.raises(ValueError, match="signal_of"):
        engine.fit(spec, config, foreign)
    with pytest.raises(ValueError, match="2-16-32-1"):
        engine.fit(spec_of((2, 16, 32, 1), (30.0, 30.0)), config, batch)
