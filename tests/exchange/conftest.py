"""A small store of labelled pictures, some of which failed."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, FitPlan
from inrgen.fit.torch_engine import TorchEngine
from inrgen.fit.views import fit_block
from inrgen.sources.base import BadSignal
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.reader import Store, open_store
from inrgen.store.records import FitRecord
from inrgen.store.writer import StoreWriter, stage_block
from tests.synthetic import SyntheticSource

VIEWS = 2


def read(source, index):
    try:
        return source.load(index)
    except BadSignal as reason:
        return reason


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """Nine items, two views each; items 1 and 2 have no weights."""
    source = SyntheticSource(num_items=9, broken=(1,), not_finite=(2,))
    spec = InrSpec(widths=(2, 8, 1), omega=(30.0,), output_offset=0.5)
    job = FitPlan(spec=spec, fit=FitConfig(num_steps=5), seed=3, views=VIEWS)
    signals = [read(source, index) for index in range(source.num_items)]
    fitted = fit_block(job, TorchEngine(), source.items, signals, first_row=0)
    layout = Layout(rows=source.num_items * VIEWS, views=VIEWS)
    path = tmp_path_factory.mktemp("built") / "store"
    identity = {"source": {"name": "a|b <i>"}, "seed": 3}
    create_store(path, [(spec, layout)], identity=identity, about={"inrgen_version": "0"})
    with StoreWriter(path) as writer:
        writer.commit(stage_block(path, spec.spec_id, 0, fitted.flat, fitted.records))
    return path


@pytest.fixture
def store(built, tmp_path) -> Store:
    """A fresh copy for each test, in tmp_path/data/store."""
    return open_store(shutil.copytree(built, tmp_path / "data" / "store"))


IMAGES = InrSpec(widths=(2, 6, 6, 1), omega=(30.0, 30.0), output_offset=0.5)
SHAPES = InrSpec(
    widths=(3, 4, 4, 4, 4, 1),
    omega=(30.0,) * 4,
    coord_order="xyz",
    coord_center=(0.0, 0.0, 0.0),
    value_range=(-0.1, 0.1),
    value_kind="truncated_distance",
)
# (folder that numbers the files, number of items, split), as Fashion-MNIST has it
ITEMS = [("train", 5, "train"), ("train", 2, "val"), ("test", 3, "test")]


def item_names() -> list[tuple[str, str]]:
    """Item id and split of each item; numbers continue from train to val."""
    names, at = [], {"train": 0, "test": 0}
    for folder, count, split in ITEMS:
        for _ in range(count):
            names.append((f"{folder}/{at[folder]:05d}", split))
            at[folder] += 1
    return names


def small_store(path: Path, spec: InrSpec, views: int, source: str, lost: tuple = ()) -> Path:
    """A store of random weights whose records are as a build would make them; lost rows are NaN."""
    names = item_names()
    rows = len(names) * views
    generator = torch.Generator().manual_seed(5)
    scale = 0.1 if spec.d_in == 2 else 0.02
    flat = scale * torch.randn(rows, spec.num_params, generator=generator).numpy()
    flat[list(lost)] = np.nan
    records = [
        FitRecord(
            item_id=names[row // views][0],
            view=row % views,
            row=row,
            spec_id=spec.spec_id,
            split=names[row // views][1],
            label=(row // views) % 3,
            label_name="abc"[(row // views) % 3],
            source_sha256="",
            seed=0,
            engine="torch",
            num_steps=1,
            final_loss=0.1,
            psnr_db=math.nan,
            iou=math.nan,
            status="non_finite" if row in lost else "ok",
            reason="it diverged" if row in lost else "",
            duration_s=0.0,
            grid=(7, 7),
        )
        for row in range(rows)
    ]
    layout = Layout(rows=rows, views=views)
    identity = {"source": {"name": source}}
    create_store(path, [(spec, layout)], identity=identity, about={})
    with StoreWriter(path) as writer:
        for block in range(layout.num_blocks):
            span = layout.block_rows(block)
            some = slice(span.start, span.stop)
            writer.commit(stage_block(path, spec.spec_id, block, flat[some], records[some]))
    return path


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Ten items of three views each, of pictures."""
    return small_store(tmp_path_factory.mktemp("images") / "store", IMAGES, 3, "fashion-mnist")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """Ten items of one view each, of shapes."""
    return small_store(tmp_path_factory.mktemp("shapes") / "store", SHAPES, 1, "modelnet40")
