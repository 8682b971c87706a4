"""Index files as a store fills: each is written beside the commits, once its blocks are there."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from inrgen.store.files.protocol import Files
from inrgen.store.index import write_index
from inrgen.store.layout import index_key
from inrgen.store.metadata import StoreFacts

Block = tuple[str, int]


class IndexWriter:
    """Knows which blocks are there, and writes index files on a thread of the driver.

    A driver killed meanwhile loses nothing: an index file is created whole, and the next driver
    writes those that are missing.
    """

    def __init__(self, fragments_per_index: int) -> None:
        self._span = fragments_per_index
        self._files: Files
        self._facts: StoreFacts
        # committed blocks by spec and group; a group is the blocks of one index file
        self._there = Counter[Block]()
        self._writing: dict[Block, Future[str | None]] = {}
        # hashes of the content of index files that this driver wrote, by key
        self.contents: dict[str, str] = {}
        self._pool: ThreadPoolExecutor

    def open(self, files: Files, facts: StoreFacts, committed: Iterable[Block]) -> None:
        """Begin with the blocks that are there."""
        self._files, self._facts = files, facts
        self._pool = ThreadPoolExecutor(1, "inrgen-index")
        self._there = Counter((spec_id, block // self._span) for spec_id, block in committed)

    def add(self, block: Block) -> None:
        """Note a commit, and begin to write the index file that it completes."""
        group = (block[0], block[1] // self._span)
        self._there[group] += 1
        self._write(group)

    def finish(self) -> None:
        """Write the index files that are missing, and wait. Raises errors of writing."""
        for group in list(self._there):
            self._write(group)
        self.wait()

    def close(self) -> None:
        """Wait for the file under way, and drop others."""
        self._pool.shutdown(cancel_futures=True)

    def wait(self) -> None:
        """Wait for index files under way, before one of their blocks is replaced."""
        while self._writing:
            (spec_id, number), future = self._writing.popitem()
            if (content := future.result()) is not None:
                self.contents[index_key(spec_id, self._blocks(spec_id, number))] = content

    def _blocks(self, spec_id: str, number: int) -> range:
        start = number * self._span
        return range(start, min(start + self._span, self._facts.layouts[spec_id].num_blocks))

    def _write(self, group: Block) -> None:
        """Begin to write the index file of a group if all its blocks are there."""
        spec_id, number = group
        num_blocks = self._facts.layouts[spec_id].num_blocks
        blocks = self._blocks(spec_id, number)
        # a server answers a request for each file of records, however small the store
        is_large = num_blocks > (1 if self._files.max_commits > 1 else self._span)
        if is_large and self._there[group] == len(blocks):
            future = self._pool.submit(write_index, self._files, self._facts, spec_id, blocks)
            self._writing[group] = future
