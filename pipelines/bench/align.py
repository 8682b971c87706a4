"""Alignment: how fast pairs are matched, how much nearer they come, and how much better they teach.

Three tables. Speed against published ways, one pair at a time through scipy's solver. Distances
and midpoint errors of views of one image. Accuracy of a plain MLP on weights aligned to a template.
In the last two, matching searches as `inrgen align` does by default.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from inrgen.core.grid import grid_coords
from inrgen.core.matching import MatchConfig, match, squared_distance, thorough
from inrgen.core.metrics import function_distance
from inrgen.core.mixing import midpoint_error
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.splits import Split
from inrgen.core.symmetry import Kind
from inrgen.core.template import iterated_mean
from inrgen.probes.classifiers import LabelledRows, mlp_hits
from inrgen.probes.config import ProbeTraining
from pipelines.bench.align_speed import KINDS, SpeedRow, measure_speed, pairs_of, speed_lines
from pipelines.bench.fitted import FittedViews, fit_views

SHORT: dict[Kind, str] = {"permutation": "perm", "signed": "signed", "phase": "phase"}
# One descent from the identity, beside the searches of `inrgen align`: what restarts bring.
ONCE = MatchConfig(kind="signed")
# Rows that a template is the mean of, at most; as many as `inrgen align` takes.
_TEMPLATE_OF = 1000
# Images to learn from that leave one to choose the epoch.
_FEWEST = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignBenchConfig:
    """Measure how fast pairs are matched, how much nearer they come, and how they then teach.

    Attributes:
        data: the folder that holds Fashion-MNIST; by default the digits of scikit-learn are fitted.
        items: images fitted twice, for the pairs of the first two tables.
        num_steps: updates of those fits, instead of the published recipe's.
        widths: hidden widths to time, two layers each; 32 on fitted views, others on random
            weights.
        batch: INRs of the alignment and MixUp that is timed as a loader would do it.
        probe_items: images to learn from, in the third table; 0 leaves it out. An eighth as many
            are held for choosing the epoch and a quarter for the test, so it takes 8 at least.
        probe_steps: updates of the probe's fits.
        probe: how the probe is trained; it sees weights centred, and all on one scale.
        repeats: of each timing, of which the fastest counts.
        seed: names all randomness.
    """

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
class EvidenceRow:
    """Means over pairs of views of one image: squared distance, and error of the INR halfway.

    alignment: what was searched, as `inrgen align` does; "once" is one descent from the identity,
        with signs.
    midpoint_rms: the mean over pairs of the root mean square over points, in value units.
    midpoint_mse: the mean square over points and pairs. The 0.151 for permutations and 0.120 for
        signs of this project's first study lie on this scale, as far as could be told.
    """

    alignment: str
    num_pairs: int
    squared_distance: float
    midpoint_rms: float
    midpoint_mse: float
    function_rms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRow:
    """Test accuracy of the probe after num_train images, in %; alignment as in EvidenceRow."""

    alignment: str
    num_train: int
    accuracy_percent: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignReport:
    """All that `bench align` found."""

    speed: tuple[SpeedRow, ...]
    evidence: tuple[EvidenceRow, ...]
    probe: tuple[ProbeRow, ...]

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """The three tables."""
        return table(self)

    def document(self) -> dict[str, Any]:
        """The rows of each table as plain values."""
        return asdict(self)


def run(config: AlignBenchConfig) -> AlignReport:
    """Fit, match and measure; minutes, most of them for fitting."""
    views = fit_views(
        config.data, "train", config.items, 2, num_steps=config.num_steps, seed=config.seed
    )
    speed: list[SpeedRow] = []
    for width in config.widths:
        speed += measure_speed(views, width, config.batch, config.repeats)
    return AlignReport(
        speed=tuple(speed),
        evidence=tuple(_measure_evidence(views)),
        probe=tuple(_measure_probe(config)) if config.probe_items else (),
    )


def table(report: AlignReport) -> str:
    """The report as text, a line a row."""
    lines = speed_lines(report.speed)
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


def _measure_evidence(views: FittedViews) -> list[EvidenceRow]:
    """Views of one image against each other, under each alignment."""
    spec, (one, two) = views.spec, pairs_of(views)
    coords = grid_coords(spec, views.grid)
    trials = [("none", one, two)]
    pairwise = [("signed, once", ONCE), *((kind, thorough(kind)) for kind in KINDS)]
    for name, search in pairwise:
        trials.append((name, one, match(spec, one, two, search).aligned))
    for name, search in _template_searches()[:-1]:
        template = iterated_mean(spec, views.params, config=search)
        first, second = (match(spec, template, side, search).aligned for side in (one, two))
        trials.append((name, first, second))
    return [_evidence(spec, coords, name, a, b) for name, a, b in trials]


def _template_searches() -> list[tuple[str, MatchConfig]]:
    """How rows are aligned to a template, and what the table calls it."""
    searches = [(f"template, {SHORT[kind]}", thorough(kind)) for kind in KINDS]
    return [("template, once", ONCE), *searches]


def _evidence(
    spec: InrSpec, coords: Float[Tensor, "n d_in"], name: str, one: Params, two: Params
) -> EvidenceRow:
    halfway = midpoint_error(spec, one, two, coords)
    return EvidenceRow(
        alignment=name,
        num_pairs=len(one),
        squared_distance=float(squared_distance(one, two).mean()),
        midpoint_rms=float(halfway.mean()),
        midpoint_mse=float(halfway.square().mean()),
        function_rms=float(function_distance(spec, one, two, coords).mean()),
    )


def _measure_probe(config: AlignBenchConfig) -> list[ProbeRow]:
    """Raw weights, and weights aligned to the iterated mean of some of those to learn from."""
    num = config.probe_items
    train = _fit_for_probe(config, "train", num + num // 8)
    test = _fit_for_probe(config, "test", num // 4)
    return probe_alignments(train, test, num, config.probe)


def _fit_for_probe(config: AlignBenchConfig, split: Split, num: int) -> FittedViews:
    return fit_views(
        config.data,
        split,
        num,
        1,
        num_steps=config.probe_steps,
        seed=config.seed,
        small_last_layer=True,
    )


def probe_alignments(
    train: FittedViews, test: FittedViews, num_train: int, config: ProbeTraining
) -> list[ProbeRow]:
    """The probe on raw weights, and on weights under each alignment to a template.

    The template comes from the first rows of train, num_train at most; those from num_train on
    choose the epoch.
    """

    def accuracy(first: Float[Tensor, "b p"], second: Float[Tensor, "c p"]) -> float:
        learn = LabelledRows(flat=first[:num_train], labels=train.labels[:num_train])
        choose = LabelledRows(flat=first[num_train:], labels=train.labels[num_train:])
        judge = LabelledRows(flat=second, labels=test.labels)
        return float(mlp_hits(learn, choose, judge, config, one_scale=True).double().mean())

    figures = [("none", accuracy(train.params.flat(), test.params.flat()))]
    for name, search in _template_searches():
        sample = train.params[slice(min(num_train, _TEMPLATE_OF))]
        template = iterated_mean(train.spec, sample, config=search)
        first, second = (
            match(v.spec, template, v.params, search).aligned.flat() for v in (train, test)
        )
        figures.append((name, accuracy(first, second)))
    return [
        ProbeRow(alignment=name, num_train=num_train, accuracy_percent=100 * share)
        for name, share in figures
    ]
