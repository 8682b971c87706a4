"""Made-up rows that fill a store without any fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from inrgen.core.spec import InrSpec
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.records import FitRecord
from inrgen.store.writer import StagedBlock, StoreWriter, stage_block


class MadeUp:
    """Random networks, which no symmetry brings near each other; bad rows are NaN.

    By default blocks hold 256 rows, the last one 40. Items take their splits in turn.
    """

    views = 4
    bad = (0, 9, 501, 502)
    splits = ("train", "train", "train", "val", "test")

    def __init__(self, rows: int = 4 * 256 + 40, widths: tuple[int, ...] = (2, 6, 6, 1)) -> None:
        omega = (30.0,) * (len(widths) - 2)
        self.spec = InrSpec(widths=widths, omega=omega, output_offset=0.5)
        self.spec_id = self.spec.spec_id
        self.rows, self.layout = rows, Layout(rows=rows, views=self.views)
        self.identity = {
            "source": {"name": "made up"},
            "seed": 7,
            "fit": {"lr": 0.1, "betas": [0.9, 0.999]},
            "name": None,
        }
        numbers = np.random.default_rng(0)
        self.flat = numbers.standard_normal((rows, self.spec.num_params), dtype=np.float32) / 8
        self.flat[list(self.bad)] = np.nan
        # made once, since it takes a while
        self.records = [self._record(row) for row in range(rows)]

    def _record(self, row: int) -> FitRecord:
        item, view = divmod(row, self.views)
        good = FitRecord(
            item_id=f"train/{item:05d}",
            view=view,
            row=row,
            spec_id=self.spec_id,
            split=self.splits[item % len(self.splits)],
            label=item % 3,
            label_name=str(item % 3),
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
        if row in self.bad or row - self.rows in self.bad:
            return replace(good, status="bad_input", reason="it cannot be read")
        return good

    def create(self, path: Path) -> None:
        create_store(path, [(self.spec, self.layout)], self.identity, {"version": "1"})

    def stage(self, path: Path, block: int) -> StagedBlock:
        rows = self.layout.block_rows(block)
        cut = slice(rows.start, rows.stop)
        return stage_block(path, self.spec_id, block, self.flat[cut], self.records[cut])

    def build(self, path: Path, num_blocks: int | None = None) -> Path:
        """Create or resume a store and fill it, or only its first blocks."""
        self.create(path)
        with StoreWriter(path) as writer:
            for block in writer.pending(self.spec_id):
                if num_blocks is None or block < num_blocks:
                    writer.begin_commit(self.stage(path, block))
            if num_blocks is None:
                writer.finish()
        return path

    @staticmethod
    def content(path: Path) -> dict[str, bytes]:
        """Read every file of a store."""
        files = (file for file in path.rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
