"""Networks that read weights, on a card: right against float64 on the CPU, and how fast."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.training.models.catalog import make_model, parse_model
from pipelines.bench.gpu_setting import REFERENCE, Row, Setting, seconds

# At toy size shallow or narrow networks show that the section works.
_MODELS = {"mlp": "mlp", "dws": "dws,layers=1", "signed": "signed", "gnn": "gnn,node=8,edge=4"}
_NUM_CLASSES = 10
# Of the largest logit: float32 keeps six digits of a sum, bfloat16 two and a half.
_BOUND = {"float32": 1e-3, "bfloat16": 0.1}


def training(setting: Setting) -> list[Row]:
    """Updates of each network: as it is, multiplying in bfloat16, and as CUDA graphs."""
    rows: list[Row] = []
    for name in _MODELS:
        rows.append(_row(setting, name, "float32", graphs=False))
        rows.append(_row(setting, name, "bfloat16", graphs=False))
        # The CPU has no graphs: the toy run leaves them out.
        if not setting.dry:
            rows.append(_row(setting, name, "float32", graphs=True))
    return rows


def _inrs(num: int) -> Params:
    """Weights without meaning: neither speed nor agreement asks for any."""
    keys = rng.keys(0, "training", torch.arange(num))
    return Params.from_flat(REFERENCE, rng.normal(keys, (REFERENCE.num_params,)))


def _row(setting: Setting, name: str, precision: str, *, graphs: bool) -> Row:
    num = setting.size(256, 4)
    text = _MODELS[name] if setting.dry else name
    model = make_model(parse_model(text), REFERENCE, _NUM_CLASSES, seed=0)
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
    """Seconds of an update, and the most that was held in MB; 0 where the device does not count."""
    model.train()
    if setting.device == "cpu":
        return seconds(setting, update), 0.0
    torch.cuda.reset_peak_memory_stats(setting.device)
    taken = seconds(setting, update, repeats=10)
    return taken, torch.cuda.max_memory_allocated(setting.device) / 1e6


def _gap(
    reference: nn.Module, model: nn.Module, params: Params, device: str, precision: str
) -> float:
    """The greatest difference of logits to those of float64, as a share of the largest."""
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
