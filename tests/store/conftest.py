"""Small stores to test with."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from inrgen.core.spec import InrSpec
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.records import FitRecord
from inrgen.store.writer import StoreWriter, stage_block


class Sample:
    """A store's worth of made-up rows, a few of them NaN.

    129 views make chunks of 129 rows, the smallest there are. 33 such items make 17 shards of two
    chunks, of which the last shard's second is absent.
    """

    def __init__(self, items: int = 33, views: int = 129) -> None:
        rows = items * views
        self.spec = InrSpec(widths=(2, 3, 1), omega=(30.0,))
        self.layout = Layout(rows=rows, views=views)
        self.spec_id = self.spec.spec_id
        self.identity = {"seed": 7, "fit": {"lr": 0.1, "betas": [0.9, 0.999]}, "name": None}
        self.flat = np.random.default_rng(1).normal(size=(rows, self.spec.num_params))
        self.flat = self.flat.astype(np.float32)
        self.bad_rows = [5, rows - 1]
        self.flat[self.bad_rows] = np.nan
        # made once, as it takes a while
        self.records = [self._record(row) for row in range(rows)]

    def _record(self, row: int) -> FitRecord:
        item, view = divmod(row, self.layout.views)
        good = FitRecord(
            item_id=f"train/{item:05d}",
            view=view,
            row=row,
            spec_id=self.spec_id,
            split="train",
            label=item % 10,
            label_name=str(item % 10),
            source_sha256=f"{item:064x}",
            seed=7,
            engine="torch",
            num_steps=3,
            final_loss=0.25,
            psnr_db=20.0 + row / 100,
            iou=float("nan"),
            status="ok",
            reason="",
            duration_s=0.5,
            grid=(4, 5),
        )
        if row in self.bad_rows:
            return replace(good, status="bad_input", reason="it cannot be read")
        return good

    def create(self, path: Path) -> None:
        create_store(path, [(self.spec, self.layout)], self.identity, {"version": "1"})

    def stage(self, path: Path, block: int):
        rows = self.layout.block_rows(block)
        cut = slice(rows.start, rows.stop)
        return stage_block(path, self.spec_id, block, self.flat[cut], self.records[cut])

    def build(self, path: Path, num_blocks: int | None = None) -> Path:
        """Create or resume, and fill; only the first blocks if a number is given."""
        self.create(path)
        with StoreWriter(path) as writer:
            for block in writer.pending(self.spec_id):
                if num_blocks is None or block < num_blocks:
                    writer.commit(self.stage(path, block))
            if num_blocks is None:
                writer.finish()
        return path


@pytest.fixture(scope="session")
def sample() -> Sample:
    return Sample()


@pytest.fixture
def quickly() -> Iterator[None]:
    """Without checks of types, where a test does the same thing hundreds of times."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def small_sample() -> Sample:
    """Two blocks, so that trying every moment of a run does not take long."""
    return Sample(items=2)


@pytest.fixture
def store(sample: Sample, tmp_path: Path) -> Path:
    """A finished store of its own for each test."""
    return sample.build(tmp_path / "store")
