"""Steps by curvature: the gradient divided by an approximation of the Gauss-Newton matrix."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

# Tried on 40 meshes from a start of 3-64-64-1, 50 steps: median IoU 0.82 to 0.83 for dampings from
# 1e-4 to 1e-3, and 0.77 for 1e-6; 0.63 for a momentum of 0.6, and 0.82 for 0.9. From a start of
# 3-96-96-1 a few fits get stuck with 1e-4, and 3e-3 reaches 0.84 at 1 dB less.
_MOMENTUM = 0.8
_DAMPING = 1e-3
# Share of the factors' running means that a step keeps.
_MEMORY = 0.9
# A factor without any curvature would divide 0 by 0.
_LEAST = 1e-20

# Widths differ from layer to layer.
Layers = list[Float[Tensor, "b n _d"]]


@dataclass(slots=True)
class CurvatureSteps:
    """Steps of b INRs by K-FAC (Martens and Grosse, arXiv 1503.05671), on the mean squared error.

    The Gauss-Newton matrix of a layer is taken for the Kronecker product of two small factors: the
    second moment of its inputs, and that of the derivatives of the outputs by its products. Both
    are running means over steps. With one damping for the product, shared between the factors by
    their traces (section 6.6 there), a step solves two small systems a layer. Steps have momentum
    and fall along a cosine from 1 to 0 over num_steps.

    The networks must be SIRENs, and start from learned weights: from random ones 50 steps found no
    shape in 20 meshes. inrgen/fit/README.md says where such steps fit better than learned step
    sizes, and where worse.
    """

    spec: InrSpec
    num_steps: int
    taken: int = 0
    inputs: list[Float[Tensor, "b _i _i"]] = field(default_factory=list)
    outputs: list[Float[Tensor, "b _o _o"]] = field(default_factory=list)
    velocity: Float[Tensor, "b p"] | None = None

    def next_move(
        self,
        theta: Float[Tensor, "b p"],
        coords: Float[Tensor, "c n d_in"],
        values: Float[Tensor, "b n d_out"],
        weights: Float[Tensor, "b n"] | None = None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b p"]]:
        """Mean squared error of each INR, and what the next step adds to its weights.

        An INR whose factors cannot be divided by, because it diverged, has NaN in its move.

        Args:
            coords: (c, n, d_in), c being 1 where all INRs share their points.
            values: (b, n, d_out).
            weights: shares of the points in the loss, of mean 1; (b, n).
        """
        params = Params.from_flat(self.spec, theta)
        layers, slopes, prediction = _forward(self.spec, params, coords)
        residual = prediction - values
        square = residual.square()
        share = torch.ones_like(residual[..., :1]) if weights is None else weights[..., None]
        loss = (share * square).mean(dim=(1, 2))
        num_points, num_values = values.shape[1], values[0].numel()
        deltas = _backward(self.spec, params, slopes, 2.0 / num_values * share * residual)
        gradient = [delta.mT @ layer for delta, layer in zip(deltas, layers, strict=True)]
        inputs = [(share * layer).mT @ layer / num_points for layer in layers]
        outputs = self._output_factors(params, slopes, share.expand_as(square))
        self._remember(inputs, outputs)
        step = _flat(
            [
                _divide(part, first, second)
                for part, first, second in zip(gradient, self.inputs, self.outputs, strict=True)
            ]
        )
        # A running mean from zero, so the first steps are short, until the factors are settled.
        last = torch.zeros_like(step) if self.velocity is None else self.velocity
        self.velocity = _MOMENTUM * last + (1.0 - _MOMENTUM) * step
        rate = 0.5 * (1.0 + math.cos(math.pi * self.taken / self.num_steps))
        self.taken += 1
        return loss, -rate * self.velocity

    def _output_factors(
        self, params: Params, slopes: Layers, share: Float[Tensor, "b n d_out"]
    ) -> list[Float[Tensor, "b _o _o"]]:
        """Second moments of the derivatives of each output, summed over outputs."""
        num_values = share[0].numel()
        sums: list[Tensor] = []
        for output in range(share.shape[2]):
            one = torch.zeros_like(share)
            one[..., output] = share[..., output].sqrt()
            deltas = _backward(self.spec, params, slopes, one)
            moments = [2.0 / num_values * (delta.mT @ delta) for delta in deltas]
            sums = [a + b for a, b in zip(sums, moments, strict=True)] if sums else moments
        return sums

    def _remember(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Take new factors into the running means, which at first are plain ones."""
        keep = min(_MEMORY, 1.0 - 1.0 / (self.taken + 1))
        self.inputs = _mean(keep, self.inputs, inputs)
        self.outputs = _mean(keep, self.outputs, outputs)


