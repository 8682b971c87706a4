"""Timed updates of networks on random weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.probes.report import ignore_progress
from inrgen.training.models.catalog import make_model, parse_model
from inrgen.training.models.gnn import Gnn
from pipelines.bench.train_config import TrainBench
from pipelines.bench.train_cost import measure_time, measure_work
from pipelines.bench.train_literal import LiteralGnn

NUM_CLASSES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRate:
    """Rate of one network.

    Attributes:
        model, job: the network as typed, and the INRs by their widths.
        device, threads, batch_size: conditions of the timing.
        num_parameters: weights that the network learns.
        step_ms: wall time of an update.
        step_cpu_ms: processor time of an update.
        steps_per_s, inrs_per_s: updates and INRs per second of wall time.
        launches: operations of a forward and a backward pass.
        peak_bytes: peak memory of their results, without weights and optimiser.
        logits_apart: greatest difference of a literal version's logits from the fast one's, else
            None.
    """

    model: str
    job: str
    device: str
    threads: int
    batch_size: int
    num_parameters: int
    step_ms: float
    step_cpu_ms: float
    steps_per_s: float
    inrs_per_s: float
    launches: int
    peak_bytes: int
    logits_apart: float | None


def run(config: TrainBench, progress: Callable[[str], None] = ignore_progress) -> list[TrainRate]:
    """Time every network on the same INRs. Raises ValueError for a missing GPU."""
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        raise ValueError("device cuda needs a GPU that torch can use; there is none")
    device = torch.device("cuda" if has_gpu and config.device != "cpu" else "cpu")
    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    keys = rng.keys(config.seed, "bench train", torch.arange(config.batch_size))
    params = Params.from_flat(spec, rng.normal(keys, (spec.num_params,))).to(device)
    labels = rng.integers(keys, (), 0, NUM_CLASSES).to(device)
    rows, threads = [], torch.get_num_threads()
    # The thread count belongs to the process, so it is restored below.
    torch.set_num_threads(config.threads)
    for text in config.models:
        model = make_model(parse_model(text), spec, NUM_CLASSES, config.seed).to(device)
        progress(text)
        rows.append(_measured(config, text, spec, model, params, labels, None))
        if isinstance(model, Gnn) and config.literal:
            progress(f"{text}, literal")
            literal = LiteralGnn(model)
            apart = _apart(model, literal, params)
            rows.append(_measured(config, f"{text}, literal", spec, literal, params, labels, apart))
    torch.set_num_threads(threads)
    return rows


def _apart(model: nn.Module, literal: nn.Module, params: Params) -> float:
    """Greatest difference of two networks' logits, without dropout."""
    with torch.no_grad():
        logits = [network.eval()(params) for network in (model, literal)]
    return float((logits[0] - logits[1]).abs().max())


def _measured(
    config: TrainBench,
    text: str,
    spec: InrSpec,
    model: nn.Module,
    params: Params,
    labels: Int[Tensor, " b"],
    apart: float | None,
) -> TrainRate:
    device = params.device
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    network = torch.compile(model) if config.compile else model

    def learn(network: Callable[[Params], Tensor]) -> None:
        with torch.autocast(device.type, torch.bfloat16, config.precision == "bfloat16"):
            loss = nn.functional.cross_entropy(network(params), labels)
        loss.backward()

    def update() -> None:
        optimiser.zero_grad()
        learn(network)
        optimiser.step()

    time = measure_time(update, device, config.repeats)
    # Counted on the plain network: torch.compile hides operations from the counter.
    optimiser.zero_grad()
    work = measure_work(lambda: learn(model))
    return TrainRate(
        model=text,
        job=spec.architecture,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=config.threads,
        batch_size=config.batch_size,
        num_parameters=sum(weight.numel() for weight in model.parameters()),
        step_ms=time.wall_ms,
        step_cpu_ms=time.cpu_ms,
        steps_per_s=1e3 / time.wall_ms,
        inrs_per_s=config.batch_size * 1e3 / time.wall_ms,
        launches=work.launches,
        peak_bytes=work.peak_bytes,
        logits_apart=apart,
    )
