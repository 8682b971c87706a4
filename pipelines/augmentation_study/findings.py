"""Findings by row: accuracies with their intervals, and the claims that they support."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import torch
from jaxtyping import Bool
from torch import Tensor

from inrgen.training.result import TrainResult
from pipelines.augmentation_study.bootstrap import Interval, accuracy_interval, paired_interval
from pipelines.augmentation_study.published import published_rows
from pipelines.augmentation_study.results import Outcome
from pipelines.augmentation_study.rows import (
    AUGMENTATIONS,
    Row,
    beyond_rows,
    contrastive_rows,
    fold_rows,
    leaky_rows,
    table_row,
    views_beside,
)

# A test item, its label, and the class that a training predicted.
Answer = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Finished trainings of a row; the folds of a seed, where it has folds, answer as one."""

    row: Row
    outcomes: tuple[Outcome, ...]

    @property
    def results(self) -> list[TrainResult]:
        return [outcome.result for outcome in self.outcomes if outcome.result is not None]

    @property
    def seeds(self) -> list[int]:
        """Seeds of its trainings, each once."""
        return sorted({outcome.run.seed for outcome in self.outcomes})

    def answers(self, seed: int) -> list[Answer]:
        """What the trainings of a seed said of each test item, in the order of their ids."""
        results = [o.result for o in self.outcomes if o.run.seed == seed and o.result is not None]
        return sorted(
            answer for r in results for answer in zip(r.items, r.labels, r.predicted, strict=True)
        )

    @property
    def labels(self) -> list[int]:
        """Labels of the test items."""
        return [label for _, label, _ in self.answers(self.seeds[0])]

    @property
    def hits(self) -> dict[int, Bool[Tensor, " items"]]:
        """For each seed a mask of the correctly classified test items, by id."""
        return {
            seed: torch.tensor([label == said for _, label, said in self.answers(seed)])
            for seed in self.seeds
        }

    @property
    def items(self) -> set[frozenset[str]]:
        """Sets of test items of its seeds; one set, unless a store changed."""
        return {frozenset(item for item, _, _ in self.answers(seed)) for seed in self.seeds}

    @property
    def percent(self) -> float:
        """Mean test accuracy over seeds."""
        return fmean(self._percents())

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return stdev(self._percents()) if len(self.seeds) > 1 else None

    def _percents(self) -> list[float]:
        return [100 * float(hits.double().mean()) for hits in self.hits.values()]

    @property
    def interval(self) -> Interval:
        return accuracy_interval(self.hits)


Findings = dict[Row, Finding]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Comparison of two rows by the bootstrap."""

    topic: str
    first: Row
    second: Row
    interval: Interval

    @property
    def verdict(self) -> str:
        """better, worse, or not resolved."""
        return {1: "better", -1: "worse", 0: "not resolved"}[self.interval.sign]


def find(outcomes: Sequence[Outcome]) -> Findings:
    """Group trainings without error by row; a seed counts once all of its folds are there."""
    by_seed: dict[tuple[Row, int], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.result is not None and not outcome.error:
            by_seed.setdefault((outcome.run.row, outcome.run.seed), []).append(outcome)
    by_row: dict[Row, list[Outcome]] = {}
    for (row, _), some in by_seed.items():
        if len(some) == max(1, row.folds):
            by_row.setdefault(row, []).extend(some)
    return {row: Finding(row=row, outcomes=tuple(some)) for row, some in by_row.items()}


def _pairs(views: int) -> list[tuple[str, Row, Row]]:
    """List comparisons: a topic and two rows each."""
    pairs: list[tuple[str, Row, Row]] = []
    for model in ("dws", "gnn"):
        for _, v in views_beside(views):
            plain = table_row("No augmentation", model, v)
            pairs += [
                ("augmentation against none", table_row(name, model, v), plain)
                for name in list(AUGMENTATIONS)[1:]
            ]
            aligned = table_row("Alignment + MixUp", model, v)
            pairs.append(("alignment before MixUp", aligned, table_row("MixUp", model, v)))
            pairs.append(("signs in alignment", replace(aligned, mixup="signed"), aligned))
        pairs += [
            ("ten views against one", table_row(name, model, views), table_row(name, model, 1))
            for name in AUGMENTATIONS
        ]
        pairs += [
            ("partners from views left out", row, replace(row, partners="clean"))
            for row in leaky_rows(model)
        ]
    for _, v in views_beside(views):
        best = table_row("Alignment + MixUp", "dws", v)
        pairs += [("beyond the paper, against its alignment", r, best) for r in beyond_rows(v)]
    for row in contrastive_rows(views):
        pairs.append(("contrastive pre-training", row, replace(row, pretrained="no")))
    for row in fold_rows():
        bare = replace(row, augment="", mixup="none")
        pairs.append(("augmentation of shapes, in folds", row, bare))
        pairs.append(("ten views of shapes against one, in folds", row, replace(row, views=1)))
    for share in (0.1, 0.25, 0.5):
        aligned = Row(mixup="aligned", fraction=share)
        pairs.append(("aligned MixUp on few images", aligned, replace(aligned, mixup="none")))
    return pairs


def claims(findings: Findings, views: int) -> list[Claim]:
    """Make every comparison whose two rows were run on the same test items."""
    return [
        Claim(
            topic=topic,
            first=first,
            second=second,
            interval=paired_interval(findings[first].hits, findings[second].hits),
        )
        for topic, first, second in dict.fromkeys(_pairs(views))
        if first in findings and second in findings and first != second
        # Hits are paired by position, so rows on other items cannot be paired.
        if len(findings[first].items | findings[second].items) == 1
    ]


def order_against_published(found: Sequence[Claim], corpus: str, views: int) -> list[list[str]]:
    """Compare each augmentation's gain here with the published one, and their signs."""
    gains = {(claim.first, claim.second): claim for claim in found}
    plain = {r.model: r for r in published_rows() if r.augmentation == "No augmentation"}
    lines = []
    for said in published_rows():
        for v, here in views_beside(views):
            figure, none = said.figures[corpus, v], plain[said.model].figures[corpus, v]
            first = table_row(said.augmentation, said.model, here)
            second = table_row("No augmentation", said.model, here)
            claim = gains.get((first, second))
            if claim is None or figure is None or none is None:
                continue
            gain, ours = figure.mean - none.mean, claim.interval
            alike = "agrees" if ours.sign * gain > 0 else "opposite"
            lines.append(
                [
                    f"{said.augmentation}, {said.model}, {v} view{'s' * (v > 1)}",
                    f"{gain:+.2f}",
                    f"{ours.mean:+.2f} ({ours.low:+.2f} to {ours.high:+.2f})",
                    alike if ours.sign else "not resolved",
                ]
            )
    return lines
