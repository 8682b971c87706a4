"""Initialise and evaluate a batch of INRs, SIRENs (arXiv 2006.09661) unless the spec differs."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.activations import ACTIVATIONS
from inrgen.core.config import InitConfig
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec


def _bounds(spec: InrSpec, init: InitConfig, layer: int) -> tuple[float, float]:
    """The bounds of weight and bias of one layer."""
    fan_in, fan_out = spec.widths[layer], spec.widths[layer + 1]
    torch_bound = 1.0 / math.sqrt(fan_in)
    is_last = layer == spec.num_hidden
    # The linear last layer has no omega; SIREN's code bounds it by that of the layer below.
    omega = spec.omega[layer - 1 if is_last else layer]
    weight = {
        "siren": math.sqrt(6.0 / fan_in) / omega,
        "glorot": math.sqrt(6.0 / (fan_in + fan_out)) / omega,
        "torch": torch_bound,
    }[init.hidden_layer]
    if layer == 0 and init.first_layer != "small":
        share = 1.0 if init.first_layer == "siren" else init.first_layer
        weight = share / fan_in
    if is_last and init.last_layer == "torch":
        weight = torch_bound
    if is_last:
        return weight, torch_bound if init.last_layer != "small" else 0.0
    named = {"zero": 0.0, "torch": torch_bound}
    # A first bias of its own is a number, or the word for the hidden layers' one.
    bias = init.first_bias if layer == 0 and init.first_bias != "hidden" else init.hidden_bias
    return weight, named[bias] if isinstance(bias, str) else bias


def init_keys(
    seed: int, init: InitConfig, items: Int[Tensor, " b"], views: Int[Tensor, " b"]
) -> Int[Tensor, " b"]:
    """The key of each INR's initialisation: by item and view, or by view alone if shared."""
    return rng.keys(seed, "init", torch.zeros_like(items) if init.shared else items, views)


def initialise(spec: InrSpec, init: InitConfig, keys: Int[Tensor, " b"]) -> Params:
    """Draw the starting weights of a batch, float32, on the device of keys."""
    weights, biases = [], []
    for layer, (fan_in, fan_out) in enumerate(pairwise(spec.widths)):
        # Each tensor folds its number into the key, so changing one width moves no other draw.
        weight, bias = _bounds(spec, init, layer)
        weights.append(rng.uniform(rng.fold(keys, 2 * layer), (fan_out, fan_in), -weight, weight))
        biases.append(rng.uniform(rng.fold(keys, 2 * layer + 1), (fan_out,), -bias, bias))
    return Params(weights=tuple(weights), biases=tuple(biases))


def encode(spec: InrSpec, coords: Float[Tensor, "... d_in"]) -> Float[Tensor, "... features"]:
    """Inputs of the first layer at some points: the coordinates, or their encoding."""
    if spec.encoding is None:
        return coords
    rows = 2.0 * math.pi * torch.tensor(spec.encoding.frequencies, dtype=torch.float64)
    columns = rows.to(coords).unbind(dim=1)
    # Written out, because a matrix product may round otherwise in another batch.
    angles = coords[..., :1] * columns[0]
    for place, column in enumerate(columns[1:], start=1):
        angles = angles + coords[..., place : place + 1] * column
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def evaluate(
    spec: InrSpec, params: Params, coords: Float[Tensor, "*shared n d_in"]
) -> Float[Tensor, "b n d_out"]:
    """The values of b INRs at n points each, output offset included.

    Args:
        coords: (n, d_in), the same points for every INR, or (b, n, d_in).
    """
    # expand shares the points among INRs without copying them.
    inputs = encode(spec, coords)
    hidden = inputs if inputs.ndim == 3 else inputs.expand(len(params), *inputs.shape)
    activation = ACTIVATIONS[spec.activation]
    for layer, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        hidden = torch.baddbmm(bias[:, None, :], hidden, weight.mT)
        if layer < spec.num_hidden:
            hidden = activation.function(hidden, spec.omega[layer])
    return hidden + spec.output_offset
