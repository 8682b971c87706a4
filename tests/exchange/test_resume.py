"""A killed export resumes, and ends with the same files as an export that was never killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from inrgen.exchange import export_run
from inrgen.exchange.conventions import ExportOptions
from inrgen.exchange.export_plan import Selection, plan_export
from inrgen.exchange.export_run import Export
from inrgen.exchange.formats.base import SIDECAR


def plan(store, name, out, **changes):
    options = ExportOptions(path_prefix="data") if name == "dws" else None
    return plan_export(store, name, out, **{"options": options, **changes})


def contents(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of two rows, so that a small store has many."""
    whole = Selection.parts
    monkeypatch.setattr(Selection, "parts", lambda self, rows_per_part: whole(self, 2))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", ["dws-multiview", "dws", "fit-a-nef", "huggingface"])
def test_an_export_that_stops_anywhere_ends_the_same(images, tmp_path, name):
    once = Export(plan(images, name, tmp_path / "once" / "set"))
    assert once.prepare()
    list(once.run(0))
    folder = tmp_path / "often" / "set"
    for _ in range(50):
        stopped = Export(plan(images, name, folder))
        if not stopped.prepare():
            break
        running = stopped.run(0)
        next(running, None)
        running.close()
    assert (folder / SIDECAR).exists()
    assert contents(folder).keys() == contents(tmp_path / "once" / "set").keys()
    if name != "fit-a-nef":  # HDF5 files hold times
        assert contents(folder) == contents(tmp_path / "once" / "set")


@pytest.mark.usefixtures("small_parts")
def test_threads_share_the_processors_and_change_nothing(images, tmp_path, monkeypatch):
    seen, real = set(), export_run.export_rows

    def noting(*args):
        seen.add(torch.get_num_threads())
        return real(*args)

    monkeypatch.setattr(export_run, "export_rows", noting)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        for workers in (1, 2, 4, 8):
            seen.clear()
            made = Export(plan(images, "huggingface", tmp_path / f"{workers}" / "set"))
            assert made.prepare()
            assert sum(made.run(workers)) == made.plan.selection.rows.num_rows
            assert seen == {max(1, 4 // workers)}
            with ThreadPoolExecutor(1) as other:
                assert torch.get_num_threads() == other.submit(torch.get_num_threads).result() == 4
            assert contents(made.plan.context.folder) == contents(tmp_path / "1" / "set")
    finally:
        torch.set_num_threads(before)


def test_a_killed_export_goes_on(images, tmp_path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from inrgen.exchange import export_plan, export_run\n"
        "from inrgen.exchange.formats import state_dicts\n"
        "whole = export_plan.Selection.parts\n"
        "export_plan.Selection.parts = lambda self, n: whole(self, 2)\n"
        "write = state_dicts.write_whole\n"
        "def slow(*args, **kwargs):\n"
        "    time.sleep(0.05)\n"
        "    write(*args, **kwargs)\n"
        "state_dicts.write_whole = slow\n"
        "plan = export_plan.plan_export(sys.argv[1], 'dws-multiview', Path(sys.argv[2]))\n"
        "made = export_run.Export(plan)\n"
        "made.prepare()\n"
        "for count in made.run(0):\n"
        "    print(count, flush=True)\n"
    )
    folder = tmp_path / "a" / "set"
    argv = [sys.executable, "-c", code, str(images), str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(3):
            assert child.stdout.readline() == b"2\n"
        time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    assert not (folder / SIDECAR).exists()
    whole = Selection.parts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selection, "parts", lambda self, n: whole(self, 2))
        again = Export(plan(images, "dws-multiview", folder))
        assert again.prepare()
        assert 1 <= len(again.pending()) < len(again.plan.parts) - 2
        list(again.run(0))
    once = Export(plan(images, "dws-multiview", tmp_path / "b" / "set"))
    once.prepare()
    list(once.run(0))
    assert contents(folder) == contents(tmp_path / "b" / "set")


@pytest.mark.usefixtures("small_parts")
def test_workers_write_what_one_process_does(images, tmp_path):
    for name, workers in (("one", 0), ("two", 2)):
        made = Export(plan(images, "dws", tmp_path / name / "set"))
        made.prepare()
        assert sum(made.run(workers)) == 10
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_finished_export_is_left_alone_and_another_is_refused(images, tmp_path):
    folder = tmp_path / "set"
    made = Export(plan(images, "dws", folder))
    assert made.prepare()
    list(made.run(0))
    before = contents(folder)
    assert not Export(plan(images, "dws", folder)).prepare()
    with pytest.raises(FileExistsError, match="holds another export"):
        Export(plan(images, "dws", folder, splits=("train",))).prepare()
    assert contents(folder) == before


def test_a_half_made_export_is_not_mixed_with_another(images, tmp_path):
    folder = tmp_path / "set"
    Export(plan(images, "dws", folder)).prepare()
    with pytest.raises(FileExistsError, match="the beginning of another export"):
        Export(plan(images, "nfn", folder)).prepare()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"is not empty: it holds thesis\.txt"):
        Export(plan(images, "nfn", tmp_path / "full")).prepare()


def test_two_do_not_write_at_once(images, tmp_path):
    made = Export(plan(images, "dws", tmp_path / "set"))
    made.prepare()
    running = made.run(0)
    next(running)
    with pytest.raises(BlockingIOError, match="another process is writing"):
        next(Export(plan(images, "dws", tmp_path / "set")).run(0))
    running.close()


def test_rows_without_weights_are_left_out_and_items_stay_whole(tmp_path):
    from tests.exchange.conftest import IMAGES, small_store

    store = small_store(tmp_path / "store", IMAGES, 2, "mnist", lost=(1, 4))
    whole = plan(store, "dws-multiview", tmp_path / "a").selection
    assert (whole.rows.num_rows, whole.left_out) == (16, 4)
    assert whole.rows["item"].to_pylist() == [i // 2 for i in range(16)]
    plain = plan(store, "safetensors", tmp_path / "b").selection
    assert (plain.rows.num_rows, plain.left_out) == (18, 2)
    some = plan(store, "safetensors", tmp_path / "c", views=[1], splits=("train",)).selection
    assert some.rows["row"].to_pylist() == [3, 5, 7, 9]
    with pytest.raises(ValueError, match=r"views must be among 0\.\.1; got \[2\]"):
        plan(store, "safetensors", tmp_path / "d", views=[2])
    with pytest.raises(ValueError, match="dws holds one view of each item"):
        plan(store, "dws", tmp_path / "e", views=[0, 1])
