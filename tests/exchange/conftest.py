"""A small store of labelled pictures, some of which failed."""

import shutil
from pathlib import Path

import pytest

from inrgen.core.spec import InrSpec
from inrgen.fit.block import ViewsJob, fit_block
from inrgen.fit.config import FitConfig
from inrgen.fit.torch_engine import TorchEngine
from inrgen.sources.base import BadSignal
from inrgen.sources.synthetic import SyntheticSource
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.reader import Store, open_store
from inrgen.store.writer import StoreWriter, stage_block

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
    job = ViewsJob(spec=spec, fit=FitConfig(num_steps=5), seed=3, views=VIEWS)
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
    """A copy of its own for each test, in tmp_path/data/store."""
    return open_store(shutil.copytree(built, tmp_path / "data" / "store"))
