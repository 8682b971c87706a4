"""Transforms and matching on a GPU: correctness against the CPU, and speed."""

import importlib
from typing import Any, get_args

import torch

from inrgen.core import rng
from inrgen.core.config import InitConfig, Kind, MatchConfig
from inrgen.core.geometry import grid_coords
from inrgen.core.matching import match
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.transforms.base import Transform
from inrgen.transforms.mix import MixUp
from inrgen.transforms.named import PUBLISHED, make_transform
from pipelines.bench.gpu_setting import REFERENCE, Row, Setting, seconds

_SIDE = 28
# Bound on a float32 function against the same draw in float64; omega 30 amplifies rounding.
_VALUE_BOUND = 1e-3
_DISTANCE_BOUND = 1e-3


def _weights(num: int, name: str) -> Params:
    """Draw starting weights with biases, so that every tensor matters."""
    init = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")
    return initialise(REFERENCE, init, rng.keys(0, name, torch.arange(num)))


def transforms(setting: Setting) -> list[Row]:
    """Compare each published augmentation with the CPU in float64, a row each."""
    return [
        _transform_row(setting, name, make_transform(name, published=True)) for name in PUBLISHED
    ]


def _transform_row(setting: Setting, name: str, transform: Transform[Any]) -> Row:
    num, checked = setting.size(4096, 4), slice(0, setting.size(64, 4))
    params, keys = _weights(num, "one"), rng.keys(0, "draw", torch.arange(num))
    placed, placed_keys = params.to(device=setting.device), keys.to(setting.device)

    def move() -> Params:
        return transform.apply(placed, transform.draw(REFERENCE, placed_keys))

    few = params[checked].to(dtype=torch.float64)
    exact = transform.apply(few, transform.draw(REFERENCE, keys[checked]))
    found = move()[checked].to(device="cpu", dtype=torch.float64)
    coords = grid_coords(REFERENCE, (_SIDE, _SIDE)).double()
    gap = evaluate(REFERENCE, found, coords) - evaluate(REFERENCE, exact, coords)
    worst = float(gap.abs().max())
    return {
        "transform": name,
        "inrs": num,
        "ms": 1e3 * seconds(setting, move),
        "gap": worst,
        "ok": worst <= _VALUE_BOUND,
    }


def alignment(setting: Setting) -> list[Row]:
    """Compare each kind of matching with the CPU's, and time alignment with MixUp."""
    try:
        importlib.import_module("numba")
    except ImportError:
        return [{"matching": "not run: it needs numba, which is absent"}]
    return [*(_matching_row(setting, kind) for kind in get_args(Kind)), _mixing_row(setting)]


def _matching_row(setting: Setting, kind: Kind) -> Row:
    num, config = setting.size(4096, 4), MatchConfig(kind=kind)
    reference, params = _weights(num, "one"), _weights(num, "other")
    there, here = reference.to(device=setting.device), params.to(device=setting.device)
    on_cpu, found = (
        match(REFERENCE, reference, params, config),
        match(REFERENCE, there, here, config),
    )
    # A few pairs have two equally good assignments and end elsewhere, hence the median.
    gap = float((found.after.cpu() / on_cpu.after - 1.0).abs().median())
    taken = seconds(setting, lambda: match(REFERENCE, there, here, config))
    return {
        "matching": kind,
        "pairs": num,
        "ms_a_pair": 1e3 * taken / num,
        "gap": gap,
        "ok": gap <= _DISTANCE_BOUND,
    }


def _mixing_row(setting: Setting) -> Row:
    """Time signed alignment and MixUp of a batch of 256, as a loader runs it."""
    num, mix = setting.size(256, 4), MixUp()
    params = _weights(num, "one").to(device=setting.device)
    keys = rng.keys(0, "mix", torch.arange(num)).to(setting.device)

    def work() -> Params:
        draw = mix.draw(REFERENCE, keys, num)
        return mix.apply(params, params[draw.partner], draw)

    return {
        "matching": "signed, then MixUp",
        "pairs": num,
        "ms_a_batch": 1e3 * seconds(setting, work),
    }
