"""Evidence for alignment: distances of aligned views, and the accuracy of an MLP on them."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from inrgen.core.config import Kind, MatchConfig, thorough
from inrgen.core.geometry import grid_coords
from inrgen.core.matching import match, squared_distance
from inrgen.core.metrics import function_distance, midpoint_error
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.template import iterated_mean
from inrgen.probes.classifiers import LabelledRows, mlp_hits
from inrgen.probes.config import ProbeTraining
from pipelines.bench.align_speed import KINDS, pairs_of
from pipelines.bench.fitted import FittedViews

_SHORT: dict[Kind, str] = {"permutation": "perm", "signed": "signed", "phase": "phase"}
# One descent from the identity, to show the gain of the restarts of `inrgen align`.
_ONCE = MatchConfig(kind="signed")
# Most rows that a template is the mean of; `inrgen align` takes as many.
_TEMPLATE_ROWS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceRow:
    """Means over pairs of views of one image under one alignment.

    Attributes:
        alignment: the search, as `inrgen align` runs it; "once" is one descent from the identity,
            with signs.
        num_pairs: number of pairs.
        squared_distance: squared distance of the weights.
        midpoint_rms: error of the INR halfway between: mean over pairs of the root mean square
            over points, in value units.
        midpoint_mse: mean square over points and pairs. The 0.151 for permutations and 0.120 for
            signs of this project's first study are probably on this scale.
        function_rms: root mean square difference of the two functions.
    """

    alignment: str
    num_pairs: int
    squared_distance: float
    midpoint_rms: float
    midpoint_mse: float
    function_rms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRow:
    """Test accuracy of the probe in % after num_train images; alignment as in EvidenceRow."""

    alignment: str
    num_train: int
    accuracy_percent: float


def measure_evidence(views: FittedViews) -> list[EvidenceRow]:
    """Compare the two views of each image under each alignment."""
    spec, (one, two) = views.spec, pairs_of(views)
    coords = grid_coords(spec, views.grid)
    trials = [("none", one, two)]
    pairwise = [("signed, once", _ONCE), *((kind, thorough(kind)) for kind in KINDS)]
    for name, search in pairwise:
        trials.append((name, one, match(spec, one, two, search).aligned))
    for name, search in _template_searches()[:-1]:
        template = iterated_mean(spec, views.params, config=search)
        first, second = (match(spec, template, side, search).aligned for side in (one, two))
        trials.append((name, first, second))
    return [_evidence(spec, coords, name, a, b) for name, a, b in trials]


def _template_searches() -> list[tuple[str, MatchConfig]]:
    """Searches that align rows to a template, with their names in the table."""
    searches = [(f"template, {_SHORT[kind]}", thorough(kind)) for kind in KINDS]
    return [("template, once", _ONCE), *searches]


def _evidence(
    spec: InrSpec, coords: Float[Tensor, "n d_in"], name: str, one: Params, two: Params
) -> EvidenceRow:
    # Views of one image compute nearly the same, so what lies halfway should, too.
    halfway = midpoint_error(spec, one, two, coords)
    return EvidenceRow(
        alignment=name,
        num_pairs=len(one),
        squared_distance=float(squared_distance(one, two).mean()),
        midpoint_rms=float(halfway.mean()),
        midpoint_mse=float(halfway.square().mean()),
        function_rms=float(function_distance(spec, one, two, coords).mean()),
    )


def probe_alignments(
    train: FittedViews, test: FittedViews, num_train: int, config: ProbeTraining
) -> list[ProbeRow]:
    """Probe raw weights, and weights under each alignment to a template.

    Args:
        train: INRs to learn from, num_train of them, then those that choose the epoch. The
            template is the mean of the first rows.
    """

    def accuracy(first: Float[Tensor, "b p"], second: Float[Tensor, "c p"]) -> float:
        learn = LabelledRows(flat=first[:num_train], labels=train.labels[:num_train])
        choose = LabelledRows(flat=first[num_train:], labels=train.labels[num_train:])
        judge = LabelledRows(flat=second, labels=test.labels)
        return float(mlp_hits(learn, choose, judge, config, one_scale=True).double().mean())

    figures = [("none", accuracy(train.params.flat(), test.params.flat()))]
    for name, search in _template_searches():
        sample = train.params[slice(min(num_train, _TEMPLATE_ROWS))]
        template = iterated_mean(train.spec, sample, config=search)
        first, second = (
            match(v.spec, template, v.params, search).aligned.flat() for v in (train, test)
        )
        figures.append((name, accuracy(first, second)))
    return [
        ProbeRow(alignment=name, num_train=num_train, accuracy_percent=100 * share)
        for name, share in figures
    ]
