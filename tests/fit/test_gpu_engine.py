"""The kernel in Triton's interpreter, and the batched torch that fits other shapes."""

import logging
import os
from dataclasses import replace
from typing import get_args

import pytest
import torch

# Triton reads it when a kernel is decorated, so it must be set before anything imports triton.
os.environ["TRITON_INTERPRET"] = "1"
triton = pytest.importorskip("triton", reason="triton is not installed")

import triton.language as tl  # noqa: E402

from inrgen.core import rng  # noqa: E402
from inrgen.core.activations import ActivationName  # noqa: E402
from inrgen.core.config import InitConfig  # noqa: E402
from inrgen.core.encoding import octave_encoding  # noqa: E402
from inrgen.core.params import Params  # noqa: E402
from inrgen.core.siren import evaluate, initialise  # noqa: E402
from inrgen.core.spec import InrSpec  # noqa: E402
from inrgen.fit import gpu_portable  # noqa: E402
from inrgen.fit.config import FitConfig, update_scalars  # noqa: E402
from inrgen.fit.engine import FitBatch  # noqa: E402
from inrgen.fit.gpu_engine import GpuEngine  # noqa: E402
from inrgen.fit.torch_engine import TorchEngine  # noqa: E402
from inrgen.kernels import gpu_fit, gpu_layout  # noqa: E402

ENGINE = GpuEngine(device="cpu", precision="float32")


def spec_of(*widths: int, **conventions) -> InrSpec:
    d_in = widths[0]
    return InrSpec(
        widths=widths,
        omega=tuple(30.0 - 8.0 * layer for layer in range(len(widths) - 2)),
        output_offset=0.25,
        coord_order={1: "x", 2: "xy", 3: "xyz"}[d_in],
        coord_center=(0.0,) * d_in,
        **conventions,
    )


def batch_of(spec: InrSpec, num: int, num_points: int, shared: bool = True) -> FitBatch:
    """num INRs on two signals of loose points."""
    items, signals = torch.arange(num), torch.arange(2)
    at = signals[:1] if shared else signals
    return FitBatch(
        coords=rng.uniform(rng.keys(0, "coords", at), (num_points, spec.d_in), -1.0, 1.0),
        values=rng.uniform(rng.keys(0, "values", signals), (num_points, spec.d_out)),
        signal_of=items % 2,
        keys=rng.keys(0, "fit", items),
        start=initialise(spec, InitConfig(), rng.keys(0, "init", items)),
    )


def fit_in_float64(spec: InrSpec, config: FitConfig, batch: FitBatch) -> torch.Tensor:
    """Weights after config.num_steps, by autograd and Adam in float64."""
    theta = batch.start.flat().double()
    first, second = torch.zeros_like(theta), torch.zeros_like(theta)
    keys = rng.fold(batch.keys, rng.hash_name("points"))
    coords = batch.coords.expand(2, -1, -1)[batch.signal_of].double()
    values = batch.values[batch.signal_of].double()
    for step, (size, epsilon, decay) in enumerate(update_scalars(config).tolist()):
        x, y = coords, values
        if config.points_per_step:
            drawn = rng.integers(
                rng.fold(keys, step), (config.points_per_step, 1), 0, values.shape[1]
            )
            x, y = x.take_along_dim(drawn, dim=1), y.take_along_dim(drawn, dim=1)
        leaf = theta.detach().requires_grad_()
        error = evaluate(spec, Params.from_flat(spec, leaf), x) - y
        (gradient,) = torch.autograd.grad(error.square().mean(dim=(1, 2)).sum(), leaf)
        first = config.beta1 * first + (1.0 - config.beta1) * gradient
        second = config.beta2 * second + (1.0 - config.beta2) * gradient.square()
        theta = decay * theta - size * first / (second.sqrt() + epsilon)
    return theta


def relative_gap(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())


# Together they have every padding, every number of inputs and outputs, and both depths.
SPECS = [
    spec_of(2, 32, 32, 1),
    spec_of(1, 16, 16, 2),
    spec_of(2, 5, 33, 3),
    spec_of(3, 16, 20, 32, 4),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.architecture)


