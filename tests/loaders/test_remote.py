"""A loader serves a store on a server like a local one, through faults of the server."""

import multiprocessing
import pickle

import numpy as np
import pytest

import inrgen
from inrgen.store.errors import DamagedStore, ServerFailed
from inrgen.store.files.cache import ShardCache
from inrgen.store.files.opening import open_files
from inrgen.store.layout import shard_key
from inrgen.store.reader import open_store
from inrgen.store.shard import shard_shape
from inrgen.store.writer import StoreWriter, stage_block
from tests.object_server import Fault

pytestmark = pytest.mark.usefixtures("hurried")


@pytest.fixture
def url(sample, bucket_url, object_endpoint, proxy) -> str:
    """URL of the sample store behind the proxy."""
    sample.build(bucket_url)
    return bucket_url.replace(object_endpoint, proxy.endpoint)


@pytest.fixture
def fetched(proxy) -> list[str]:
    """Paths of the shards fetched so far."""
    paths: list[str] = []

    def note(method: str, path: str) -> None:
        if method == "GET" and "/params/c/" in path:
            paths.append(path.partition("/params/")[2])

    proxy.on_request = note
    return paths


def served(loader) -> list[list[int]]:
    """The rows of each batch of a pass; each row's first weight is its number."""
    batches = []
    for batch in loader:
        np.testing.assert_array_equal(batch.params.flat()[:, 0].numpy(), batch.rows.numpy())
        batches.append(batch.rows.tolist())
    return batches


def test_batches_are_those_of_the_same_store_here(url, path, fetched, tmp_path):
    asked = {"split": "all", "batch_size": 100, "seed": 3}
    here = inrgen.StreamLoader(path, **asked)
    there = inrgen.StreamLoader(url, cache_dir=tmp_path, **asked)
    assert served(there) == served(here)
    assert sorted(fetched) == [f"c/{block}/0" for block in range(5)]
    # The second pass and another process's loader find every shard in the cache.
    state = here.state_dict()
    assert served(there) == served(here)
    other = inrgen.StreamLoader(url, cache_dir=tmp_path, **asked)
    other.load_state_dict(state)
    here.load_state_dict(state)
    assert served(other) == served(here)
    assert len(fetched) == 5


def test_the_cache_stays_within_its_bounds(url, path, sample, fetched, tmp_path):
    shard_bytes = shard_shape(sample.layout, sample.spec.num_params, 0).size_bytes
    loader = inrgen.StreamLoader(
        url, split="all", cache_dir=tmp_path, cache_bytes=2 * shard_bytes, pool_shards=1
    )
    assert served(loader) == served(inrgen.StreamLoader(path, split="all", pool_shards=1))
    kept = [file.stat().st_size for file in tmp_path.glob("*.shard")]
    assert 0 < sum(kept) <= 2 * shard_bytes
    assert len(fetched) >= 5


@pytest.mark.parametrize("kind", ["refuse", "cut", "flip", "trickle"])
def test_faults_that_pass_change_nothing(url, path, proxy, tmp_path, kind):
    loader = inrgen.StreamLoader(url, cache_dir=tmp_path)
    proxy.fault = Fault(kind, path="/params/c/", times=1 if kind == "trickle" else 2)
    assert served(loader) == served(inrgen.StreamLoader(path))
    assert proxy.fault.met >= 5


def test_a_damaged_object_is_named_or_skipped(url, sample, proxy, tmp_path):
    key = shard_key(sample.spec.spec_id, 2)
    proxy.fault = Fault("flip", path=key)
    with pytest.raises(DamagedStore, match=key):
        served(inrgen.StreamLoader(url, split="all", cache_dir=tmp_path))
    loader = inrgen.StreamLoader(url, split="all", cache_dir=tmp_path, on_bad_shard="skip")
    with pytest.warns(RuntimeWarning, match=key):
        rows = [row for batch in served(loader) for row in batch]
    assert sorted(rows) == [row for row in sample.served if row // 256 != 2]
    open_files(url).remove(key)
    with pytest.raises(DamagedStore, match=f"{key} is lost"):
        served(inrgen.StreamLoader(url, split="all", cache_dir=tmp_path))


def test_a_server_that_is_down_is_an_error_and_no_damage(url, sample, proxy, tmp_path):
    key = shard_key(sample.spec.spec_id, 1)
    loader = inrgen.StreamLoader(url, split="all", cache_dir=tmp_path, on_bad_shard="skip")
    proxy.fault = Fault("refuse", path=key)
    with pytest.raises(ServerFailed, match=key):
        served(loader)


def test_what_rots_in_the_cache_is_fetched_anew(url, path, fetched, tmp_path):
    served(inrgen.StreamLoader(url, split="all", cache_dir=tmp_path))
    first, second = sorted(tmp_path.glob("*.shard"))[:2]
    first.write_bytes(first.read_bytes()[:-1000])
    second.write_bytes(b"\1" + second.read_bytes()[1:])
    loader = inrgen.StreamLoader(url, split="all", cache_dir=tmp_path)
    assert served(loader) == served(inrgen.StreamLoader(path, split="all"))
    assert len(fetched) == 7


def test_a_replaced_shard_is_fetched_anew(url, sample, tmp_path):
    store = open_store(url)
    target, rows = np.zeros((2, sample.spec.num_params), np.float32), np.arange(2)
    cache = ShardCache(tmp_path, 10**6)
    shards = pickle.loads(pickle.dumps(store.open_rows(cache=cache)))
    shards.copy(0, rows, target, rows)
    spec_id, new = sample.spec.spec_id, sample.flat[:256] + 1
    new[[9]] = np.nan
    with StoreWriter(url) as writer:
        writer.replace(stage_block(url, spec_id, 0, new, sample.records[:256]))
    store.open_rows(cache=cache).copy(0, rows, target, rows)
    assert target[:, 0].tolist() == [1, 2]


def test_a_forked_process_is_told_to_be_spawned(url):
    files, context = open_files(url), multiprocessing.get_context("fork")
    files.read("zarr.json")
    receive, send = context.Pipe(duplex=False)

    def read() -> None:
        try:
            files.read("zarr.json")
        except OSError as error:
            send.send(str(error))

    process = context.Process(target=read)
    process.start()
    assert receive.poll(20)
    assert "multiprocessing_context='spawn'" in receive.recv()
    process.join()
