"""Signals of the caller's own become sources: arrays, files, data sets, lists and functions."""

import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
import zarr
from PIL import Image

import inrgen
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks
from inrgen.sources import BadSignal, Signal, SourceConfig, open_source
from inrgen.sources.given import as_source

QUICK = {"views": 1, "num_steps": 2, "workers": 0, "engine": "torch", "splits": "train"}


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "axes", "order", "grid", "d_out"),
    [
        ((3, 7, 2), None, "x", (7,), 2),
        ((3, 7), "nt", "t", (7,), 1),
        ((3, 5, 7, 1), None, "xy", (5, 7), 1),
        ((3, 9, 5, 7), "NCHW", "xy", (5, 7), 9),
        ((5, 7, 3), "hwn", "xy", (5, 7), 1),
        ((3, 4, 5, 6, 2), None, "zyx", (4, 5, 6), 2),
        ((3, 4, 5, 6, 2), "ntyxc", "tyx", (4, 5, 6), 2),
        ((3, 2, 4, 5, 6, 1), None, "tzyx", (2, 4, 5, 6), 1),
    ],
)
def test_axes_say_which_number_lies_where(shape, axes, order, grid, d_out):
    array = numbers(*shape)
    source = as_source(array, axes=axes, splits="train")
    assert (source.facts.coord_order, source.facts.d_in) == (order, len(grid))
    assert source.facts.d_out == d_out
    signal = source.load(1)
    assert signal.grid == grid
    letters = (axes or "").lower().translate(str.maketrans("hwd", "yxz"))
    last = array if axes is None else np.moveaxis(array, letters.index("n"), 0)
    if "c" in letters:
        last = np.moveaxis(last, letters.replace("n", "").index("c") + 1, -1)
    np.testing.assert_array_equal(signal.values.numpy().reshape(-1), last[1].reshape(-1))


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((3, 28, 28), None, r"must be stated for an array of the shape \(3, 28, 28\)"),
        ((3, 28), None, "must be stated"),
        ((3, 4, 4, 1), "nyx", "names 3 axes; the array has 4"),
        ((3, 4, 4), "xyc", "must name items once"),
        ((3, 4, 4), "nxx", "another letter"),
    ],
)
def test_an_array_whose_axes_are_in_doubt_is_refused(shape, axes, message):
    with pytest.raises(ValueError, match=message):
        as_source(numbers(*shape), axes=axes)


@pytest.mark.parametrize(
    ("array", "kind", "value_range", "peak"),
    [
        (np.array([[0, 65535]], np.uint16), "intensity", (0.0, 1.0), 1.0),
        (np.array([[-2.0, 3.0, np.nan]]), "quantity", (-2.0, 3.0), 3.0),
        (np.array([[5, 5]]), "quantity", (5.0, 6.0), 5.0),
    ],
)
def test_the_dtype_and_the_range_say_what_values_mean(array, kind, value_range, peak):
    source = as_source(array, axes="nt", splits="train")
    assert (source.facts.value_kind, source.facts.value_range) == (kind, value_range)
    if np.isfinite(array).all():
        assert float(source.load(0).values.max()) == peak
    else:
        with pytest.raises(BadSignal, match="not finite"):
            source.load(0)
    image = as_source(np.abs(np.tanh(numbers(2, 3, 3))), axes="nyx")
    assert image.facts.value_kind == "intensity"


def test_splits_labels_and_limits_choose_items_in_order():
    array = np.arange(6.0)[:, None]
    splits = ["test", "train", "val", "train", "test", "train"]
    source = as_source(array, axes="nt", labels=list("babbab"), splits=splits)
    assert [item.item_id[-1] for item in source.items] == list("135204")
    assert [item.label_name for item in source.items] == list("abbbba")
    assert [float(source.load(i).values) for i in range(6)] == [1, 3, 5, 2, 0, 4]
    with pytest.raises(ValueError, match="labels needs one for each of 6"):
        as_source(array, axes="nt", labels=[0, 1])
    with pytest.raises(ValueError, match="got 'trian'"):
        as_source(array, axes="nt", splits="trian")


