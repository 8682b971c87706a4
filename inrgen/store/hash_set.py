"""Find repeated hashes among any number of them, in memory that does not grow with it."""

from tempfile import SpooledTemporaryFile

import numpy as np
from jaxtyping import Int

# A hash's first bits choose its file, so that repetitions meet in the same one.
_BITS = 6
# Hashes that are sorted into files at once.
_BATCH = 2**16
# A file stays in memory up to this size.
_SPOOL_BYTES = 2**18


class HashSet:
    """Hashes and the rows that they are of, in temporary files by their first bits."""

    def __init__(self) -> None:
        self._files = [SpooledTemporaryFile(_SPOOL_BYTES) for _ in range(2**_BITS)]
        self._waiting: list[Int[np.ndarray, "2 _n"]] = []

    def add(self, hashes: Int[np.ndarray, " n"], rows: Int[np.ndarray, " n"]) -> None:
        """Add hashes. Raises OSError where the folder of temporary files is full."""
        self._waiting.append(np.stack([hashes, rows]))
        if sum(part.shape[1] for part in self._waiting) >= _BATCH:
            self._sort()

    def _sort(self) -> None:
        pairs = np.concatenate(self._waiting, axis=1).T
        parts = pairs[:, 0].view(np.uint64) >> np.uint64(64 - _BITS)
        order = np.argsort(parts, kind="stable")
        cuts = np.searchsorted(parts[order], np.arange(1, 2**_BITS, dtype=np.uint64))
        for file, part in zip(self._files, np.split(pairs[order], cuts), strict=True):
            file.write(part.tobytes())
        self._waiting = []

    def repetitions(self) -> Int[np.ndarray, " r"]:
        """Return the rows whose hash an earlier row has, sorted, and forget all hashes."""
        self._waiting.append(np.zeros((2, 0), dtype=np.int64))
        self._sort()
        found = []
        for file in self._files:
            with file:
                file.seek(0)
                hashes, rows = np.frombuffer(file.read(), np.int64).reshape(-1, 2).T
            # by hash, then by row: every repetition follows the first of its kind
            order = np.lexsort((rows, hashes))
            found.append(rows[order[1:][hashes[order][1:] == hashes[order][:-1]]])
        return np.sort(np.concatenate(found))
