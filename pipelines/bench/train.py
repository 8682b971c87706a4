"""Training bench: updates of networks that read weights, and the literal graph network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inrgen.probes.report import TableReport, print_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBench:
    """Time updates of each network (forward, backward, AdamW) on random weights.

    "gnn, literal" has the weights of gnn and gives its logits, computed over all pairs of units as
    relational transformers have been published. "launches" counts the operations of one forward
    and backward pass, and "peak" the memory of their results, both before torch.compile. On a busy
    machine compare CPU time, which does not count waiting.

    Attributes:
        models: NAME or NAME,FIELD=VALUE,... of each network.
        literal: time each gnn beside its literal version.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        batch_size: INRs per update.
        repeats: timed updates, after one untimed; figures are medians.
        device: cpu, cuda, or auto for a GPU where there is one.
        threads: threads on the CPU; on batches this small, more of them wait for each other.
        compile: time the networks compiled by torch.compile.
        precision: bfloat16 multiplies matrices in bfloat16.
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
            raise ValueError(f"hidden needs at least one positive width; got {self.hidden}")
        if not self.models:
            raise ValueError("models needs at least one network; got none")
        from inrgen.training.models.catalog import parse_model

        for text in self.models:
            parse_model(text)


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


def table(rows: Sequence[TrainRate]) -> str:
    """Print the rates as text."""
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


def bench_train(config: TrainBench) -> TableReport:
    """Run the bench as a command, with progress on stderr."""
    from pipelines.bench.train_updates import run

    rows = run(config, print_progress)
    return TableReport(rows=rows, table=table(rows))
