"""No reader serves a row before its shard is known to be the one that the records describe."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from inrgen.store import metadata, open_shard
from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.errors import DamagedStore
from inrgen.store.files.cache import ShardCache
from inrgen.store.files.opening import open_files
from inrgen.store.fragment import decode_fragment, encode_fragment
from inrgen.store.layout import fragment_key, shard_key
from inrgen.store.reader import open_store
from inrgen.store.rows import RowRun
from inrgen.store.verify import salvage_block, verify_store
from inrgen.store.writer import StoreWriter, stage_block

pytestmark = pytest.mark.usefixtures("quickly")


def _read(path, sample, rows):
    return open_store(path).read(rows).flat().numpy()


def _copy(path, sample, rows):
    found = np.empty((len(rows), sample.spec.num_params), np.float32)
    open_store(path).open_rows().copy(1, np.asarray(rows), found, np.arange(len(rows)))
    return found


def _copy_early(path, sample, rows):
    found = np.empty((len(rows), sample.spec.num_params), np.float32)
    reader = open_store(path).open_rows()
    reader.prefetch(1)
    reader.copy(1, np.asarray(rows), found, np.arange(len(rows)))
    return found


def _run(path, sample, rows):
    return RowRun(path, sample.spec_id, rows).read(rows)


def _view(path, sample, rows):
    return RowRun(path, sample.spec_id, rows).view(rows)


READERS = [_read, _copy, _copy_early, _run, _view]


def _other_store(sample, path):
    """Fill another store of the same shape with other rows."""
    create_store(path, [(sample.spec, sample.layout)], {"seed": 8}, {})
    with StoreWriter(path) as writer:
        for block in range(sample.layout.num_blocks):
            rows = sample.layout.block_rows(block)
            cut = slice(rows.start, rows.stop)
            flat = sample.flat[cut] + 1
            staged = stage_block(path, sample.spec_id, block, flat, sample.records[cut])
            writer.commit(staged)
    return path


def _swap(sample, path, tmp_path):
    first, second = (path / shard_key(sample.spec_id, block) for block in (1, 2))
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)


def _copy_over(sample, path, tmp_path):
    shutil.copy(path / shard_key(sample.spec_id, 2), path / shard_key(sample.spec_id, 1))


def _take_from_another(sample, path, tmp_path):
    key = shard_key(sample.spec_id, 1)
    shutil.copy(_other_store(sample, tmp_path / "other") / key, path / key)


def _swap_and_damage(sample, path, tmp_path):
    """One damaged chunk leaves no digest of the file that could match; its fellows are whole."""
    _swap(sample, path, tmp_path)
    _damage(path / shard_key(sample.spec_id, 1), -300)


def _damage(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("harm", [_swap_and_damage, _swap, _copy_over, _take_from_another])
def test_the_shard_of_another_block_or_store_is_refused(
    sample, tmp_path, monkeypatch, version, harm
):
    monkeypatch.setattr(metadata, "FORMAT_VERSION", version)
    path = sample.build(tmp_path / "store")
    rows = range(258, 262)
    for reader in READERS:
        np.testing.assert_array_equal(reader(path, sample, rows), sample.flat[258:262])
    harm(sample, path, tmp_path)
    key, records = shard_key(sample.spec_id, 1), fragment_key(sample.spec_id, 1)
    for reader in READERS:
        with pytest.raises(DamagedStore, match=f"{key} is not the shard that {records} describes"):
            reader(path, sample, rows)
    # all other blocks can be read
    np.testing.assert_array_equal(_read(path, sample, range(9)), sample.flat[:9])


@pytest.mark.parametrize("swapped", [False, True])
def test_older_records_bind_no_part_of_a_damaged_shard(sample, tmp_path, monkeypatch, swapped):
    monkeypatch.setattr("inrgen.store.writer.chunk_checksums", lambda *_: "")
    path = sample.build(tmp_path / "store")
    if swapped:
        _swap(sample, path, tmp_path)
    _damage(path / shard_key(sample.spec_id, 1), -300)
    for reader in READERS:
        with pytest.raises(DamagedStore, match="do not tell whether the others belong there"):
            reader(path, sample, range(258, 262))
    # neither does a repair take them over
    assert not salvage_block(path, sample.spec_id, 1).good.any()


def test_a_repair_keeps_only_chunks_that_the_records_name(sample, store, tmp_path):
    _damage(store / shard_key(sample.spec_id, 1), -300)
    np.testing.assert_array_equal(_read(store, sample, [258]), sample.flat[[258]])
    assert salvage_block(store, sample.spec_id, 1).good.tolist() == [True] * 129 + [False] * 129
    _swap(sample, store, tmp_path)
    assert not salvage_block(store, sample.spec_id, 1).good.any()


def test_a_fragment_of_another_block_or_store_is_refused(sample, store, tmp_path):
    """Together with its own shard, too, so that both agree with one another."""
    other = _other_store(sample, tmp_path / "other")
    key, records = shard_key(sample.spec_id, 1), fragment_key(sample.spec_id, 1)
    good = [(store / name).read_bytes() for name in (key, records)]
    beside = (store / shard_key(sample.spec_id, 2), store / fragment_key(sample.spec_id, 2))
    for shard, fragment in (beside, (other / key, other / records)):
        shutil.copy(shard, store / key)
        shutil.copy(fragment, store / records)
        for reader in READERS:
            with pytest.raises(DamagedStore, match=f"{records} is of another store or block"):
                reader(store, sample, range(258, 262))
    for name, data in zip((key, records), good, strict=True):
        (store / name).write_bytes(data)
    np.testing.assert_array_equal(_read(store, sample, [258]), sample.flat[[258]])


def test_lost_records_are_lost_for_a_store_that_is_open(sample, store):
    opened = open_store(store)
    (store / fragment_key(sample.spec_id, 1)).unlink()
    with pytest.raises(DamagedStore, match=f"{fragment_key(sample.spec_id, 1)} is lost"):
        opened.read([258])


@pytest.mark.parametrize("bound_by", ["chunk", "file"])
def test_a_shard_is_checked_once_until_its_file_changes(sample, tmp_path, monkeypatch, bound_by):
    checked, digested = [], []
    crc, digest = open_shard.good_chunks, open_shard.digest_parts
    monkeypatch.setattr(
        open_shard, "good_chunks", lambda *args: checked.extend(args[2].tolist()) or crc(*args)
    )
    monkeypatch.setattr(
        open_shard, "digest_parts", lambda *args: digested.append(1) or digest(*args)
    )
    if bound_by == "file":
        monkeypatch.setattr("inrgen.store.writer.chunk_checksums", lambda *_: "")
    store = sample.build(tmp_path / "store")
    file = store / shard_key(sample.spec_id, 1)
    for times in (1, 2):
        # the first reader needs two chunks, later ones all
        for reader in READERS:
            reader(store, sample, range(258, 262))
        # the records of older stores name no chunk: the whole file is digested instead
        assert len(digested) == (times if bound_by == "file" else 0)
        if bound_by == "chunk":
            every = 258 // sample.layout.chunk_rows
            assert sorted(checked) == sorted(list(range(every)) * times)
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data)


def test_a_row_costs_the_check_of_its_own_chunk(sample, store, monkeypatch):
    """And the chunks beside it, damaged or of another shard, do not matter to it."""
    shard = store / shard_key(sample.spec_id, 1)
    _damage(shard, -300)
    checked, real = [], open_shard.good_chunks
    monkeypatch.setattr(
        open_shard, "good_chunks", lambda *args: checked.extend(args[2].tolist()) or real(*args)
    )
    np.testing.assert_array_equal(_read(store, sample, [258]), sample.flat[[258]])
    assert checked == [0]


def test_a_damaged_index_of_a_shard_costs_readers_no_rows(sample, store):
    file = store / shard_key(sample.spec_id, 1)
    data = file.read_bytes()
    file.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    for reader in READERS:
        np.testing.assert_array_equal(reader(store, sample, range(258, 260)), sample.flat[258:260])


def test_a_reader_goes_on_while_a_block_is_replaced(sample, store, monkeypatch):
    """Between the moves of shard and records it waits for both."""
    monkeypatch.setattr("inrgen.store.shard_sources.REPLACING_S", 0.0)
    new = sample.flat[258:516] + 1
    moves = []

    def read_then(move):
        def wrapped(self, *args):
            done = move(self, *args)
            found = open_store(store).open_rows()
            target = np.empty((1, sample.spec.num_params), np.float32)
            try:
                found.copy(1, np.array([258]), target, np.array([0]))
                moves.append(float(target[0, 0] - sample.flat[258, 0]))
            except DamagedStore:
                moves.append(None)
            return done

        return wrapped

    with StoreWriter(store) as writer:
        staged = stage_block(store, sample.spec_id, 1, new, sample.records[258:516])
        kind = type(writer._files)
        for name in ("move", "create", "remove"):
            monkeypatch.setattr(kind, name, read_then(getattr(kind, name)))
        writer.replace(staged)
    # the old rows, then a moment without, then the new rows; never the ones for the others
    assert {None if move is None else round(move, 4) for move in moves} == {0.0, None, 1.0}
    order = [move for move in moves if move is not None]
    assert order == sorted(order)
    assert moves.count(None) == 1


def test_a_server_serves_no_shard_of_another_block(small_sample, bucket_url, tmp_path):
    url = small_sample.build(bucket_url)
    key, files = shard_key(small_sample.spec_id, 0), open_files(url)
    reader = open_store(url).open_rows(cache=ShardCache(tmp_path / "cache", 10**6))
    files.put(key, files.read(shard_key(small_sample.spec_id, 1)))
    target = np.empty((1, small_sample.spec.num_params), np.float32)
    with pytest.raises(DamagedStore, match=f"{key} is not the shard"):
        reader.copy(0, np.array([3]), target, np.array([0]))
    with pytest.raises(DamagedStore, match=f"{key} is not the shard"):
        open_store(url).read([3])
    with pytest.raises(DamagedStore, match=f"{key} is not the shard"):
        RowRun(url, small_sample.spec_id, range(9)).read(range(9))


def _all_records(path, sample, rows):
    return open_store(path).read_records(["row"]).num_rows


@pytest.mark.parametrize("indexed", [False, True])
def test_records_under_another_name_are_refused(sample, store, tmp_path, indexed):
    with StoreWriter(store, fragments_per_index=6 if indexed else 100) as writer:
        writer.finish()
    first, second = (store / fragment_key(sample.spec_id, block) for block in (1, 2))
    good = second.read_bytes()
    extra = store / "records" / f"{sample.spec_id}.00000099.parquet"
    shutil.copy(first, extra)
    with pytest.raises(DamagedStore, match=r"00000099\.parquet is of no block of this store"):
        open_store(store)
    extra.unlink()
    # an index stands in for the fragments, which are the truth where weights are read
    shutil.copy(first, second)
    for reader in (_read,) if indexed else (_read, _all_records):
        with pytest.raises(DamagedStore, match=f"{fragment_key(sample.spec_id, 2)} is "):
            reader(store, sample, [516])
    second.write_bytes(good)
    if indexed:
        index = sorted((store / "index").iterdir())
        shutil.copy(index[0], index[1])
        with pytest.raises(DamagedStore, match=f"{index[1].name} is not of the store and block"):
            _all_records(store, sample, [])


def test_records_of_another_store_are_refused(sample, store, tmp_path):
    key = fragment_key(sample.spec_id, 1)
    shutil.copy(_other_store(sample, tmp_path / "other") / key, store / key)
    for reader in (_read, _all_records):
        with pytest.raises(DamagedStore, match=f"{key} is "):
            reader(store, sample, [258])
    # a name with one zero more is no second copy of a block
    (store / key).rename(store / "records" / f"{sample.spec_id}.000000001.parquet")
    assert 1 not in open_store(store).committed()


@pytest.mark.parametrize("evidence", ["shards", "index", "statistics", "nothing else"])
def test_a_finished_store_that_lost_records_says_so(sample, store, evidence):
    if evidence == "index":
        with StoreWriter(store, fragments_per_index=8) as writer:
            writer.finish()
    if evidence == "statistics":
        (store / "statistics").mkdir()
        (store / "statistics" / f"{sample.spec_id}.all.json").write_text("{}")
    key = fragment_key(sample.spec_id, 3)
    (store / key).unlink()
    if evidence != "shards":
        (store / shard_key(sample.spec_id, 3)).unlink()
    for reader in (_read, _all_records):
        with pytest.raises(DamagedStore, match=f"{key} is not there, though it was"):
            reader(store, sample, [774])
    with pytest.raises(DamagedStore, match=f"{key} is not there, though it was"):
        content_sha256(store)


def test_a_store_in_the_making_is_read_as_far_as_it_is(sample, tmp_path):
    path = sample.build(tmp_path / "store", num_blocks=16)
    assert _all_records(path, sample, []) == 16 * 258
    # a driver killed between the shard and the fragment of the last block
    with StoreWriter(path) as writer:
        staged = sample.stage(path, 16)
        writer._files.move(staged.key, shard_key(sample.spec_id, 16))
    assert _all_records(path, sample, []) == 16 * 258
    sample.build(path)
    assert not (path / "_staging").exists()
    assert _all_records(path, sample, []) == sample.rows


def test_names_of_index_files_may_claim_anything(sample, store):
    (store / "index").mkdir()
    for span in ("00000003-00000003", "00000000-999999999999999999", "00000007-00000002"):
        (store / "index" / f"{sample.spec_id}.{span}.parquet").write_bytes(b"")
    assert _all_records(store, sample, []) == sample.rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop_columns("seed"), "it lacks the columns seed"),
        (lambda t: t.set_column(0, t.column_names[0], pa.array([[1]] * len(t))), "must be"),
    ],
)
def test_records_with_other_columns_are_refused(sample, store, change, said):
    """Sealed again, so that nothing but the columns is wrong."""
    file = store / fragment_key(sample.spec_id, 1)
    table, facts = decode_fragment(file.read_bytes())
    file.write_bytes(encode_fragment(change(table), facts))
    with pytest.raises(DamagedStore, match=said):
        RowRun(store, sample.spec_id, range(258, 262))
    assert [found.kind for found in verify_store(store).findings] == ["wrong_records"]
