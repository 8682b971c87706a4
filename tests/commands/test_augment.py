"""Parent, transforms, copies and seed alone decide an augmented store."""

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from inrgen.commands.align import AlignConfig, align
from inrgen.commands.augment import AugmentConfig, augment
from inrgen.commands.verify import VerifyConfig, verify
from inrgen.core.geometry import grid_coords
from inrgen.core.siren import evaluate
from inrgen.executors.config import ExecutorConfig
from inrgen.jobs.operations import Augment, augment_parameters
from inrgen.jobs.repair import replay
from inrgen.loaders.stream import StreamLoader
from inrgen.store.errors import StoreBusy
from inrgen.store.layout import STAGING
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from inrgen.store.writer import StoreWriter
from inrgen.transforms.named import parse_links
from tests.made_up import MadeUp

MOVING = "rotation:bound_deg=20,gaussian-noise:scale=0.1:chance=0.5"
COPIES = 3


def config(parent: Path, out: Path, **changes) -> AugmentConfig:
    asked = {"store": parent, "out": out, "augment": MOVING, "copies": COPIES, "seed": 7}
    return AugmentConfig(**{**asked, "how": ExecutorConfig(workers=2), **changes})


@pytest.fixture(scope="module")
def moved(parent, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("augment") / "moved"
    augment(config(parent, out))
    return out


def test_copies_lie_together_and_name_their_parents(made_up, moved):
    store = open_store(moved)
    assert verify_store(moved).ok
    assert store.layouts[made_up.spec.spec_id].views == made_up.views * COPIES
    table = store.records.to_table().sort_by("row")
    rows = np.arange(made_up.rows * COPIES)
    np.testing.assert_array_equal(table["row"].to_numpy(), rows)
    np.testing.assert_array_equal(table["parent_row"].to_numpy(), rows // COPIES)
    np.testing.assert_array_equal(table["view"].to_numpy(), rows % (made_up.views * COPIES))
    parents = [made_up.records[row // COPIES] for row in rows]
    for column in ("item_id", "label", "split", "status", "reason", "seed", "source_sha256"):
        assert table[column].to_pylist() == [getattr(record, column) for record in parents]
    assert set(table["operation"].to_pylist()) == {"augment"}
    assert np.isnan(table["psnr_db"].to_numpy()).all(), "moved rows were not measured"


def test_a_stored_draw_replays_its_row_bit_for_bit(made_up, parent, moved, tmp_path):
    augment(config(parent, tmp_path / "noisy", augment="gaussian-noise"))
    for path in (moved, tmp_path / "noisy"):
        store = open_store(path)
        unserved = {row * COPIES + copy for row in made_up.bad for copy in range(COPIES)}
        rows = [row for row in range(made_up.rows * COPIES) if row not in unserved]
        again = replay(open_store(parent), store, rows).flat()
        assert torch.equal(again, store.read(rows).flat())
        assert len({r.tobytes() for r in again.numpy()}) == len(rows), "each copy is another"


def test_bad_rows_stay_bad_and_new_ones_are_recorded(made_up, parent, tmp_path):
    out = tmp_path / "store"
    said = augment(config(parent, out, augment="gaussian-noise:scale=1e39:chance=0.5", copies=1))
    assert verify_store(out).ok
    table = open_store(out).records.to_table().sort_by("row")
    status, reason = table["status"].to_pylist(), table["reason"].to_pylist()
    assert [r for r, s in enumerate(status) if s == "bad_input"] == list(made_up.bad)
    assert all(reason[row] == "it cannot be read" for row in made_up.bad)
    assert all(table["draw"][row].as_py() == b"" for row in made_up.bad)
    turned = [row for row, one in enumerate(status) if one == "non_finite"]
    assert 400 < len(turned) < 650
    assert said.quality.by_status["non_finite"] == len(turned)
    assert {reason[r] for r in turned} == {"augment turned it into something that is not finite"}
    assert open_store(out).read(turned).flat().isnan().all()


def test_a_chain_of_symmetries_keeps_functions_and_their_psnr(made_up, parent, tmp_path):
    augment(config(parent, tmp_path / "store", augment="symmetry:max_phase=2", copies=2))
    store, rows = open_store(tmp_path / "store"), range(20, 220)
    coords = grid_coords(made_up.spec, (8, 8), torch.float64)
    now = store.read(rows).to(dtype=torch.float64)
    before = open_store(parent).read([row // 2 for row in rows]).to(dtype=torch.float64)
    assert not torch.equal(now.flat(), before.flat())
    values = [evaluate(made_up.spec, params, coords) for params in (now, before)]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-4)
    psnr = store.records.to_table().sort_by("row")["psnr_db"].to_numpy()
    np.testing.assert_array_equal(psnr[40:], np.repeat([20 + r / 100 for r in range(20, 1064)], 2))


@pytest.fixture
def noisy(tmp_path) -> Path:
    """A small store, its augmentation by a noise, that one's alignment, and noise over each."""
    small = type("Small", (MadeUp,), {"bad": (1,)})(rows=80)
    small.build(tmp_path / "0")
    noise = {"augment": "gaussian-noise:scale=0.1", "copies": 1}
    augment(config(tmp_path / "0", tmp_path / "1", **noise))
    aligning = {"template": "pairs", "match": "permutation", "restarts": 0, "init": "identity"}
    align(AlignConfig(store=tmp_path / "1", out=tmp_path / "1 aligned", **aligning))
    augment(config(tmp_path / "1", tmp_path / "2", **noise))
    augment(config(tmp_path / "1 aligned", tmp_path / "2 aligned", **noise))
    augment(config(tmp_path / "2 aligned", tmp_path / "3 aligned", **noise))
    return tmp_path


@pytest.mark.usefixtures("quickly")
def test_augmentations_one_after_the_other_draw_independently(noisy):
    def noise(after: str, before: str) -> np.ndarray:
        flat = [open_store(noisy / name).read(range(4, 80)).flat() for name in (after, before)]
        return (flat[0] - flat[1]).numpy().ravel()

    every = [noise("1", "0"), noise("2", "1"), noise("3 aligned", "2 aligned")]
    alike = np.corrcoef(every) - np.eye(3)
    assert np.abs(alike).max() < 5 / len(every[0]) ** 0.5
    noted = {store.name: open_store(store).identity["derived"] for store in noisy.glob("[123]*")}
    assert noted["1"]["parameters"].keys() == {"chain", "seed"}
    # An alignment in between draws nothing.
    for name, earlier in (("2", 1), ("2 aligned", 1), ("3 aligned", 2)):
        assert noted[name]["parameters"]["earlier_augmentations"] == earlier
        store = noisy / name
        whole = MadeUp.content(store)
        next(store.rglob("params/c/0/0")).unlink()
        assert not verify(VerifyConfig(store=store, repair=True)).failed
        assert MadeUp.content(store) == whole
    flip = {"augment": "siren-negation", "copies": 1}
    augment(config(noisy / "0", noisy / "flipped", **flip))
    augment(config(noisy / "flipped", noisy / "again", **flip))
    rows = [open_store(noisy / name).read(range(4, 80)).flat() for name in ("0", "again")]
    assert not torch.equal(*rows)


@pytest.mark.usefixtures("quickly")
def test_a_store_begun_without_the_count_of_earlier_ones_resumes_without_it(noisy, monkeypatch):
    noise = {"augment": "gaussian-noise:scale=0.1", "copies": 1}
    with monkeypatch.context() as patch:
        patch.setattr("inrgen.jobs.augment.read_derivation", lambda identity: None)
        augment(config(noisy / "1", noisy / "old", **noise))
        patch.setattr(StoreWriter, "commit", lambda *of: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            augment(config(noisy / "1", noisy / "begun", **noise))
    whole = MadeUp.content(noisy / "old")
    assert augment(config(noisy / "1", noisy / "old", **noise)).rows_made == 0
    assert augment(config(noisy / "1", noisy / "begun", **noise)).rows_made == 80
    next((noisy / "old").rglob("params/c/0/0")).unlink()
    assert not verify(VerifyConfig(store=noisy / "old", repair=True)).failed
    assert MadeUp.content(noisy / "old") == whole
    rows = {n: open_store(noisy / n).read(range(4, 80)).flat() for n in ("old", "begun", "2")}
    assert torch.equal(rows["old"], rows["begun"])
    assert not torch.equal(rows["old"], rows["2"])


def test_parameters_of_a_later_version_are_refused(made_up):
    noted = augment_parameters(parse_links("gaussian-noise"), seed=0, earlier=2)
    assert Augment.from_parameters(made_up.spec, noted, 1).earlier == 2
    with pytest.raises(ValueError, match=r"parameters that this version knows; got \['later'\]"):
        Augment.from_parameters(made_up.spec, noted | {"later": 1}, 1)


@pytest.mark.usefixtures("quickly")
def test_the_result_does_not_depend_on_the_concurrency(made_up, parent, moved, monkeypatch):
    # Another limit changes the number of rows at a time.
    monkeypatch.setattr("inrgen.jobs.plan._NUMBERS_AT_ONCE", 5_000)
    how = ExecutorConfig(workers=3, memory_mb=8000)
    said = augment(config(parent, moved.parent / "pace", how=how))
    assert (said.blocks_at_once, said.rows_at_once) == (3, 24)
    assert made_up.content(moved.parent / "pace") == made_up.content(moved)


def test_an_interrupted_job_ends_in_the_store_of_one_that_was_not(
    made_up, parent, moved, tmp_path, monkeypatch
):
    out = moved.parent / "again"
    commit, left = StoreWriter.commit, 4

    def stop_midway(self, staged):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return commit(self, staged)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "commit", stop_midway)
        with pytest.raises(KeyboardInterrupt):
            augment(config(parent, out))
    assert len(open_store(out).committed()) == 4
    said = augment(config(parent, out))
    assert (said.rows_found, said.rows_made) == (4 * 252, made_up.rows * COPIES - 4 * 252)
    assert made_up.content(out) == made_up.content(moved)
    assert augment(config(parent, out)).rows_made == 0
    assert made_up.content(out) == made_up.content(moved)


def test_a_full_disk_is_named_and_the_job_resumes(made_up, parent, moved):
    out = moved.parent / "full"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        with pytest.raises(OSError, match=str(out)):
            augment(config(parent, out))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((out / STAGING).glob("*")), "unfinished blocks still take up room"
    assert augment(config(parent, out)).rows_found == 0
    assert made_up.content(out) == made_up.content(moved)


def test_other_jobs_on_the_same_store_are_refused_by_name(parent, moved, made_up, tmp_path):
    before = made_up.content(moved)
    with pytest.raises(ValueError, match=r"derived.parameters.seed \(there 7, here 8\)$"):
        augment(config(parent, moved, seed=8))
    with pytest.raises(ValueError, match=r"derived.copies \(there 3, here 2\)"):
        augment(config(parent, moved, copies=2))
    with pytest.raises(ValueError, match="another folder than the store"):
        augment(config(parent, parent))
    with StoreWriter(moved), pytest.raises(StoreBusy):
        augment(config(parent, moved))
    with pytest.raises(ValueError, match="needs an activation among"):
        augment(config(parent, tmp_path / "none", augment="relu-scale"))
    assert not (tmp_path / "none").exists(), "a chain without meaning is refused first"
    made_up.build(tmp_path / "half", num_blocks=2)
    with pytest.raises(ValueError, match="is not finished: 3 of its blocks are missing"):
        augment(config(tmp_path / "half", tmp_path / "none"))
    assert made_up.content(moved) == before


def test_too_little_memory_is_a_sentence(parent, tmp_path):
    with pytest.raises(ValueError, match=r"memory_mb must be at least \d.*got 10"):
        augment(config(parent, tmp_path / "store", how=ExecutorConfig(memory_mb=10)))


def test_loaders_serve_it_like_any_other(made_up, moved):
    def rows(**asked) -> list[int]:
        return [r for b in StreamLoader(moved, split="all", **asked) for r in b.rows.tolist()]

    good = (made_up.rows - len(made_up.bad)) * COPIES
    assert len(set(rows())) == len(rows()) == good
    assert {row % 12 for row in rows(views=[0, 5])} == {0, 5}
    items = made_up.rows // made_up.views
    assert sorted(row // 12 for row in rows(views="random")) == list(range(items))
    for batch in StreamLoader(moved, split="all", views="pairs"):
        assert torch.equal(batch.items, batch.second.items)
        assert not torch.equal(batch.params.flat(), batch.second.params.flat())


@pytest.mark.usefixtures("quickly")
def test_every_flipped_byte_is_found(moved):
    numbers = np.random.default_rng(0)
    files = sorted(f for f in moved.rglob("*") if f.is_file() and not f.name.startswith("_"))
    for number in range(22):
        file = files[number % len(files)]
        before = file.read_bytes()
        at = int(numbers.integers(len(before)))
        file.write_bytes(before[:at] + bytes([before[at] ^ 4]) + before[at + 1 :])
        try:
            report = verify_store(moved)
        finally:
            file.write_bytes(before)
        assert {f.key for f in report.findings} == {file.relative_to(moved).as_posix()}


@pytest.mark.usefixtures("quickly")
def test_threads_a_cluster_and_ray_make_the_same_bytes(made_up, parent, moved):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        how = ExecutorConfig(address=cluster.scheduler_address)
        augment(config(parent, moved.parent / "dask", how=how))
    augment(config(parent, moved.parent / "ray", how=ExecutorConfig(scheduler="ray", workers=1)))
    for name in ("dask", "ray"):
        assert made_up.content(moved.parent / name) == made_up.content(moved)


def test_a_cluster_that_does_not_answer_is_a_sentence(parent, tmp_path, monkeypatch):
    monkeypatch.setattr("inrgen.executors.dask_cluster._CONNECT_S", 0.2)
    with pytest.raises(ValueError, match="address must be of a running Dask scheduler"):
        augment(config(parent, tmp_path / "a", how=ExecutorConfig(address="tcp://127.0.0.1:1")))
    assert not (tmp_path / "a").exists()


def test_the_summary_is_plain_json(moved, parent):
    said = augment(config(parent, moved))
    assert json.loads(json.dumps(said.document()))["rows_found"] == said.rows_found
    assert "were there already" in said.text()
