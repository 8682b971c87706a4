"""Small stores to load from."""

from pathlib import Path

import numpy as np
import pytest

from inrgen.core.spec import InrSpec
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.records import FitRecord
from inrgen.store.writer import StoreWriter, stage_block

STATUSES = {7: "below_target", 9: "bad_input", 501: "non_finite", 502: "bad_input"}


class Sample:
    """Made-up rows with their records, in blocks of 256 or four chunks; the last block is short.

    Parameter 0 of a row is its number. Four rows have another status than ok, class 2 is rare.
    """

    spec = InrSpec(widths=(2, 3, 1), omega=(30.0,))
    unserved = (9, 501, 502)

    def __init__(self, rows: int, seed: int, views: int = 4, chunk_rows: int = 256) -> None:
        self.rows, self.seed, self.views = rows, seed, views
        self.layout = Layout(rows=rows, views=views, max_chunk_rows=chunk_rows)
        self.flat = np.random.default_rng(seed).normal(size=(rows, self.spec.num_params))
        self.flat = self.flat.astype(np.float32)
        self.flat[:, 0] = np.arange(rows)
        self.records = [self._record(row) for row in range(rows)]
        self.served = [row for row in range(rows) if row not in self.unserved]

    def _record(self, row: int) -> FitRecord:
        item, view = divmod(row, self.views)
        status = STATUSES.get(row, "ok")
        return FitRecord(
            item_id=f"train/{item:05d}",
            view=view,
            row=row,
            spec_id=self.spec.spec_id,
            split=("train", "train", "train", "val", "test")[item % 5],
            label=2 if item % 20 == 0 else item % 2,
            label_name="",
            source_sha256=f"{item:064x}",
            seed=self.seed,
            engine="torch",
            num_steps=1,
            final_loss=0.0,
            psnr_db=float(row),
            iou=float("nan"),
            status=status,
            reason="" if status == "ok" else "the test says so",
            duration_s=0.0,
            grid=(),
        )

    def build(self, path: Path) -> Path:
        create_store(path, [(self.spec, self.layout)], {"seed": self.seed}, {})
        with StoreWriter(path) as writer:
            for block in writer.pending(self.spec.spec_id):
                rows = self.layout.block_rows(block)
                flat = self.flat[rows.start : rows.stop].copy()
                flat[[row in self.unserved for row in rows]] = np.nan
                records = self.records[rows.start : rows.stop]
                writer.commit(stage_block(path, self.spec.spec_id, block, flat, records))
            writer.finish()
        return path


@pytest.fixture(scope="session")
def sample() -> Sample:
    return Sample(rows=4 * 256 + 40, seed=0)


@pytest.fixture(scope="session")
def path(sample, tmp_path_factory) -> Path:
    return sample.build(tmp_path_factory.mktemp("loaders") / "store")


@pytest.fixture(scope="session")
def other(tmp_path_factory) -> Path:
    """Another store of the same spec, with 300 rows."""
    return Sample(rows=300, seed=1).build(tmp_path_factory.mktemp("loaders") / "other")


@pytest.fixture(scope="session")
def lone(tmp_path_factory) -> Path:
    """Another store of the same spec, with 40 items of one view."""
    return Sample(rows=40, seed=2, views=1).build(tmp_path_factory.mktemp("loaders") / "lone")
