"""The inner loop of Meta-SGD: gradient steps that fit items, open to differentiation."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec


def _at_points(tensor: Float[Tensor, "*b n d_in"], num: int) -> Float[Tensor, "b n d_in"]:
    return tensor if tensor.ndim == 3 else tensor.expand(num, *tensor.shape)


def mse_gradient(
    spec: InrSpec,
    params: Params,
    coords: Float[Tensor, "*shared n d_in"],
    values: Float[Tensor, "b n d_out"],
) -> Params:
    """Gradient of each INR's mean squared error over its points and outputs.

    The chain rule is written out, so that autograd differentiates it once instead of twice: that
    takes two thirds of the time. spec must have sine layers.
    """
    factors = (*spec.omega, 1.0)
    # sin(omega (W x + b)): omega scales the small matrices instead of all activations.
    weights = [f * weight for f, weight in zip(factors, params.weights, strict=True)]
    biases = [f * bias[:, None, :] for f, bias in zip(factors, params.biases, strict=True)]
    hidden, phases = [_at_points(coords, len(params))], []
    for layer in range(spec.num_hidden):
        phases.append(torch.baddbmm(biases[layer], hidden[layer], weights[layer].mT))
        hidden.append(torch.sin(phases[layer]))
    prediction = torch.baddbmm(biases[-1], hidden[-1], weights[-1].mT) + spec.output_offset
    error = (2.0 / values[0].numel()) * (prediction - values)
    by_weight, by_bias = [], []
    for layer in reversed(range(spec.num_hidden + 1)):
        by_weight.append(factors[layer] * (error.mT @ hidden[layer]))
        by_bias.append(factors[layer] * error.sum(dim=1))
        if layer > 0:
            error = (error @ weights[layer]) * torch.cos(phases[layer - 1])
    return Params(weights=tuple(by_weight[::-1]), biases=tuple(by_bias[::-1]))


def adapt(
    spec: InrSpec,
    start: Params,
    step_sizes: Params,
    coords: Float[Tensor, "*shared n d_in"],
    values: Float[Tensor, "*s b n d_out"],
    inner_steps: int,
    create_graph: bool,
    momentum: float = 0.0,
) -> Params:
    """Fit b signals by inner_steps gradient steps on the mean squared error.

    Args:
        start: b initial INRs.
        step_sizes: the step size of every parameter of the b INRs, or of one for all.
        coords: (n, d_in), the same points for every INR, or (b, n, d_in), or (s, b, n, d_in) for
            points that differ from step to step.
        values: the signals: (b, n, d_out), or (s, b, n, d_out).
        create_graph: keep the graph of the gradients, for second derivatives. Without it gradients
            count as constants, which is MAML's first-order approximation.
        momentum: share of each step that the next one repeats (the heavy ball, Polyak 1964).
    """
    params, velocity = start, None
    for step in range(inner_steps):
        with torch.set_grad_enabled(create_graph):
            gradient = mse_gradient(spec, params, *points_of_step(coords, values, step))
        move = _each(torch.mul, step_sizes, gradient)
        if momentum and velocity is not None:
            move = _each(lambda new, last: new + momentum * last, move, velocity)
        params, velocity = _each(torch.sub, params, move), move
    return params


def _each(combine: Callable[[Tensor, Tensor], Tensor], first: Params, second: Params) -> Params:
    """Combine every weight and bias of two batches of INRs."""
    return Params(
        weights=tuple(map(combine, first.weights, second.weights)),
        biases=tuple(map(combine, first.biases, second.biases)),
    )


def points_of_step(coords: Tensor, values: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Points and values of an inner step; without an axis for them, all steps share theirs."""
    return (coords, values) if values.ndim == 3 else (coords[step], values[step])
