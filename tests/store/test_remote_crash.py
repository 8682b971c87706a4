"""A driver killed while it builds on a server loses no committed block.

Drivers are separate processes, killed while one of their requests is on its way. The request is
carried out all the same, since no server knows that its client died.
"""

import multiprocessing
import os
from threading import Lock

import numpy as np
import pytest

from inrgen.store.files.opening import open_files
from inrgen.store.layout import LOCK
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store

# Clients do not survive a fork, so drivers are forked from a process that has used no client.
_SPAWN = multiprocessing.get_context("forkserver")
_SPAWN.set_forkserver_preload(
    ["pytest", "torch", "inrgen.store.create", "inrgen.store.files.s3", "inrgen.store.writer"]
)
LEASE_S = 0.4
pytestmark = pytest.mark.usefixtures("quickly")


def _drive(sample, url: str) -> None:
    from inrgen.store.files import lease

    lease.LEASE_S = LEASE_S
    sample.build(url)


def _start(sample, url: str):
    process = _SPAWN.Process(target=_drive, args=(sample, url))
    process.start()
    return process


class Executioner:
    """Kills a driver at its n-th writing request."""

    def __init__(self, proxy, moment: int) -> None:
        self.count, self.moment, self.pid = 0, moment, None
        self._lock = Lock()
        proxy.on_request = self._on_request

    def _on_request(self, method: str, path: str) -> None:
        # renewals of the lease come at any time and change no block
        if method in ("PUT", "DELETE", "POST") and LOCK not in path:
            with self._lock:
                self.count += 1
                if self.count == self.moment:
                    os.kill(self.pid, 9)


def contents(url: str) -> dict[str, bytes]:
    files = open_files(url)
    return {key: files.read(key) for key in files.all_keys() if key != LOCK}


def check_what_readers_see(sample, url: str) -> int:
    """Check that committed blocks, if any, are whole; return their number."""
    try:
        store = open_store(url)
    except FileNotFoundError:
        return 0
    for block in store.committed():
        rows = sample.layout.block_rows(block)
        read = store.read(rows).flat().numpy()
        np.testing.assert_array_equal(read, sample.flat[rows.start : rows.stop])
    return len(store.committed())


@pytest.mark.slow
def test_killed_at_requests_it_resumes(
    small_sample, bucket_url, object_endpoint, proxy, monkeypatch
):
    monkeypatch.setattr("inrgen.store.files.lease.LEASE_S", LEASE_S)
    whole_at = bucket_url.replace("?", "/whole?")
    whole = contents(small_sample.build(whole_at))

    def through(name: str) -> str:
        return bucket_url.replace("?", f"/{name}?").replace(object_endpoint, proxy.endpoint)

    counted = Executioner(proxy, 0)
    driver = _start(small_sample, through("counted"))
    driver.join()
    assert driver.exitcode == 0
    assert counted.count > 10
    moments = np.random.default_rng().permutation(np.arange(1, counted.count + 1))
    seen = set()
    for moment in moments[: int(os.environ.get("INRGEN_KILLS", "5"))].tolist():
        url = through(str(moment))
        executioner = Executioner(proxy, moment)
        driver = _start(small_sample, url)
        executioner.pid = driver.pid
        driver.join()
        assert driver.exitcode == -9
        seen.add(check_what_readers_see(small_sample, url))
        small_sample.build(url)
        assert contents(url) == whole
        assert open_files(url).names("_staging") == []
        assert verify_store(url).ok
    assert seen <= {0, 1, 2}
