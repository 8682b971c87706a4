"""A bad shard is an error that names it, or is skipped and counted; never wrong numbers."""

import subprocess
import sys
import threading
import time

import pytest

from inrgen.loaders import prefetch
from inrgen.loaders.prefetch import read_ahead
from inrgen.loaders.stream import StreamLoader
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import shard_key
from inrgen.store.reader import open_store
from inrgen.transforms.mix import MixUp


@pytest.fixture(params=["lost", "short", "altered"])
def damaged(request, sample, tmp_path):
    """A store whose shard 2, rows 512 to 767, is bad."""
    path = sample.build(tmp_path / "store")
    shard = path / shard_key(sample.spec.spec_id, 2)
    data = bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.unlink()
    if request.param != "lost":
        shard.write_bytes(data if request.param == "altered" else data[:-10])
    return path


def test_a_bad_shard_is_named(sample, damaged):
    with pytest.raises(DamagedStore, match=shard_key(sample.spec.spec_id, 2)):
        list(StreamLoader(damaged, split="all"))


def test_a_bad_shard_is_skipped_once_told_and_counted(sample, damaged):
    loader = StreamLoader(damaged, split="all", batch_size=50, on_bad_shard="skip")
    with pytest.warns(RuntimeWarning, match="a shard is skipped: .* is damaged") as warned:
        rows = [row for batch in loader for row in batch.rows.tolist()]
    assert len(warned) == 1
    assert sorted(rows) == [row for row in sample.served if not 512 <= row < 768]
    assert loader.skipped_rows == 256
    assert len(loader.bad_shards) == 1
    # There is no second warning, and positions in the epoch are as without damage.
    assert sum(len(batch) for batch in loader) == len(rows)
    assert loader.state_dict()["epoch"] == 2


@pytest.mark.parametrize("asked", [{"mixup": MixUp(pairing="direct")}, {"views": "pairs"}])
def test_a_sample_that_lacks_its_other_half_is_counted_once(damaged, asked):
    loader = StreamLoader(damaged, split="all", on_bad_shard="skip", **asked)
    with pytest.warns(RuntimeWarning, match="a shard is skipped"):
        served = sum(len(batch) for batch in loader)
    assert served + loader.skipped_rows == loader.num_samples
    assert served < loader.num_samples


def test_other_shards_can_be_read_without_it(damaged):
    loader = StreamLoader(damaged, split="all", views=[0], batch_size=10**6)
    with pytest.raises(DamagedStore):
        list(loader)
    import pyarrow.dataset as ds

    assert list(StreamLoader(damaged, split="all", filter=ds.field("row") < 512))


def test_a_shard_that_goes_bad_between_epochs_is_noticed(sample, tmp_path):
    path = sample.build(tmp_path / "store")
    loader = StreamLoader(path, split="all")
    list(loader)
    shard = path / shard_key(sample.spec.spec_id, 1)
    data = bytearray(shard.read_bytes())
    data[0] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    # The mapping is still the good file; a new loader opens the bad one.
    assert sum(len(batch) for batch in loader) == len(sample.served)
    with pytest.raises(DamagedStore):
        list(StreamLoader(path, split="all"))


def num_threads():
    return sum(thread.name == "inrgen read-ahead" for thread in threading.enumerate())


def test_the_thread_ends_with_the_pass(path):
    loader = StreamLoader(path, split="all", batch_size=10)
    batches = iter(loader)
    next(batches)
    assert num_threads() == 1
    batches.close()
    assert num_threads() == 0
    for _ in loader:
        pass
    assert num_threads() == 0


def test_what_is_read_ahead_is_bounded_and_in_order():
    made = []

    def source():
        for number in range(100):
            made.append(number)
            yield number

    ahead = read_ahead(source(), 3)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # One is given out, three wait, and the thread holds one.
    assert len(made) == 5
    assert list(ahead) == list(range(1, 100))


def test_an_error_comes_in_its_place():
    def source():
        yield 1
        raise OSError("the disk is gone")

    ahead = read_ahead(source(), 3)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_a_process_may_end_in_the_midst_of_a_pass():
    script = """
import sys, torch
from inrgen.loaders.prefetch import read_ahead
def source():
    x = torch.ones(300, 300)
    while True:
        yield sum(torch.tanh(x @ x) for _ in range(50))
ahead = read_ahead(source(), 100_000)
next(ahead)
sys.exit(3)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_column_whose_name_is_damaged_leaves_no_row_out_without_a_word(sample, tmp_path):
    store = sample.build(tmp_path / "store")
    fragment = min((store / "records").iterdir())
    data = fragment.read_bytes()
    # The first occurrence is the name in the schema.
    at = data.find(b"status")
    fragment.write_bytes(data[:at] + b"stetus" + data[at + 6 :])
    for reading in (StreamLoader, lambda path: open_store(path).records):
        with pytest.raises(DamagedStore, match="has a column 'stetus'"):
            reading(store)


def test_an_interrupt_before_the_thread_runs_leaves_nothing_to_join(monkeypatch):
    """Ctrl-C may fall between a thread's making and its start; the exit must stay quiet."""

    def interrupt(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(read_ahead(iter([1]), 1))
    prefetch._end_all()
    assert not prefetch._ends
