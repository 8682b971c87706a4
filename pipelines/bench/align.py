"""Alignment bench: speed of matching, distances after it, and what aligned weights teach.

Three tables: speed beside published methods; distances and midpoint errors of two views of one
image; accuracy of a plain MLP on weights aligned to a template. In the last two, matching searches
as `inrgen align` does by default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from inrgen.core.summary import Summary
from inrgen.probes.config import ProbeTraining

if TYPE_CHECKING:
    from pipelines.bench.align_evidence import EvidenceRow, ProbeRow
    from pipelines.bench.align_speed import SpeedRow

# Fewer images leave none to choose the epoch.
_FEWEST = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignBench:
    """Measure how fast pairs are matched, how much nearer they come, and what they then teach.

    Attributes:
        data: the folder that holds Fashion-MNIST; None fits the digits of scikit-learn.
        items: images fitted twice, for the pairs of the first two tables.
        num_steps: updates of those fits, instead of the published recipe's.
        widths: hidden widths to time, two layers each; 32 uses fitted views, others random
            weights.
        batch: INRs of the timed alignment and MixUp, as a loader would run it.
        probe_items: images to learn from in the third table; 0 leaves it out. An eighth as many
            more choose the epoch and a quarter are for the test, so it takes at least 8.
        probe_steps: updates of the probe's fits.
        probe: training of the probe; it sees weights centred and all on one scale.
        repeats: repeats of each timing; the fastest counts.
        seed: names all randomness.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "probe": "probe_items probe_steps probe",
    }

    data: str | None = None
    items: int = 64
    num_steps: int | None = None
    widths: tuple[int, ...] = (32, 128)
    batch: int = 256
    probe_items: int = 0
    probe_steps: int = 250
    probe: ProbeTraining = field(default_factory=ProbeTraining)
    repeats: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("items", "batch", "probe_steps", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.num_steps is not None and self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1; got {self.num_steps}")
        if not all(width > 0 for width in self.widths):
            raise ValueError(f"widths must be positive; got {self.widths}")
        if self.probe_items and self.probe_items < _FEWEST:
            raise ValueError(
                f"probe_items must be 0, which leaves the probe out, or at least {_FEWEST}, of "
                f"which an eighth choose the epoch; got {self.probe_items}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignReport(Summary):
    """Rows of the three tables."""

    speed: "tuple[SpeedRow, ...]"
    evidence: "tuple[EvidenceRow, ...]"
    probe: "tuple[ProbeRow, ...]"

    def text(self) -> str:
        """The three tables."""
        return table(self)


def bench_align(config: AlignBench) -> AlignReport:
    """Fit, match and measure. This takes minutes, most of them for fitting."""
    from pipelines.bench.align_evidence import measure_evidence
    from pipelines.bench.align_speed import measure_speed
    from pipelines.bench.fitted import fit_views

    views = fit_views(
        config.data, "train", config.items, 2, num_steps=config.num_steps, seed=config.seed
    )
    speed: list[SpeedRow] = []
    for width in config.widths:
        speed += measure_speed(views, width, config.batch, config.repeats)
    return AlignReport(
        speed=tuple(speed),
        evidence=tuple(measure_evidence(views)),
        probe=_probe(config) if config.probe_items else (),
    )


def _probe(config: AlignBench) -> "tuple[ProbeRow, ...]":
    """Fit images once and probe their weights, raw and under each alignment."""
    from pipelines.bench.align_evidence import probe_alignments
    from pipelines.bench.fitted import fit_views

    num = config.probe_items
    steps, seed = config.probe_steps, config.seed
    train = fit_views(config.data, "train", num + num // 8, 1, steps, seed, small_last_layer=True)
    test = fit_views(config.data, "test", num // 4, 1, steps, seed, small_last_layer=True)
    return tuple(probe_alignments(train, test, num, config.probe))


def table(report: AlignReport) -> str:
    """Print the report as text, one line per row."""
    lines = ["job             method              pairs  ms a pair  CPU ms a pair  over published"]
    lines += [
        f"{r.job:15} {r.method:18} {r.pairs:6d} {r.ms_a_pair:10.4f} {r.cpu_ms_a_pair:14.4f}"
        f" {r.speedup:14.1f}x"
        for r in report.speed
    ]
    lines += ["", "alignment        pairs  squared distance  midpoint RMS  and MSE  function RMS"]
    lines += [
        f"{r.alignment:15} {r.num_pairs:6d} {r.squared_distance:17.4f} {r.midpoint_rms:13.4f}"
        f" {r.midpoint_mse:8.4f} {r.function_rms:13.4f}"
        for r in report.evidence
    ]
    if report.probe:
        lines += ["", "probe on         images  test accuracy"]
        lines += [
            f"{r.alignment:15} {r.num_train:7d} {r.accuracy_percent:13.1f}%" for r in report.probe
        ]
    return "\n".join(lines)
