"""Rows in folds: the trainings of a seed answer together for every shape."""

import json
from dataclasses import replace

import pytest

from pipelines.augmentation_study.findings import claims, find
from pipelines.augmentation_study.results import (
    Run,
    is_done,
    read_outcomes,
    results_folder,
    write_outcome,
)
from pipelines.augmentation_study.rows import fold_rows
from pipelines.augmentation_study.scales import scale
from pipelines.augmentation_study.schedule import plan_runs
from pipelines.augmentation_study.sections import shapes_section
from pipelines.augmentation_study.sections_table import floor_of

TINY = scale("tiny")
ROW = fold_rows()[0]


@pytest.fixture
def folded(outcome):
    """Make the outcomes of a row's folds, each over items of its own."""

    def make(row, accuracies, seed=0):
        whole = [outcome(row, accuracy, seed) for accuracy in accuracies]
        return [
            replace(
                one,
                run=replace(one.run, fold=fold),
                result=replace(
                    one.result, items=tuple(f"{item}/{fold}" for item in one.result.items)
                ),
            )
            for fold, one in enumerate(whole)
        ]

    return make


def test_every_fold_is_a_run_with_a_result_of_its_own(folded, tmp_path):
    runs = plan_runs([ROW], seeds=2)
    assert len({run.run_id for run in runs}) == len(runs) == 2 * ROW.folds
    outcomes = folded(ROW, [0.5, 0.6, 0.7, 0.8])
    for one in outcomes:
        write_outcome(tmp_path, TINY, one)
    assert [is_done(tmp_path, TINY, run) for run in runs] == [True] * 4 + [False] * 4
    assert [one.run for one in read_outcomes(tmp_path, TINY)] == [one.run for one in outcomes]


def test_a_result_of_before_folds_is_read(outcome, tmp_path):
    write_outcome(tmp_path, TINY, outcome(replace(ROW, folds=0), 0.5))
    (path,) = results_folder(tmp_path, TINY).iterdir()
    facts = json.loads(path.read_text(encoding="utf-8"))
    del facts["fold"], facts["row"]["folds"]
    path.write_text(json.dumps(facts), encoding="utf-8")
    (one,) = read_outcomes(tmp_path, TINY)
    assert one.run == Run(row=replace(ROW, folds=0), seed=0)


def test_folds_answer_as_one_and_for_all_items(folded):
    outcomes = folded(ROW, [0.2, 0.4, 0.6, 0.8])
    (found,) = find(outcomes).values()
    accuracies = [one.result.test_accuracy for one in outcomes]
    assert found.percent == pytest.approx(100 * sum(accuracies) / 4)
    assert found.seeds == [0]
    assert found.spread is None
    assert len(found.hits[0]) == len(found.labels) == 4 * len(outcomes[0].result.items)
    assert floor_of(found) == pytest.approx(25.0)


def test_a_seed_without_all_of_its_folds_does_not_count(folded):
    first, second = folded(ROW, [0.5] * 4), folded(ROW, [0.9] * 4, seed=1)
    assert find(first[:3]) == {}
    (found,) = find([*first, *second[1:]]).values()
    assert found.seeds == [0]
    (found,) = find([*first, *second]).values()
    assert found.seeds == [0, 1]


def test_claims_pair_the_shapes_of_all_folds(folded):
    negation = replace(ROW, augment="siren-negation")
    findings = find([*folded(ROW, [0.5] * 4), *folded(negation, [0.5, 0.5, 0.5, 0.9])])
    (claim,) = claims(findings, 10)
    assert (claim.first, claim.second) == (negation, ROW)
    assert claim.interval.mean == pytest.approx(10, abs=2)
    section = shapes_section(findings, [], [])
    (table,) = section.tables
    by_name = {line[0]: line[1] for line in table.rows}
    assert by_name[ROW.row_id].endswith("1 seed)")
    assert by_name[fold_rows()[-1].row_id] == "not run"
