"""Results on disk: written whole and once, and read for one scale alone."""

import errno
import fcntl
import os
from dataclasses import replace

import pytest

from pipelines.augmentation_study import run_lock, schedule
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.results import (
    error_text,
    is_done,
    is_final,
    read_outcomes,
    results_folder,
    write_outcome,
)
from pipelines.augmentation_study.rows import Row
from pipelines.augmentation_study.run_lock import claim_run
from pipelines.augmentation_study.scales import scale, train_config
from pipelines.augmentation_study.schedule import Tally, plan_runs, run_pending
from pipelines.augmentation_study.stores import Places

TINY = scale("tiny")
ROWS = (Row(), Row(mixup="signed"), Row(model="signed,points=64"))


def test_outcomes_come_back_as_they_were(tmp_path, outcome, recipe_outcome):
    written = [outcome(ROWS[0], 0.5), outcome(ROWS[2], 0.7, seed=1)]
    written.append(recipe_outcome(Row(recipe="fast,steps=60"), 50.0))
    for one in written:
        write_outcome(tmp_path, TINY, one)
    found = {one.run.run_id: one for one in read_outcomes(tmp_path, TINY)}
    assert list(found) == sorted(one.run.run_id for one in written)
    for one in written:
        assert repr(found[one.run.run_id]) == repr(one)
    assert not list(results_folder(tmp_path, TINY).glob("_*"))


def test_a_result_is_never_replaced(tmp_path, outcome):
    write_outcome(tmp_path, TINY, outcome(ROWS[0], 0.5))
    write_outcome(tmp_path, TINY, outcome(ROWS[0], 0.9))
    (found,) = read_outcomes(tmp_path, TINY)
    assert repr(found) == repr(outcome(ROWS[0], 0.5))


def test_results_of_another_setting_of_the_scale_are_refused(tmp_path, outcome):
    write_outcome(tmp_path, TINY, outcome(ROWS[0], 0.5))
    with pytest.raises(ValueError, match="differs in shape_steps, batch"):
        read_outcomes(tmp_path, replace(TINY, shape_steps=13, batch=16))


def test_a_result_is_held_to_its_own_network_alone(tmp_path, outcome):
    write_outcome(tmp_path, TINY, outcome(Row(model="dws"), 0.5))
    others = {**TINY.models, "gnn": "gnn,node=4"}
    assert len(read_outcomes(tmp_path, replace(TINY, models=others))) == 1
    with pytest.raises(ValueError, match="differs in models"):
        read_outcomes(tmp_path, replace(TINY, models={**others, "dws": "dws,heads=2"}))


def test_results_of_another_number_of_updates_lie_apart(tmp_path, outcome):
    longer = replace(TINY, steps=100)
    write_outcome(tmp_path, TINY, outcome(ROWS[0], 0.5))
    write_outcome(tmp_path, longer, outcome(ROWS[1], 0.6))
    assert [one.run.row for one in read_outcomes(tmp_path, TINY)] == [ROWS[0]]
    assert [one.run.row for one in read_outcomes(tmp_path, longer)] == [ROWS[1]]


@pytest.fixture
def setting(tmp_path):
    return Setting(scale=TINY, places=Places(out=tmp_path), device="cpu", threads=1)


@pytest.fixture
def executed(monkeypatch, outcome):
    """Record executed runs; on two threads the second one is interrupted."""
    runs = []

    def execute(setting, run, folder):
        assert folder.is_dir()
        runs.append(run)
        if len(runs) == 2 and setting.threads == 2:
            raise KeyboardInterrupt
        return outcome(run.row, 0.5, run.seed)

    monkeypatch.setattr(schedule, "execute", execute)
    return runs


def test_a_study_that_is_stopped_goes_on_with_what_is_left(setting, executed):
    runs = plan_runs(ROWS, 2)
    with pytest.raises(KeyboardInterrupt):
        run_pending(replace(setting, threads=2), runs, jobs=1, minutes=None)
    assert [is_done(setting.places.out, TINY, run) for run in runs] == [True] + [False] * 5
    assert run_pending(setting, runs, jobs=1, minutes=None) == Tally(done=5, left=0)
    assert executed == [runs[0], *runs[1:2], *runs[1:]]
    assert run_pending(setting, runs, jobs=1, minutes=None) == Tally(done=0, left=0)


def test_two_studies_in_one_folder_share_the_runs(setting, executed):
    out, runs = setting.places.out, plan_runs(ROWS, 1)
    with claim_run(out, TINY, runs[0]) as folder:
        assert folder is not None
        with claim_run(out, TINY, runs[0]) as again:
            assert again is None
        assert run_pending(setting, runs, jobs=1, minutes=None) == Tally(done=2, left=1)
    assert executed == [runs[1], runs[2]]
    assert run_pending(setting, runs, jobs=1, minutes=None) == Tally(done=1, left=0)
    assert executed == [runs[1], runs[2], runs[0]]
    assert not list((out / f"running-{TINY.tag}").iterdir())


