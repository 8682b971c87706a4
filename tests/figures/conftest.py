"""Small stores of pictures."""

import pytest

from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, FitPlan
from inrgen.fit.torch_engine import TorchEngine
from inrgen.fit.views import fit_block
from inrgen.sources.base import BadSignal
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.reader import Store, open_store
from inrgen.store.writer import StoreWriter, stage_block
from tests.synthetic import SyntheticSource

VIEWS = 2


def read(source, index):
    try:
        return source.load(index)
    except BadSignal as reason:
        return reason


def _build(path, source, **networks) -> Store:
    """All items of a source, fitted for a few steps into a store of one block."""
    facts = {"widths": (2, 8, source.d_out), "omega": (30.0,), **networks}
    spec = InrSpec(**facts, output_offset=0.5)
    job = FitPlan(spec=spec, fit=FitConfig(num_steps=20, lr=5e-3), seed=0, views=VIEWS)
    signals = [read(source, index) for index in range(source.num_items)]
    fitted = fit_block(job, TorchEngine(), source.items, signals, first_row=0)
    layout = Layout(rows=source.num_items * VIEWS, views=VIEWS)
    identity = {"source": {"name": "synthetic"}, "recipe": "none", "min_psnr_db": 12.0}
    create_store(path, [(spec, layout)], identity=identity, about={})
    with StoreWriter(path) as writer:
        writer.commit(stage_block(path, spec.spec_id, 0, fitted.flat, fitted.records))
    return open_store(path)


@pytest.fixture(scope="session")
def build_pictures():
    """A function from a path, a source and fields of a spec to a store."""
    return _build


@pytest.fixture(scope="session")
def source() -> SyntheticSource:
    """Colour pictures of two sizes; item 1 cannot be read, item 2 cannot be fitted."""
    return SyntheticSource(
        num_items=9, grids=((6, 5), (4, 4)), d_out=3, broken=(1,), not_finite=(2,)
    )


@pytest.fixture(scope="session")
def store(source, tmp_path_factory) -> Store:
    return _build(tmp_path_factory.mktemp("colour") / "store", source)


@pytest.fixture(scope="session")
def gray_store(tmp_path_factory) -> Store:
    return _build(tmp_path_factory.mktemp("gray") / "store", SyntheticSource(num_items=4, d_out=1))
