"""Networks that read weights on a GPU: correctness against float64 on the CPU, and speed."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.training.models.catalog import make_model, parse_model
from pipelines.bench.gpu_setting import REFERENCE, Row, Setting, seconds

# Shallow or narrow networks suffice at toy size.
_MODELS = {"mlp": "mlp", "dws": "dws,layers=1", "signed": "signed", "gnn": "gnn,node=8,edge=4"}
_NUM_CLASSES = 10
# Bounds as shares of the largest logit: float32 keeps six digits of a sum, bfloat16 two or three.
_BOUND = {"float32": 1e-3, "bfloat16": 0.1}


def training(setting: Setting) -> list[Row]:
    """Time updates of each network: in float32, in bfloat16, and as CUDA graphs."""
    rows: list[Row] = []
    for name in _MODELS:
        rows.append(_row(setting, name, "float32", graphs=False))
        rows.append(_row(setting, name, "bfloat16", graphs=False))
        # The CPU has no graphs: the toy run leaves them out.
        if not setting.dry:
            rows.append(_row(setting, name, "float32", graphs=True))
    return rows


def _inrs(num: int) -> Params:
    """Random weights; neither speed nor agreement depends on their meaning."""
    keys = rng.keys(0, "training", torch.arange(num))
    return Params.from_flat(REFERENCE, rng.normal(keys, (REFERENCE.num_params,)))


def _row(setting: Setting, name: str, precision: str, *, graphs: bool) -> Row:
    num = setting.size(256, 4)
    text = _MODELS[name] if setting.dry else name
    model = make_model(parse_model(text), REFERENCE, _NUM_CLASSES, seed=0)
    # Copied before the model moves, so that both start from the same weights.
    reference = copy.deepcopy(model).double().eval()
    params = _inrs(num)
    model = model.to(setting.device)
    network = torch.compile(model, mode="reduce-overhead") if graphs else model
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    placed = params.to(device=setting.device)
    labels = (torch.arange(num) % _NUM_CLASSES).to(setting.device)
    gap = _gap(reference, model, params, setting.device, precision)

    def update() -> None:
        optimiser.zero_grad(set_to_none=True)
        with _autocast(setting.device, precision):
            logits = network(placed)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimiser.step()

    taken, peak = _timed(setting, update, model)
    return {
        "model": name,
        "precision": precision,
        "graphs": graphs,
        "batch": num,
        "ms_a_step": 1e3 * taken,
        "inrs_a_second": num / taken,
        "peak_mb": peak,
        "gap": gap,
        "ok": gap <= _BOUND[precision],
    }


def _timed(setting: Setting, update: Callable[[], None], model: nn.Module) -> tuple[float, float]:
    """Seconds per update, and peak memory in MB; 0 on a CPU, which does not count it."""
    model.train()
    if setting.device == "cpu":
        return seconds(setting, update), 0.0
    torch.cuda.reset_peak_memory_stats(setting.device)
    taken = seconds(setting, update, repeats=10)
    return taken, torch.cuda.max_memory_allocated(setting.device) / 1e6


def _gap(
    reference: nn.Module, model: nn.Module, params: Params, device: str, precision: str
) -> float:
    """Greatest difference of the logits from float64, as a share of the largest logit."""
    few = params[: min(len(params), 16)]
    model.eval()
    with torch.no_grad():
        exact: Tensor = reference(few.to(dtype=torch.float64))
        with _autocast(device, precision):
            found: Tensor = model(few.to(device=device))
    return float((found.cpu().double() - exact).abs().max() / exact.abs().max())


def _autocast(device: str, precision: str) -> torch.autocast:
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")