def test_an_error_that_passes_leaves_the_run_and_one_of_its_own_ends_it(
    setting, monkeypatch, outcome
):
    errors = {ROWS[0]: OSError("disk full"), ROWS[1]: ValueError("no such row")}

    def execute(setting, run, folder):
        error = errors.get(run.row)
        if error is None:
            return outcome(run.row, 0.5)
        transient = not is_final(error)
        failed = replace(outcome(run.row, 0.5), result=None, error=error_text(error))
        return replace(failed, transient=transient)

    monkeypatch.setattr(schedule, "execute", execute)
    out, runs = setting.places.out, plan_runs(ROWS, 1)
    told = run_pending(setting, runs, jobs=1, minutes=None)
    assert told == Tally(done=2, left=1, failed=2, transient=1)
    assert [is_done(out, TINY, run) for run in runs] == [False, True, True]
    errors.clear()
    assert run_pending(setting, runs, jobs=1, minutes=None) == Tally(done=1, left=0)
    failed = {one.run.row: one.error for one in read_outcomes(out, TINY) if one.error}
    assert failed == {ROWS[1]: "ValueError: no such row"}


@pytest.mark.parametrize("error", ["StoreBusy: x", "RuntimeError: x", "OutOfMemoryError: x"])
def test_an_error_that_passes_and_was_kept_before_is_tried_again(error, setting, executed, outcome):
    out, runs = setting.places.out, plan_runs(ROWS, 1)
    good = outcome(ROWS[0], 0.5)
    write_outcome(out, TINY, replace(good, result=None, error=error))
    write_outcome(out, TINY, replace(outcome(ROWS[1], 0.5), result=None, error="ValueError: x"))
    write_outcome(out, TINY, replace(outcome(ROWS[2], 0.5), error="the loss is not finite"))
    assert ROWS[0] not in {one.run.row for one in read_outcomes(out, TINY)}
    assert run_pending(setting, runs, jobs=1, minutes=None) == Tally(done=1, left=0)
    assert executed == [runs[0]]
    assert repr(good) in map(repr, read_outcomes(out, TINY))


def test_claims_hold_where_a_folder_cannot_be_locked(tmp_path, monkeypatch):
    """Lock as NFS does: an exclusive lock needs a file open for writing."""
    flock = fcntl.flock

    def of_files_alone(handle, how):
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(handle, how)

    monkeypatch.setattr(run_lock.fcntl, "flock", of_files_alone)
    run = plan_runs(ROWS, 1)[0]
    with claim_run(tmp_path, TINY, run) as folder, claim_run(tmp_path, TINY, run) as again:
        assert (folder is None, again) == (False, None)


def test_a_claim_of_an_earlier_version_holds(tmp_path):
    run = plan_runs(ROWS, 1)[0]
    folder = tmp_path / f"running-{TINY.tag}" / run.run_id
    folder.mkdir(parents=True)
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with claim_run(tmp_path, TINY, run) as claim:
        assert claim is None
    os.close(handle)
    with claim_run(tmp_path, TINY, run) as claim:
        assert claim == folder


def test_no_run_is_begun_when_the_minutes_are_up(setting, executed):
    assert run_pending(setting, plan_runs(ROWS, 1), jobs=1, minutes=0) == Tally(done=0, left=3)
    assert executed == []


def test_all_rows_have_a_seed_before_any_has_two():
    assert [run.seed for run in plan_runs(ROWS, 2)] == [0, 0, 0, 1, 1, 1]


def test_results_of_another_recipe_lie_apart_with_stores_of_their_own(tmp_path, outcome):
    other = TINY.with_recipe("sharp")
    write_outcome(tmp_path, TINY, outcome(ROWS[0], 0.5))
    assert not read_outcomes(tmp_path, other)
    assert (other.tag, other.folder) == (f"{TINY.tag}-sharp", f"{TINY.folder}-sharp")
    assert replace(other, steps=100).tag == f"{TINY.tag}-sharp-100-updates"
    assert TINY.with_recipe(TINY.recipe) == TINY


def test_results_of_another_lr_lie_apart_and_every_network_takes_it(tmp_path, outcome):
    other = replace(TINY, lr=3e-3)
    write_outcome(tmp_path, TINY, outcome(ROWS[0], 0.5))
    assert not read_outcomes(tmp_path, other)
    assert other.tag == f"{TINY.tag}-lr-0.003"
    lrs = {train_config(other, name, 0, 10, 100).lr for name in ("dws", "gnn", "mlp", "signed")}
    assert lrs == {3e-3}