def _mean(keep: float, before: Sequence[Tensor], now: Sequence[Tensor]) -> list[Tensor]:
    if not before:
        return list(now)
    return [keep * a + (1.0 - keep) * b for a, b in zip(before, now, strict=True)]


def _with_ones(values: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d1"]:
    """Append the input of the biases."""
    return torch.cat([values, torch.ones_like(values[..., :1])], dim=2)


def _forward(
    spec: InrSpec, params: Params, coords: Float[Tensor, "c n d_in"]
) -> tuple[Layers, Layers, Float[Tensor, "b n d_out"]]:
    """Inputs of every layer with ones beside them, slopes of every sine, and the output."""
    hidden = coords.expand(len(params), -1, -1)
    layers, slopes = [_with_ones(hidden)], []
    for omega, weight, bias in zip(spec.omega, params.weights, params.biases, strict=False):
        phase = omega * (hidden @ weight.mT + bias[:, None, :])
        hidden = torch.sin(phase)
        slopes.append(omega * torch.cos(phase))
        layers.append(_with_ones(hidden))
    output = hidden @ params.weights[-1].mT + params.biases[-1][:, None, :]
    return layers, slopes, output + spec.output_offset


def _backward(
    spec: InrSpec, params: Params, slopes: Layers, output: Float[Tensor, "b n d_out"]
) -> Layers:
    """Carry derivatives by the output back to the products of every layer, the first one first."""
    deltas = [output]
    for layer in reversed(range(spec.num_hidden)):
        deltas.append((deltas[-1] @ params.weights[layer + 1]) * slopes[layer])
    return deltas[::-1]


def _divide(
    gradient: Float[Tensor, "b o i"],
    inputs: Float[Tensor, "b i i"],
    outputs: Float[Tensor, "b o o"],
) -> Float[Tensor, "b o i"]:
    """Divide a layer's gradient by its damped factors."""
    sizes = [factor.diagonal(dim1=1, dim2=2).mean(dim=1) for factor in (inputs, outputs)]
    ratio = (sizes[0] / sizes[1].clamp(min=_LEAST)).sqrt()
    root = math.sqrt(_DAMPING)
    right = _factor(inputs, root * ratio)
    left = _factor(outputs, root / ratio)
    half = torch.cholesky_solve(gradient, left)
    return torch.cholesky_solve(half.mT, right).mT


def _factor(matrix: Float[Tensor, "b i i"], damping: Float[Tensor, " b"]) -> Tensor:
    """Cholesky's factor of a matrix with a damped diagonal; NaN where there is none."""
    eye = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    damped = matrix + damping[:, None, None] * eye
    factor, failed = torch.linalg.cholesky_ex(damped)
    return factor.masked_fill((failed != 0)[:, None, None], torch.nan)


def _flat(layers: Sequence[Float[Tensor, "b _o _i"]]) -> Float[Tensor, "b p"]:
    """Join weights and biases of all layers, each with its biases as the last column."""
    return Params(
        weights=tuple(layer[..., :-1] for layer in layers),
        biases=tuple(layer[..., -1] for layer in layers),
    ).flat()
