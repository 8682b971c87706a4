"""A cache returns what it was given and stays within its limit, whoever shares it or is killed."""

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inrgen.store.files.cache import ShardCache

SIZE = 1000


def name(number: int) -> str:
    return f"{number:040x}.shard"


def data(number: int) -> bytes:
    return bytes([number % 256]) * SIZE


def kept(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix == ".shard"}


def test_what_is_kept_is_found_by_others(tmp_path):
    ShardCache(tmp_path, 10 * SIZE).add(name(1), data(1))
    other = ShardCache(tmp_path, 10 * SIZE)
    assert other.find(name(1)).tobytes() == data(1)
    assert other.find(name(2)) is None
    other.drop(name(1))
    assert other.find(name(1)) is None


def test_the_least_recently_used_go_first(tmp_path):
    cache = ShardCache(tmp_path, 3 * SIZE)
    for number in range(3):
        cache.add(name(number), data(number))
        os.utime(tmp_path / name(number), (number, number))
    mapped = cache.find(name(1))
    cache.find(name(0))
    cache.add(name(3), data(3))
    assert kept(tmp_path) == {name(0), name(1), name(3)}
    os.utime(tmp_path / name(1), (0, 0))
    cache.add(name(4), data(4))
    assert kept(tmp_path) == {name(0), name(3), name(4)}
    # a process that has it mapped keeps it
    assert mapped.tobytes() == data(1)


def test_it_never_keeps_too_much_whoever_shares_it(tmp_path):
    most, seen = 5 * SIZE, []

    def use(seed: int) -> None:
        cache, rng = ShardCache(tmp_path, most), np.random.default_rng(seed)
        for number in rng.integers(0, 12, 40).tolist():
            found = cache.find(name(number))
            found = cache.add(name(number), data(number)) if found is None else found
            assert found.tobytes() == data(number)
            seen.append(len(kept(tmp_path)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert max(seen) * SIZE <= most


def test_leftovers_of_the_killed_go_and_those_of_the_living_stay(tmp_path):
    cache = ShardCache(tmp_path, 10 * SIZE)
    left, written = tmp_path / f"{name(1)}.{1:032x}", tmp_path / f"{name(2)}.{2:032x}"
    left.write_bytes(b"half")
    (tmp_path / "not-mine.shard").write_bytes(b"x" * 20 * SIZE)
    with written.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        cache.add(name(3), data(3))
        assert written.exists()
        assert not left.exists()
    assert (tmp_path / "not-mine.shard").exists()


def test_what_is_too_large_is_passed_through(tmp_path):
    cache = ShardCache(tmp_path, SIZE - 1)
    assert cache.add(name(1), data(1)).tobytes() == data(1)
    assert kept(tmp_path) == set()
    with pytest.raises(ValueError, match="cache_bytes must not be negative; got -1"):
        ShardCache(tmp_path, -1)


def test_by_default_it_is_a_folder_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = ShardCache(None, SIZE).folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="can be written by others"):
        ShardCache(None, SIZE)


def test_a_disk_that_is_full_is_an_error_that_leaves_nothing(tmp_path, monkeypatch):
    cache = ShardCache(tmp_path, 10 * SIZE)
    monkeypatch.setattr(ShardCache, "_make_room", lambda *_: (_ for _ in ()).throw(OSError(28, "")))
    with pytest.raises(OSError, match="28"):
        cache.add(name(1), data(1))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_is_added_without_a_listing_until_the_cache_is_full(tmp_path, monkeypatch):
    listings, real = [], ShardCache._list
    monkeypatch.setattr(ShardCache, "_list", lambda self: listings.append(1) or real(self))
    caches = [ShardCache(tmp_path, 80 * SIZE) for _ in range(2)]
    for number in range(80):
        caches[number % 2].add(name(number), data(number))
    caches[0].add(name(8), data(8))
    # one by each process, which finds leftovers
    assert len(listings) == 2
    for number in range(80, 110):
        caches[0].add(name(number), data(number))
    assert len(listings) == 5
    assert len(kept(tmp_path)) == 80
    # a total that is no number is counted anew
    (tmp_path / ".lock").write_bytes(b"?")
    caches[1].add(name(200), data(200))
    assert len(kept(tmp_path)) == 80