def test_files_hold_the_same_signals_as_the_arrays(tmp_path):
    array, labels = numbers(4, 6, 2), np.array(list("abab"))
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", values=array, labels=labels)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group["values"] = array
    given = as_source(array)
    for name in ("a.npy", "a.npz", "a.zarr"):
        config = SourceConfig(name="array", data=str(tmp_path / name))
        source = open_source(config)
        assert source.data_sha256 == given.data_sha256
        assert source.load(2).sha256() == given.load(2).sha256()
    part = open_source(SourceConfig(name="array", data=str(tmp_path / "a.npz"), limit=1))
    assert part.items[0].label_name in ("a", "b")
    np.save(tmp_path / "p.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "n.npz", value=array)
    (tmp_path / "t.npy").write_bytes(b"text")
    for name, message in [
        ("p.npy", "pickles are never read"),
        ("n.npz", "did you mean values"),
        ("t.npy", "never read"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_source(SourceConfig(name="array", data=str(tmp_path / name)))


class Samples(torch.utils.data.Dataset):
    """Pairs of values and label; sample 2 cannot be read."""

    def __init__(self, samples: list) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        if index == 2:
            raise OSError("it is gone")
        return self.samples[index], torch.tensor(index % 2)


PICTURES = [Image.fromarray(np.full((4, 5), 51 * i, np.uint8)) for i in range(4)]


@pytest.mark.parametrize(
    ("samples", "axes", "d_out"),
    [
        ([torch.full((3, 4, 5), i / 5) for i in range(4)], "cyx", 3),
        (PICTURES, None, 1),
        ([Signal(values=torch.full((20, 1), i / 5), grid=(4, 5)) for i in range(4)], None, 1),
    ],
)
def test_a_data_set_of_torch_gives_signals_and_a_bad_sample_is_a_bad_item(samples, axes, d_out):
    source = as_source(Samples(samples), axes=axes, splits="train")
    assert (source.facts.value_kind, source.facts.d_out) == ("intensity", d_out)
    assert [item.label for item in source.items] == [0, 1, -1, 1]
    assert source.load(3).grid == (4, 5)
    assert float(source.load(3).values.mean()) == pytest.approx(0.6)
    with pytest.raises(BadSignal, match="it is gone"):
        source.load(2)


def test_a_store_of_an_array_refuses_another_array_and_records_names(tmp_path):
    array = numbers(3, 6, 2)
    store = inrgen.build(array, axes="ntc", labels=[0, 1, 0], out=tmp_path / "s", **QUICK)
    assert (store.spec.coord_order, store.spec.widths) == ("t", (1, 64, 64, 2))
    assert store.identity["recipe"] == "default"
    inrgen.build(array, axes="ntc", labels=[0, 1, 0], out=tmp_path / "s", **QUICK)
    with pytest.raises(ValueError, match=r"items\.data_sha256"):
        inrgen.build(array + 1, axes="ntc", labels=[0, 1, 0], out=tmp_path / "s", **QUICK)


def test_signals_at_points_of_their_own(tmp_path):
    coords = np.tanh(numbers(3, 9, 2))
    source = as_source(numbers(3, 9, 4), coords=coords, axes="uv", splits="train")
    assert (source.facts.coord_order, source.load(1).grid) == ("uv", ())
    np.testing.assert_array_equal(source.load(1).coords.numpy(), coords[1])
    shared = as_source(numbers(3, 9, 4), coords=coords[0], splits="train")
    np.testing.assert_array_equal(shared.load(1).coords.numpy(), coords[0])
    with pytest.raises(ValueError, match="coords needs"):
        as_source(numbers(3, 9, 4), coords=coords[:, :5])
    listed = [Signal(values=torch.ones(5, 2) * i, grid=(5,)) for i in range(3)]
    listed += [Signal(values=torch.ones(5, 1), grid=(5,))]
    store = inrgen.build(iter(listed), axes="t", out=tmp_path / "s", **QUICK)
    table = store.read_records(["status", "reason"]).to_pylist()
    assert [row["status"] for row in table] == ["ok", "ok", "ok", "bad_input"]
    assert "1 outputs" in table[3]["reason"]


OWN = """
import numpy as np
def make(num: int = 2, scale: float = 1.0):
    return scale * np.arange(num * 4.0).reshape(num, 4, 1)
def ask(num): ...
def fail(): raise RuntimeError("boom")
plain = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch) -> str:
    (tmp_path / "own_waves.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    # import_own finds modules in the current folder; the path must not outlive the test
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "own_waves:make"
    sys.modules.pop("own_waves", None)


def test_a_function_of_the_users_own_is_a_source(own_module, monkeypatch):
    config = SourceConfig(name=own_module, arg=("num=3", "scale=2.5"), split="all")
    source = open_source(config)
    assert len(source.items) == 3
    assert float(source.load(0).values.max()) % 2.5 == 0
    assert SourceConfig.from_identity(config.identity(), None) == config
    for wrong, message in [
        ({"arg": ("nums=3",)}, "did you mean num"),
        ({"arg": ("num=three",)}, "num needs a whole number; got 'three'"),
        ({"name": "own_waves:mak"}, "has no mak; did you mean make"),
        ({"name": "own_waves:ask"}, "own_waves:ask needs more arguments: give --arg num=VALUE"),
        (
            {"name": "own_waves:fail"},
            r"own_waves:fail failed in fail \(own_waves.py, line \d+\): RuntimeError: boom",
        ),
        ({"name": "own_waves:fail", "arg": ("num=3",)}, "argument 'num' is unknown; it takes none"),
        ({"name": "own_waves:plain"}, "must be a function that returns signals; got int"),
        ({"name": "no_such_module:make"}, "No module named"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_source(SourceConfig(**{"name": own_module, **wrong}))
    point = EntryPoint(name="waves", value=own_module, group="inrgen.sources")
    monkeypatch.setattr("inrgen.sources.catalog.entry_points", lambda group: [point])
    assert len(open_source(SourceConfig(name="waves", arg=("num=5",))).items) == 5


def test_reading_a_store_runs_no_code_that_it_names(own_module, tmp_path):
    options = {name: value for name, value in QUICK.items() if name != "splits"}
    store = inrgen.build(own_module, out=tmp_path / "s", arg=("num=2",), **options)
    from inrgen.fit.plan import plan_of_store, source_of_store

    with pytest.raises(
        ValueError, match=f"a source of your own: name it, too .--source {own_module}"
    ):
        source_of_store(store, None)
    with pytest.raises(ValueError, match=f"source must be {own_module}.*; got other:make"):
        source_of_store(store, None, "other:make")
    assert open_source(source_of_store(store, None, own_module)).items[1].item_id
    assert plan_of_store(store, None, own=own_module).identity == store.identity
    given = inrgen.build(np.zeros((2, 5)), axes="nt", out=tmp_path / "o", **options)
    given.identity["source"]["name"] = "signals"
    with pytest.raises(ValueError, match="an object in memory, which nothing opens again"):
        source_of_store(given, None)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (3, "a name, a Source, .*; got int"),
        ({"a": numbers(2, 3, 3)}, "a name, a Source, .*; got dict, whose values may be one"),
        ([], "; got an empty iterable"),
        ((numbers(3, 3), numbers(3, 3)), "one array .*; got ndarrays one by one: np.stack joins"),
        ([torch.zeros(3, 3)], "one array .*; got Tensors one by one: torch.stack joins"),
        (["a.png"], "a name, a Source, .*; got an iterable of str"),
    ],
)
def test_what_holds_no_signals_is_refused_in_a_sentence(source, said):
    with pytest.raises(ValueError, match=f"source must be .*{said}"):
        inrgen.build(source, out="s")


def test_shared_objects_reach_every_task():
    for config in (ExecutorConfig(workers=0), ExecutorConfig(workers=2)):
        found = run_tasks(lambda task, shared: task + shared, range(3), config, shared=10)
        assert sorted(found) == [10, 11, 12]
