"""Evidence for alignment: distances of aligned views, and the accuracy of an MLP on them."""

from jaxtyping import Float
from torch import Tensor

from inrgen.core.config import Kind, MatchConfig, Split, thorough
from inrgen.core.geometry import grid_coords
from inrgen.core.matching import match, squared_distance
from inrgen.core.metrics import function_distance, midpoint_error
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.template import iterated_mean
from inrgen.probes.classifiers import LabelledRows, mlp_hits
from inrgen.probes.config import ProbeTraining
from pipelines.bench.align import AlignBench, EvidenceRow, ProbeRow
from pipelines.bench.align_speed import KINDS, pairs_of
from pipelines.bench.fitted import FittedViews, fit_views

_SHORT: dict[Kind, str] = {"permutation": "perm", "signed": "signed", "phase": "phase"}
# One descent from the identity, to show the gain of the restarts of `inrgen align`.
_ONCE = MatchConfig(kind="signed")
# Most rows that a template is the mean of; `inrgen align` takes as many.
_TEMPLATE_ROWS = 1000


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


def measure_probe(config: AlignBench) -> list[ProbeRow]:
    """Probe raw weights, and weights aligned to the iterated mean of some training rows."""
    num = config.probe_items
    train = _fit_for_probe(config, "train", num + num // 8)
    test = _fit_for_probe(config, "test", num // 4)
    return probe_alignments(train, test, num, config.probe)


def _fit_for_probe(config: AlignBench, split: Split, num: int) -> FittedViews:
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
