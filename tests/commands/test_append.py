"""`inrgen build --append`: new items join a store, and all its others stay as they were."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import inrgen
from inrgen.commands.info import InfoConfig, info
from inrgen.commands.verify import VerifyConfig, verify
from inrgen.core.rng import hash_items
from inrgen.loaders.stream import StreamLoader
from inrgen.store.content import content_sha256
from inrgen.store.item_list import encode_items
from inrgen.store.layout import fragment_key
from inrgen.store.reader import Store, open_store
from tests.command_line import run

_VIEWS = 2
_FIT = {"views": _VIEWS, "recipe": "fast,hidden=4", "num_steps": 2, "engine": "torch"}
_ITEMS = {"bee/1.png": 10, "bee/2.png": 60, "cow/1.png": 110}
# In the source's order: a hash puts the second one into val.
_MORE = {"cow/0.png": 210, "ant/1.png": 160}


def _draw(folder: Path, items: dict[str, int]) -> Path:
    for name, gray in items.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.arange(36, dtype=np.uint8).reshape(6, 6) + np.uint8(gray)
        Image.fromarray(pixels).save(path)
    return folder


def _build(data: Path, out: Path, **options: object) -> Store:
    return inrgen.build("image-folder", data=str(data), out=out, workers=0, **options)


def _weights(store: Store) -> dict[tuple[str, int], bytes]:
    """The weights of each row under the name of its item and view."""
    table = store.read_records(["item_id", "view", "row"])
    flat = store.read(table["row"].to_numpy()).flat().numpy()
    names = zip(table["item_id"].to_pylist(), table["view"].to_pylist(), strict=True)
    return {name: row.tobytes() for name, row in zip(names, flat, strict=True)}


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Two items a block, so that three items leave the last block short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inrgen.fit.plan._BLOCK_BYTES", 4 * 17 * 63)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_blocks) -> Path:
    """A folder with three pictures, a store of these, and the store grown by two more."""
    folder = tmp_path_factory.mktemp("made")
    _draw(folder / "data", _ITEMS)
    _build(folder / "data", folder / "old", **_FIT)
    shutil.copytree(folder / "old", folder / "grown")
    _draw(folder / "data", _MORE)
    _build(folder / "data", folder / "grown", append=True)
    return folder


@pytest.fixture
def copy(made, tmp_path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def _refusal(capsys, *command: object) -> str:
    """The last line of a command that fails."""
    status, out, err = run(capsys, *command)
    assert (status, out) == (1, ""), err
    return err.splitlines()[-1]


def _command(copy: Path, *options: object, store: str = "old") -> list[object]:
    words = ["build", "image-folder", "--data", copy / "data", "--out", copy / store]
    return [*words, "--append", "--workers", 0, *options]


def test_an_append_gives_what_a_build_of_all_items_gives(made, tmp_path):
    old, grown = open_store(made / "old"), open_store(made / "grown")
    whole = _build(made / "data", tmp_path / "whole", **_FIT)
    assert _weights(grown) == _weights(whole)
    before, after = (store.read_records(old.records.schema.names) for store in (old, grown))
    # as text, in which NaN equals NaN
    assert str(after.slice(0, before.num_rows).to_pydict()) == str(before.to_pydict())
    assert after["item_id"].to_pylist()[::_VIEWS] == [*_ITEMS, *_MORE]
    ids = [batch.items for batch in StreamLoader(grown, batch_size=64, split="all")]
    wanted = hash_items([*_ITEMS, *_MORE]).repeat_interleave(_VIEWS)
    assert torch.equal(torch.cat(ids).sort().values, wanted.sort().values)
    assert info(InfoConfig(store=made / "grown")).text().count("grown: 3 items, then 2 more") == 1


def test_classes_keep_their_numbers(made):
    table = open_store(made / "grown").read_records(["label", "label_name"])
    named = set(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    # "ant" sorts before the others, whose rows have their numbers already
    assert named == {(0, "bee"), (1, "cow"), (2, "ant")}


def test_an_array_grows_twice(tmp_path):
    values, labels = np.random.default_rng(0).random((7, 6, 6, 1)), [0, 1, 0, 1, 0, 1, 2]
    fit = {"views": 2, "recipe": "fast,hidden=4", "num_steps": 2, "workers": 0}
    for number in (3, 4, 7):
        given = {"labels": labels[:number], "splits": "train", "out": tmp_path / "store"}
        options = fit if number == 3 else {"append": True, "workers": 0}
        store = inrgen.build(values[:number], **given, **options)
    whole = inrgen.build(values, labels=labels, splits="train", out=tmp_path / "whole", **fit)
    assert _weights(store) == _weights(whole)
    assert [version.rows for version in store.versions] == [6, 8]
    assert store.read_records(["label"])["label"].to_pylist()[::2] == labels
    same = inrgen.build(values, labels=labels, splits="train", append=True, out=store.path)
    assert same.self_checksum == store.self_checksum
    values[1, 0, 0] = 0.5
    with pytest.raises(ValueError, match=r"were fitted for array/00001: put"):
        inrgen.build(values, labels=labels, splits="train", append=True, out=store.path)


def test_an_own_source_grows_by_its_arguments(tmp_path, monkeypatch):
    (tmp_path / "ramps.py").write_text(
        "import numpy as np\n\ndef make(num: int = 2, low: float = 0.1):\n"
        "    return np.linspace(low, 1, 45).reshape(5, 3, 3, 1)[:num]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    given = {"out": tmp_path / "store", "workers": 0}
    inrgen.build("ramps:make", arg=("low=0",), **given, **_FIT)
    grown = inrgen.build("ramps:make", arg=("num=5",), append=True, **given)
    assert grown.identity["source"]["arg"] == ["low=0", "num=5"]
    assert [version.rows for version in grown.versions] == [2 * _VIEWS]
    with pytest.raises(ValueError, match="were fitted for array/00000"):
        inrgen.build("ramps:make", arg=("low=0.5",), append=True, **given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: _draw(data, {"bee/2.png": 61}), "fitted for bee/2.png: put the old files"),
        (lambda data: (data / "bee/2.png").unlink(), "lacks items .* built from: bee/2.png;"),
        (lambda data: (data / "cow").rename(data / "ox"), "lacks items .* built from: cow/1.png;"),
        (lambda data: (data / "cow/1.png").write_bytes(b"no"), "fitted for cow/1.png: put"),
    ],
    ids=["changed", "gone", "renamed", "broken"],
)
def test_items_that_are_not_as_they_were_are_named(change, said, copy, capsys):
    before = {file: file.read_bytes() for file in (copy / "old").rglob("*") if file.is_file()}
    change(copy / "data")
    sentence = _refusal(capsys, *_command(copy))
    assert re.search(said, sentence), sentence
    assert {f: f.read_bytes() for f in (copy / "old").rglob("*") if f.is_file()} == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--views", 99], "views (there 2, here 99)"),
        (["--seed", 3], "seed (there 0, here 3)"),
        (["--engine", "cpu"], "engine (there 'torch', here 'cpu')"),
        (["--min-psnr", 20.0], "min_psnr_db (there None, here 20.0)"),
        (["--lr", 0.5], "fit.lr"),
        (["--hidden", 8], "spec.widths"),
        (["--recipe", "fast"], "spec.widths"),
        (["--recipe", "learned"], "recipe (there 'fast', here 'learned')"),
        (["--channels", "rgb"], "source.channels (there 'auto', here 'rgb')"),
    ],
    ids=lambda value: str(value[0]).strip("-") if isinstance(value, list) else "",
)
def test_settings_of_another_store_are_refused(options, said, made, capsys):
    assert said in _refusal(capsys, *_command(made, *options))


def test_a_limit_is_refused():
    with pytest.raises(ValueError, match="leave out limit"):
        inrgen.build("digits", out="NONE", append=True, limit=9)


def test_the_settings_of_the_store_may_be_given_again(copy, capsys):
    words = ["--views", _VIEWS, "--recipe", "fast,hidden=4", "--num-steps", 2, "--seed", 0]
    status, out, err = run(capsys, *_command(copy, *words))
    assert (status, "fitted 4 INRs" in out) == (0, True), err
    assert "3 items are in the store and have not changed; 2 new" in err
    assert _weights(open_store(copy / "old")) == _weights(open_store(copy / "grown"))


def test_stores_that_do_not_grow_are_refused(copy, capsys):
    assert "there is no folder " in _refusal(capsys, *_command(copy, store="none"))
    plain = [word for word in _command(copy) if word != "--append"]
    assert "--append` adds the items that are new" in _refusal(capsys, *plain)
    inrgen.augment(copy / "old", augment="negation", out=copy / "derived")
    assert "append to the store that it" in _refusal(capsys, *_command(copy, store="derived"))
    fragment = next((copy / "old/records").iterdir())
    fragment.unlink()
    assert "inrgen verify --repair" in _refusal(capsys, *_command(copy))


def test_lost_blocks_of_all_versions_are_refitted(copy):
    store, wanted = open_store(copy / "grown"), _weights(open_store(copy / "grown"))
    _draw(copy / "data", {"dog/1.png": 90})  # not in the store, and no reason to refuse
    for block in (0, 1, 2):
        (copy / "grown" / fragment_key(store.spec.spec_id, block)).unlink()
    repair = VerifyConfig(store=copy / "grown", repair=True, data=str(copy / "data"))
    mended = verify(repair)
    assert not mended.failed, mended.text()
    assert _weights(open_store(copy / "grown")) == wanted
    assert store.layouts[store.spec.spec_id].num_blocks == 3
    labels = open_store(copy / "grown").read_records(["item_id", "label"]).to_pylist()
    assert {"item_id": "ant/1.png", "label": 2} in labels
    (copy / "grown" / fragment_key(store.spec.spec_id, 0)).unlink()
    shutil.rmtree(copy / "grown/items")
    with pytest.raises(ValueError, match=r"items/.*\.parquet: it is lost"):
        verify(repair)


@pytest.mark.parametrize("harm", ["lost", "altered", "of another store"])
def test_a_damaged_list_of_items_is_found_and_made_again(harm, copy):
    (listed,) = (copy / "grown/items").iterdir()
    wanted = listed.read_bytes()
    if harm == "lost":
        listed.unlink()
    elif harm == "altered":
        listed.write_bytes(wanted[:40] + bytes([wanted[40] ^ 1]) + wanted[41:])
    else:
        listed.write_bytes(encode_items([("bee/1.png", "train", 0, "bee")]))
    found = verify(VerifyConfig(store=copy / "grown"))
    assert [(one.kind, one.key) for one in found.report.findings] == [
        ("items", f"items/{listed.name}")
    ]
    mended = verify(VerifyConfig(store=copy / "grown", repair=True))
    assert (mended.failed, mended.restored) == (False, (f"items/{listed.name}",))
    assert listed.read_bytes() == wanted


def test_stores_derived_before_and_after(copy):
    before = inrgen.align(copy / "old", out=copy / "before", match="signed")
    shutil.rmtree(copy / "old")
    (copy / "grown").rename(copy / "old")
    lines = info(InfoConfig(store=copy / "before", lineage=True)).text()
    assert "it has grown since, and its rows of then are the same" in lines
    wanted, content = _weights(before), content_sha256(before.path)
    (copy / "before" / fragment_key(before.spec.spec_id, 1)).unlink()
    assert not verify(VerifyConfig(store=copy / "before", repair=True)).failed
    assert _weights(open_store(copy / "before")) == wanted
    # its own children find their parent by this digest
    assert content_sha256(before.path) == content
    after = inrgen.augment(copy / "old", augment="negation", out=copy / "after")
    assert len(after) == 5 * _VIEWS
    assert not verify(VerifyConfig(store=copy / "after")).failed
