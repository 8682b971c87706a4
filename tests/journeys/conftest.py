"""A small made-up store to derive others from."""

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


class MadeUp:
    """Random networks, which no symmetry brings very near each other; some rows are NaN.

    Blocks hold 256 rows, the last one 40.
    """

    views = 4
    bad = (0, 9, 501, 502)

    def __init__(self, rows: int = 4 * 256 + 40, hidden: int = 6) -> None:
        widths = (2, hidden, hidden, 1)
        self.spec = InrSpec(widths=widths, omega=(30.0, 30.0), output_offset=0.5)
        self.rows, self.layout = rows, Layout(rows=rows, views=self.views)
        numbers = np.random.default_rng(0)
        self.flat = numbers.standard_normal((rows, self.spec.num_params), dtype=np.float32) / 8
        self.flat[list(self.bad)] = np.nan
        self.records = [self._record(row) for row in range(rows)]

    def _record(self, row: int) -> FitRecord:
        item, view = divmod(row, self.views)
        good = FitRecord(
            item_id=f"train/{item:05d}",
            view=view,
            row=row,
            spec_id=self.spec.spec_id,
            split=("train", "train", "train", "val", "test")[item % 5],
            label=item % 3,
            label_name="",
            source_sha256=f"{item:064x}",
            seed=1,
            engine="torch",
            num_steps=1,
            final_loss=0.25,
            psnr_db=30.0 + row / 100,
            iou=float("nan"),
            status="ok",
            reason="",
            duration_s=0.5,
            grid=(4, 5),
        )
        if row in self.bad:
            return replace(good, status="bad_input", reason="it cannot be read")
        return good

    def build(self, path: Path, num_blocks: int | None = None) -> Path:
        """Write the store, or its first blocks."""
        spec_id, identity = self.spec.spec_id, {"source": {"name": "made up"}, "seed": 1}
        create_store(path, [(self.spec, self.layout)], identity, {"inrgen_version": "0"})
        with StoreWriter(path) as writer:
            for block in writer.pending(spec_id)[:num_blocks]:
                rows = self.layout.block_rows(block)
                cut = slice(rows.start, rows.stop)
                staged = stage_block(path, spec_id, block, self.flat[cut], self.records[cut])
                writer.commit(staged)
            writer.finish()
        return path

    @staticmethod
    def content(path: Path) -> dict[str, bytes]:
        """Every file of a store."""
        files = (file for file in path.rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def quickly() -> Iterator[None]:
    """Without checks of types, where a test does what others have done with them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def made_up() -> MadeUp:
    return MadeUp()


@pytest.fixture(scope="session")
def parent(made_up, tmp_path_factory) -> Path:
    """The made-up store, which tests only read."""
    return made_up.build(tmp_path_factory.mktemp("journeys") / "parent")
