"""A loader of few rows of a store on a server fetches and caches the chunks that hold them."""

from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest

import inrgen
from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.layout import shard_key
from inrgen.store.remote_shards import fetches_part
from inrgen.store.shard import ShardShape, shard_shape
from inrgen.store.writer import StoreWriter, stage_block
from tests.loaders.conftest import Sample
from tests.loaders.test_remote import served

pytestmark = pytest.mark.usefixtures("hurried")

# rows 0..3, 80..83, 160..163, ...: blocks of four chunks of 16 rows each hold one or none
RARE = ds.field("label") == 2


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample(rows=1064, seed=0, chunk_rows=16)


@pytest.fixture(scope="module")
def here(sample, tmp_path_factory) -> Path:
    return sample.build(tmp_path_factory.mktemp("parts") / "store")


@pytest.fixture
def url(here, bucket_url, monkeypatch) -> str:
    # these shards are smaller than any gap that parts two requests
    monkeypatch.setattr("inrgen.store.remote_shards.MAX_GAP_BYTES", 0)
    monkeypatch.setattr("inrgen.store.files.s3.MAX_GAP_BYTES", 0)
    files = open_files(bucket_url)
    for file in here.rglob("*.*"):
        files.put(file.relative_to(here).as_posix(), file.read_bytes())
    for file in here.glob("*/params/c/*/0"):
        files.put(file.relative_to(here).as_posix(), file.read_bytes())
    return bucket_url


@pytest.fixture
def fetched(monkeypatch) -> list[int]:
    """Bytes of each fetch of chunks so far."""
    sizes: list[int] = []
    read = inrgen.store.files.s3.ObjectFiles.read_ranges

    def note(self, key, spans):
        sizes.append(sum(stop - start for start, stop in spans))
        return read(self, key, spans)

    monkeypatch.setattr("inrgen.store.files.s3.ObjectFiles.read_ranges", note)
    return sizes


def test_only_the_chunks_wanted_are_fetched_and_batches_stay_the_same(
    sample, here, url, fetched, tmp_path
):
    asked = {"split": "all", "batch_size": 5, "seed": 3, "filter": RARE}
    local = inrgen.StreamLoader(here, **asked)
    there = inrgen.StreamLoader(url, cache_dir=tmp_path / "cache", **asked)
    assert served(there) == served(local)
    step = shard_shape(sample.layout, sample.spec.num_params, 0).chunk_bytes
    chunks = {row // 16 for row in sample.served if sample.records[row].label == 2}
    assert sum(fetched) == step * len(chunks)
    kept = [file.stat().st_size for file in (tmp_path / "cache").glob("*.shard")]
    assert sum(kept) == sum(fetched)
    # another epoch, and another loader in the middle of it, find all in the cache
    state = local.state_dict()
    assert served(there) == served(local)
    other = inrgen.StreamLoader(url, cache_dir=tmp_path / "cache", **asked)
    for loader in (other, local):
        loader.load_state_dict(state)
    assert served(other) == served(local)
    assert sum(fetched) == sum(kept)
    # but for a file that has rotted
    file = min((tmp_path / "cache").glob("*.shard"))
    file.write_bytes(b"\1" + file.read_bytes()[1:])
    served(inrgen.StreamLoader(url, cache_dir=tmp_path / "cache", **asked))
    assert sum(fetched) == sum(kept) + file.stat().st_size


def test_damage_to_chunks_that_are_wanted_is_named_or_skipped(sample, url, tmp_path):
    files, key = open_files(url), shard_key(sample.spec.spec_id, 1)
    good, step = files.read(key), shard_shape(sample.layout, sample.spec.num_params, 1).chunk_bytes

    def loader(place: int, **asked):
        damaged = bytearray(good)
        damaged[place] ^= 1
        files.put(key, damaged)
        return inrgen.StreamLoader(url, split="all", filter=RARE, cache_dir=tmp_path, **asked)

    # of block 1, rows 64..127, chunk 1 holds rows 80..83
    assert sum(map(len, served(loader(10)))) == 56
    with pytest.raises(DamagedStore, match=r"rows 80\.\.95 in .*/c/1/0 do not match"):
        served(loader(step + 10))
    with pytest.warns(RuntimeWarning, match="c/1/0"):
        rows = served(loader(step + 10, on_bad_shard="skip"))
    assert sum(map(len, rows)) == 52
    files.put(key, files.read(shard_key(sample.spec.spec_id, 3)))
    with pytest.raises(DamagedStore, match="c/1/0 is not the shard that"):
        served(inrgen.StreamLoader(url, split="all", filter=RARE, cache_dir=tmp_path))


def test_shards_whose_records_name_no_chunks_are_fetched_whole(
    sample, url, fetched, tmp_path, monkeypatch
):
    monkeypatch.setattr("inrgen.store.writer.chunk_checksums", lambda *_: "")
    with StoreWriter(url) as writer:
        for block in (0, 1):
            rows = sample.layout.block_rows(block)
            cut = slice(rows.start, rows.stop)
            flat = sample.flat[cut].copy()
            flat[[row in sample.unserved for row in rows]] = np.nan
            writer.replace(stage_block(url, sample.spec.spec_id, block, flat, sample.records[cut]))
    loader = inrgen.StreamLoader(
        url, split="all", filter=RARE & (ds.field("row") < 128), cache_dir=tmp_path
    )
    (rows,) = served(loader)
    assert sorted(rows) == [0, 1, 2, 3, 80, 81, 82, 83]
    assert not fetched


def test_ranges_are_fetched_up_to_half_of_a_shard_with_its_small_gaps():
    def wants(num_params: int, *chunks: int) -> bool:
        shape = ShardShape(rows=1600, num_params=num_params, chunk_rows=100, max_chunks=16)
        return fetches_part(shape, np.array(chunks))

    # chunks of 400 kB: each gap parts two requests
    assert wants(1000, 3)
    assert wants(1000, 0, 2, 4, 6, 8, 10, 12, 14)
    assert not wants(1000, *range(9))
    # chunks of 40 kB: gaps of three are fetched, those of four are not
    assert wants(100, 0, 4, 9, 15)
    assert not wants(100, 0, 4, 8, 12)
