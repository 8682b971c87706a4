"""A store to load from: the first parameter of a row says which row it is."""

from pathlib import Path

import numpy as np
import pytest

from inrgen.core.spec import InrSpec
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.reader import Store, open_store
from inrgen.store.records import FitRecord
from inrgen.store.writer import StoreWriter, stage_block

SPEC = InrSpec(widths=(2, 3, 1), omega=(30.0,))
VIEWS = 4
# 256 rows a chunk and a shard: five shards, the last of them short
ROWS = 4 * 256 + 40


def split_of(item: int) -> str:
    return ("train", "train", "train", "val", "test")[item % 5]


def status_of(row: int) -> str:
    return {7: "below_target", 9: "bad_input", 501: "non_finite", 502: "bad_input"}.get(row, "ok")


def weights_of(rows: np.ndarray) -> np.ndarray:
    flat = np.random.default_rng(0).normal(size=(len(rows), SPEC.num_params)).astype(np.float32)
    flat[:, 0] = rows
    return flat


def record(row: int, seed: int) -> FitRecord:
    item, view = divmod(row, VIEWS)
    status = status_of(row)
    return FitRecord(
        item_id=f"train/{item:05d}",
        view=view,
        row=row,
        spec_id=SPEC.spec_id,
        split=split_of(item),
        # one class is rare, and the last shard holds none of it
        label=2 if item % 20 == 0 and item < 200 else item % 2,
        label_name="",
        source_sha256="0" * 64,
        seed=seed,
        engine="torch",
        num_steps=1,
        final_loss=0.0,
        psnr_db=float(row),
        iou=float("nan"),
        status=status,
        reason="" if status == "ok" else "as the test has it",
        duration_s=0.0,
        grid=(),
    )


def build(path: Path, rows: int = ROWS, seed: int = 0) -> Path:
    layout = Layout(rows=rows, views=VIEWS)
    create_store(path, [(SPEC, layout)], {"seed": seed}, {})
    with StoreWriter(path) as writer:
        for block in writer.pending(SPEC.spec_id):
            span = layout.block_rows(block)
            flat = weights_of(np.array(span))
            records = [record(row, seed) for row in span]
            flat[[r.status in ("bad_input", "non_finite") for r in records]] = np.nan
            writer.commit(stage_block(path, SPEC.spec_id, block, flat, records))
        writer.finish()
    return path


@pytest.fixture(scope="session")
def path(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("loaders") / "store")


@pytest.fixture(scope="session")
def other_path(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("loaders") / "other", rows=300, seed=1)


@pytest.fixture(scope="session")
def store(path) -> Store:
    return open_store(path)


@pytest.fixture(scope="session")
def served() -> list[int]:
    """Every row that any loader may serve."""
    return [row for row in range(ROWS) if status_of(row) in ("ok", "below_target")]
