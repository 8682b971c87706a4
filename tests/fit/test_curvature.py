"""Steps by curvature: the literal definition, what they are good for, and what they refuse."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import reconstruction_psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.config import FitConfig
from inrgen.fit.cpu_engine import CpuEngine
from inrgen.fit.curvature import CurvatureSteps
from inrgen.fit.engine import FitBatch
from inrgen.fit.engines import resolve_engine
from inrgen.fit.gpu_engine import GpuEngine
from inrgen.fit.plan import OwnRecipe, plan_build
from inrgen.fit.starts.plan import learned_fit
from inrgen.fit.starts.start import find_shipped_start, load_start
from inrgen.fit.torch_engine import TorchEngine
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig

DAMPING, MOMENTUM = 1e-3, 0.8
SPEC = InrSpec(widths=(2, 5, 3, 2), omega=(9.0, 4.0), output_offset=0.25, coord_order="xy")
NUM = 11


def points(dtype=torch.float64):
    """Weights, coordinates and values of two INRs."""
    items = torch.arange(2)
    theta = initialise(SPEC, InitConfig(first_layer="siren"), rng.keys(0, "init", items)).flat()
    coords = rng.uniform(rng.keys(1, "coords", items), (NUM, 2), -1.0, 1.0)
    values = rng.uniform(rng.keys(2, "values", items), (NUM, 2), 0.0, 1.0)
    return theta.to(dtype), coords.to(dtype), values.to(dtype)


def output_of(theta, at):
    """Both outputs of one INR at one point."""
    return evaluate(SPEC, Params.from_flat(SPEC, theta[None]), at[None, None])[0, 0]


def literal_factors(theta, coords):
    """Kronecker factors of every layer, from the Jacobian of each point and output alone.

    The Jacobian by a layer's weights is the outer product of the derivative by its products, which
    is the Jacobian by its biases, and its inputs.
    """
    factors = [[0.0, 0.0] for _ in SPEC.omega] + [[0.0, 0.0]]
    for at in coords:
        jacobian = torch.autograd.functional.jacobian(lambda t, at=at: output_of(t, at), theta)
        by_output = [Params.from_flat(SPEC, row[None]) for row in jacobian]
        hidden = at
        for layer in range(len(factors)):
            entries = torch.cat([hidden, torch.ones(1, dtype=hidden.dtype)])
            factors[layer][0] = factors[layer][0] + entries.outer(entries) / NUM
            for one in by_output:
                delta = one.biases[layer][0]
                factors[layer][1] = factors[layer][1] + 2.0 * delta.outer(delta) / (2 * NUM)
                # The layers' inputs are what the Jacobian says, too.
                torch.testing.assert_close(one.weights[layer][0], delta.outer(hidden))
            if layer < len(SPEC.omega):
                params = Params.from_flat(SPEC, theta[None])
                product = params.weights[layer][0] @ hidden + params.biases[layer][0]
                hidden = torch.sin(SPEC.omega[layer] * product)
    return factors


def test_a_step_divides_by_the_literal_kronecker_product():
    theta, coords, values = points()
    steps = CurvatureSteps(SPEC, num_steps=4)
    loss, move = steps.next_move(theta, coords, values)
    for row in range(2):
        leaf = theta[row].clone().requires_grad_()
        outputs = torch.stack([output_of(leaf, at) for at in coords[row]])
        literal = (outputs - values[row]).square().mean()
        (gradient,) = torch.autograd.grad(literal, leaf)
        assert float(loss[row]) == pytest.approx(float(literal.detach()))
        found = Params.from_flat(SPEC, move[[row]])
        by = Params.from_flat(SPEC, gradient[None])
        for layer, (first, second) in enumerate(literal_factors(theta[row], coords[row])):
            ratio = (first.diagonal().mean() / second.diagonal().mean()).sqrt()
            first = first + math.sqrt(DAMPING) * ratio * torch.eye(len(first))
            second = second + math.sqrt(DAMPING) / ratio * torch.eye(len(second))
            whole = torch.cat([by.weights[layer][0], by.biases[layer][0][:, None]], dim=1)
            # vec by rows: the matrix of the layer is outputs (x) inputs
            step = torch.linalg.solve(torch.kron(second, first), whole.flatten())
            moved = torch.cat([found.weights[layer][0], found.biases[layer][0][:, None]], dim=1)
            torch.testing.assert_close(moved, -(1 - MOMENTUM) * step.reshape(whole.shape))


def test_steps_fall_along_a_cosine_and_have_momentum():
    theta, coords, values = points()
    short, long = CurvatureSteps(SPEC, num_steps=2), CurvatureSteps(SPEC, num_steps=10**9)
    first = [steps.next_move(theta, coords, values)[1] for steps in (short, long)]
    torch.testing.assert_close(first[0], first[1])
    # Where nothing moves, factors stay as they are, and the mean of equal steps grows to them.
    second = [steps.next_move(theta, coords, values)[1] for steps in (short, long)]
    torch.testing.assert_close(second[1], (1 + MOMENTUM) * first[1])
    torch.testing.assert_close(second[0], 0.5 * second[1])


def test_a_weight_counts_as_so_many_points():
    theta, coords, values = points()
    counts = torch.tensor([3, 1, 2, 1, 1, 5, 1, 1, 1, 1, 5])
    repeated = [part.repeat_interleave(counts, dim=1) for part in (coords, values)]
    weights = (counts / counts.double().mean()).expand(2, -1)
    plain = CurvatureSteps(SPEC, num_steps=3).next_move(theta, *repeated)
    weighted = CurvatureSteps(SPEC, num_steps=3).next_move(theta, coords, values, weights)
    torch.testing.assert_close(weighted, plain)


def batch_of(num: int) -> FitBatch:
    """Digits from the first shipped start, one INR each."""
    learned = load_start(find_shipped_start("digits", "2-32-32-1"))
    source = open_source(SourceConfig(name="digits", split="test"))
    rows = torch.zeros(num, dtype=torch.int64)
    return FitBatch(
        coords=grid_coords(learned.spec, (8, 8))[None],
        values=torch.stack([source.load(at).values for at in range(num)]),
        signal_of=torch.arange(num),
        keys=rng.keys(0, "fit", torch.arange(num)),
        start=learned.params[rows],
        step_sizes=learned.step_sizes[rows],
    )


DIGIT_SPEC = load_start(find_shipped_start("digits", "2-32-32-1")).spec


@pytest.mark.parametrize("drawn", [0, 40])
def test_an_inr_does_not_depend_on_its_batch(drawn):
    engine, config = TorchEngine(), learned_fit(5, drawn, curvature=True)
    batch = batch_of(5)
    together = engine.fit(DIGIT_SPEC, config, batch)
    for row in (4, 0):
        index = torch.tensor([row])
        alone = replace(
            batch,
            signal_of=batch.signal_of[index],
            keys=batch.keys[index],
            start=batch.start[index],
            step_sizes=batch.step_sizes[index],
        )
        found = engine.fit(DIGIT_SPEC, config, alone)
        assert torch.equal(found.params.flat()[0], together.params.flat()[row])
        assert torch.equal(found.final_loss[0], together.final_loss[row])


def boxes(num: int):
    """Pictures of three bright boxes each, whose edges few gradient steps find hard to fit."""
    places = rng.integers(rng.keys(5, "boxes", torch.arange(num)), (3, 4), 0, 20).reshape(num, 3, 4)
    pictures = torch.zeros(num, 28, 28)
    for picture, some in zip(pictures, places.tolist(), strict=True):
        for left, top, width, height in some:
            picture[top : top + 4 + height // 2, left : left + 4 + width // 2] += 1 / 3
    return pictures.reshape(num, 784, 1)


def test_hard_edges_from_a_learned_start_are_decibels_better_than_by_learned_step_sizes():
    learned = load_start(find_shipped_start("fashion-mnist", "2-32-32-1"))
    first = torch.zeros(4, dtype=torch.int64)
    batch = FitBatch(
        coords=grid_coords(learned.spec, (28, 28))[None],
        values=boxes(4),
        signal_of=torch.arange(4),
        keys=rng.keys(0, "fit", torch.arange(4)),
        start=learned.params[first],
        step_sizes=learned.step_sizes[first],
    )
    reached = []
    for curvature in (False, True):
        result = TorchEngine().fit(learned.spec, learned_fit(25, 0, curvature), batch)
        assert (result.num_steps == 25).all()
        psnr = reconstruction_psnr_db(
            learned.spec, result.params, batch.coords, batch.values, batch.signal_of
        )
        reached.append(float(psnr.mean()))
    assert reached[1] > reached[0] + 3


def test_a_fit_that_diverges_fails_alone():
    batch = batch_of(4)
    start = batch.start.flat().clone()
    start[1, 3], start[2] = math.nan, 1e30
    bad = replace(batch, start=Params.from_flat(DIGIT_SPEC, start))
    config = learned_fit(4, 0, curvature=True)
    found, whole = (TorchEngine().fit(DIGIT_SPEC, config, one) for one in (bad, batch))
    assert found.final_loss.isnan().tolist() == [False, True, True, False]
    assert found.params.flat()[[1, 2]].isnan().all()
    assert torch.equal(found.params.flat()[[0, 3]], whole.params.flat()[[0, 3]])


@pytest.mark.parametrize("engine", [CpuEngine(), GpuEngine(device="cpu")], ids=lambda e: e.name)
def test_engines_that_have_no_such_steps_refuse_them(engine):
    config = learned_fit(4, 0, curvature=True)
    with pytest.raises(ValueError, match=f"curvature need engine torch; got {engine.name}"):
        engine.fit(DIGIT_SPEC, config, batch_of(1))
    with pytest.raises(ValueError, match="engine must be torch for curvature"):
        resolve_engine(engine.name, DIGIT_SPEC, config)
    assert resolve_engine("auto", DIGIT_SPEC, config) == "torch"


def test_other_networks_than_sirens_are_refused():
    spec = replace(DIGIT_SPEC, activation="relu", omega=(1.0, 1.0))
    with pytest.raises(ValueError, match="fit SIRENs alone"):
        TorchEngine().fit(spec, learned_fit(4, 0, curvature=True), batch_of(1))


def config_of(**options) -> BuildConfig:
    return BuildConfig(
        source=SourceConfig(name="digits", limit=2), out=Path("STORE"), workers=0, **options
    )


def test_a_build_without_a_learned_start_is_refused():
    with pytest.raises(ValueError, match="curvature needs a learned start"):
        config_of(curvature=True)
    own = OwnRecipe(fit=FitConfig(curvature=True))
    with pytest.raises(ValueError, match="curvature needs a learned start"):
        plan_build(config_of(), own=own)


def test_a_plan_records_the_curvature_and_without_it_nothing_new():
    plain, curved = (plan_build(config_of(recipe="learned", curvature=c)) for c in (False, True))
    assert (plain.engine, curved.engine) == ("cpu", "torch")
    assert set(plain.identity["fit"]) == {"num_steps", "points_per_step"}
    assert curved.identity["fit"] == plain.identity["fit"] | {"curvature": True}
    worded = plan_build(config_of(recipe="learned,curvature=true"))
    assert worded.identity == curved.identity


def test_the_facts_of_a_fit_are_read_back_with_and_without_curvature():
    for config in (FitConfig(), FitConfig(curvature=True)):
        assert FitConfig.from_dict(config.to_dict()) == config
    assert "curvature" not in FitConfig().to_dict()
