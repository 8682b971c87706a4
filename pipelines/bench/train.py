"""Training bench: updates of networks that read weights, and the literal graph network."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inrgen.probes.report import TableReport, print_progress
from pipelines.bench.train_config import TrainBench

if TYPE_CHECKING:
    from pipelines.bench.train_updates import TrainRate


def table(rows: "Sequence[TrainRate]") -> str:
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
