"""How fast networks learn from weights, and the factored graph network beside the literal one."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.probes.report import TableReport
from inrgen.training.models.catalog import make_model, parse_model
from inrgen.training.models.gnn import Gnn
from pipelines.bench.train_cost import measure_time, measure_work
from pipelines.bench.train_literal import LiteralGnn

NUM_CLASSES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBench:
    """Times updates of each network (forward, backward, AdamW) on made-up weights.

    "gnn, literal" has the gnn's weights and gives its logits, worked out over all pairs of units
    as relational transformers have been published. "launches" counts the operations that one
    forward and backward pass hands to the device and "peak" what their results hold at once, both
    before torch.compile. On a busy machine compare CPU time, which waits for nobody.

    Attributes:
        models: NAME or NAME,KEY=VALUE,... of each network.
        literal: whether each gnn stands beside its literal version.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        batch_size: INRs of an update.
        repeats: updates that are timed, after one that is not; figures are medians.
        device: cpu, cuda, or auto for a GPU where there is one.
        threads: of the CPU's work; on batches this small, more wait for each other.
        compile: time what torch.compile makes of each network.
        precision: bfloat16 multiplies matrices in it.
        seed: names the networks' first weights and the INRs.
    """

    models: tuple[str, ...] = ("mlp", "dws", "signed", "gnn")
    literal: bool = True
    hidden: tuple[int, ...] = (32, 32)
    batch_size: int = 16
    repeats: int = 3
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    compile: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "repeats", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden needs one positive width or more; got {self.hidden}")
        if not self.models:
            raise ValueError("models needs at least one network; got none")
        for text in self.models:
            parse_model(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRate:
    """One network.

    num_parameters: weights that it learns. step_ms: one update by the clock, and step_cpu_ms what
    the CPU worked for it. inrs_per_s: INRs learned from, by the clock. launches: operations of a
    forward and a backward pass. peak_bytes: the most that their results hold at once, without
    weights and optimiser.
    logits_apart: of a literal version, the greatest difference to the logits of the fast one.
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


def _silent(line: str) -> None:
    """Say nothing of the progress."""


def run(config: TrainBench, progress: Callable[[str], None] = _silent) -> list[TrainRate]:
    """Every network on the same INRs, one after the other. Raises ValueError for a missing GPU."""
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        raise ValueError("device cuda needs a GPU that torch can use; there is none")
    device = torch.device("cuda" if has_gpu and config.device != "cpu" else "cpu")
    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    keys = rng.keys(config.seed, "bench train", torch.arange(config.batch_size))
    params = Params.from_flat(spec, rng.normal(keys, (spec.num_params,))).to(device)
    labels = rng.integers(keys, (), 0, NUM_CLASSES).to(device)
    rows, threads = [], torch.get_num_threads()
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
    """The greatest difference of two networks' logits, without dropout."""
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


def table(rows: Sequence[TrainRate]) -> str:
    """The rates as people read them."""
    width = 2 + max(len(row.model) for row in rows)
    lines = [
        f"{'model':<{width}}{'parameters':>10}{'ms/step':>10}{'CPU ms':>9}{'steps/s':>9}"
        f"{'INRs/s':>8}{'launches':>10}{'peak MB':>9}"
    ]
    lines += [
        f"{row.model:<{width}}{row.num_parameters:>10,}{row.step_ms:>10,.1f}{row.step_cpu_ms:>9,.1f}"
        f"{row.steps_per_s:>9.3g}{row.inrs_per_s:>8,.0f}{row.launches:>10,}"
        f"{row.peak_bytes / 1e6:>9,.0f}"
        for row in rows
    ]
    first = rows[0]
    lines.append(
        f"{first.job} in batches of {first.batch_size} on {first.device}, threads: {first.threads}"
    )
    lines += [
        f"{row.model} gives the same logits to within {row.logits_apart:.1g}"
        for row in rows
        if row.logits_apart is not None
    ]
    return "\n".join(lines)


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is for the table alone."""
    sys.stderr.write(line + "\n")


def bench_train(config: TrainBench) -> TableReport:
    """The benchmark as a command, which says on stderr what it is at."""
    rows = run(config, _say)
    return TableReport(rows=rows, table=table(rows))