@triton.jit
def sine_kernel(turns_ptr, sine_ptr, cosine_ptr, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    sine, cosine = gpu_fit._sine_and_cosine(tl.load(turns_ptr + at))
    tl.store(sine_ptr + at, sine)
    tl.store(cosine_ptr + at, cosine)


def test_sine_and_cosine_hold_to_float32_over_millions_of_turns():
    few, many = torch.linspace(-3.0, 3.0, 4096), torch.linspace(-3e6, 3e6, 4096)
    turns = torch.cat([few, many])
    sine, cosine = torch.empty_like(turns), torch.empty_like(turns)
    sine_kernel[(1,)](turns, sine, cosine, len(turns))
    angle = 2.0 * torch.pi * turns.double()
    torch.testing.assert_close(sine.double(), angle.sin(), rtol=0, atol=3e-7)
    # It is one minus twice the square of the half angle's sine, and only gradients use it.
    torch.testing.assert_close(cosine.double(), angle.cos(), rtol=0, atol=1e-6)


@triton.jit
def draw_kernel(key_ptr, drawn_ptr, step, num_points, SIZE: tl.constexpr):
    key = tl.load(key_ptr).to(tl.uint64, bitcast=True)
    at = tl.arange(0, SIZE)
    tl.store(drawn_ptr + at, gpu_fit._drawn_points(key, step, at, num_points))


@pytest.mark.parametrize("num_points", [1, 7, 784, 100_003])
def test_points_drawn_on_chip_are_those_of_the_named_randomness(num_points):
    for item in range(5):
        key = rng.keys(3, "draw", torch.tensor([item]))
        drawn = torch.empty(64, dtype=torch.int32)
        draw_kernel[(1,)](key, drawn, 11 * item + 2, num_points, 64)
        expected = rng.integers(rng.fold(key, 11 * item + 2), (64,), 0, num_points)
        assert torch.equal(drawn.long(), expected[0])


@each_spec
def test_packing_is_undone_by_unpacking_and_fills_up_with_zeros(spec):
    flat = rng.uniform(rng.keys(0, "flat", torch.arange(3)), (spec.num_params,), 1.0, 2.0)
    packed = gpu_layout.pack(spec.widths, flat)
    assert torch.equal(gpu_layout.unpack(spec.widths, packed), flat)
    assert int((packed != 0).sum()) == flat.numel()


@each_spec
@pytest.mark.parametrize(
    "config",
    [
        # Only a large eps makes Adam sensitive to a gradient of the wrong size.
        FitConfig(stop_psnr_db=None, eps=1e-2),
        FitConfig(
            stop_psnr_db=None,
            points_per_step=13,
            lr=2e-3,
            schedule="cosine",
            warmup_steps=3,
            weight_decay=0.1,
        ),
    ],
    ids=["all points, large eps", "mini-batches, schedule and decay"],
)
def test_the_kernel_fits_as_a_float64_loop_does(spec, config):
    # 40 points fill one tile and another in part.
    batch = batch_of(spec, 3, 40, shared=config.points_per_step == 0)
    for num_steps, bound in ((1, 1e-5), (3, 1e-4)):
        some = replace(config, num_steps=num_steps)
        found = ENGINE.fit(spec, some, batch)
        assert relative_gap(found.params.flat(), fit_in_float64(spec, some, batch)) < bound
        assert found.num_steps.tolist() == [num_steps] * 3


def test_one_point_is_enough():
    spec = spec_of(2, 16, 16, 1)
    batch = batch_of(spec, 2, 1)
    config = FitConfig(num_steps=1, stop_psnr_db=None)
    found = ENGINE.fit(spec, config, batch).params.flat()
    assert relative_gap(found, fit_in_float64(spec, config, batch)) < 1e-5


def test_no_steps_leave_the_weights_and_measure_the_loss():
    spec = SPECS[0]
    batch = batch_of(spec, 3, 40)
    result = ENGINE.fit(spec, FitConfig(num_steps=0), batch)
    assert torch.equal(result.params.flat(), batch.start.flat())
    error = evaluate(spec, batch.start, batch.coords[0]) - batch.values[batch.signal_of]
    torch.testing.assert_close(result.final_loss, error.square().mean(dim=(1, 2)))


def easy_batch(spec: InrSpec) -> FitBatch:
    """Five INRs whose signals are their initial functions plus one of two shifts."""
    batch = batch_of(spec, 5, 40)
    start = evaluate(spec, batch.start, batch.coords[0])[:2]
    return replace(batch, values=start + torch.tensor([0.02, 0.05])[:, None, None])


def test_each_fit_stops_at_the_target_independently_as_in_the_reference():
    spec = SPECS[0]
    batch = easy_batch(spec)
    config = FitConfig(num_steps=10, stop_psnr_db=28.0)
    found, expected = ENGINE.fit(spec, config, batch), TorchEngine().fit(spec, config, batch)
    assert found.num_steps.tolist() == expected.num_steps.tolist()
    assert len(set(found.num_steps.tolist())) > 1
    reached = found.num_steps < config.num_steps
    assert reached.any()
    assert (found.final_loss[reached] <= 10.0**-2.8).all()
    assert relative_gap(found.params.flat(), expected.params.flat()) < 1e-4


def test_an_inr_does_not_depend_on_its_batch():
    spec = SPECS[0]
    batch = easy_batch(spec)
    config = FitConfig(num_steps=5, stop_psnr_db=28.0)
    together = ENGINE.fit(spec, config, batch)
    for row in (4, 1):
        index = torch.tensor([row])
        one = replace(
            batch,
            signal_of=batch.signal_of[index],
            keys=batch.keys[index],
            start=batch.start[index],
        )
        alone = ENGINE.fit(spec, config, one)
        assert torch.equal(alone.params.flat()[0], together.params.flat()[row])
        assert alone.num_steps[0] == together.num_steps[row]


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_turns_non_finite_is_nan_throughout_and_alone(bad):
    spec = SPECS[0]
    batch = batch_of(spec, 4, 40)
    values = batch.values.clone()
    values[1, 7] = bad
    result = ENGINE.fit(spec, FitConfig(num_steps=3), replace(batch, values=values))
    failed = batch.signal_of == 1
    assert result.params.flat()[failed].isnan().all()
    assert result.final_loss[failed].isnan().all()
    assert result.num_steps[failed].tolist() == [0, 0]
    assert result.params.flat()[~failed].isfinite().all()
    assert result.final_loss[~failed].isfinite().all()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (spec_of(1, 9, 2), "1 hidden layers"),
        (spec_of(2, 65, 8, 1), "wider than 64"),
        (spec_of(2, 8, 8, 5), "5 outputs"),
        (spec_of(3, 5, 33, 7, 4, activation="tanh"), "tanh"),
        (spec_of(2, 12, 8, 1, activation="relu"), "relu"),
    ],
    ids=lambda value: value.architecture if isinstance(value, InrSpec) else "",
)
def test_other_shapes_go_through_batched_torch_and_the_log_says_so(spec, reason, caplog):
    batch = batch_of(spec, 5, 40, shared=False)
    config = FitConfig(num_steps=6, lr=2e-3, points_per_step=17, schedule="cosine")
    with caplog.at_level(logging.INFO, logger="inrgen.fit.gpu_engine"):
        found = ENGINE.fit(spec, config, batch)
    assert reason in caplog.text
    expected = TorchEngine().fit(spec, config, batch)
    torch.testing.assert_close(found.params.flat(), expected.params.flat(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.final_loss, expected.final_loss, rtol=1e-4, atol=0)
    assert found.num_steps.tolist() == expected.num_steps.tolist()


@pytest.mark.parametrize("activation", get_args(ActivationName))
def test_the_explicit_gradient_equals_autograds(activation):
    spec = spec_of(2, 7, 5, 3, activation=activation)
    if activation == "relu":
        spec = spec.with_encoding(octave_encoding(2, 2))
    batch = batch_of(spec, 2, 11)
    theta = batch.start.flat().double().requires_grad_()
    coords, values = batch.coords.expand(2, -1, -1).double(), batch.values.double()
    error = evaluate(spec, Params.from_flat(spec, theta), coords) - values
    expected_loss = error.square().mean(dim=(1, 2))
    (expected,) = torch.autograd.grad(expected_loss.sum(), theta)
    loss, gradient = gpu_portable.loss_and_gradient(spec, theta.detach(), coords, values)
    torch.testing.assert_close(loss, expected_loss.detach())
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(
    ("target", "mode"), [(None, "float32"), (40.0, "tf32"), (50.0, "tf32"), (60.0, "float32")]
)
def test_operands_are_rounded_only_for_low_targets(target, mode):
    assert GpuEngine()._mode(FitConfig(stop_psnr_db=target)) == mode
    assert GpuEngine(precision="mixed")._mode(FitConfig(stop_psnr_db=target)) == "mixed"


def test_without_a_gpu_the_engine_says_so_in_one_sentence():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="device needs a CUDA device for engine 'gpu'"):
        GpuEngine().fit(SPECS[0], FitConfig(), batch_of(SPECS[0], 2, 5))
