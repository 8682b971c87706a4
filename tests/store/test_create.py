"""Creating a store twice changes nothing, and never touches foreign files."""

import pytest

from inrgen.core.spec import InrSpec
from inrgen.store.create import create_store
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import LOCK, Layout
from inrgen.store.reader import open_store


def _files(path):
    return {f.relative_to(path): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_creating_again_changes_nothing(sample, tmp_path):
    sample.create(tmp_path / "a" / "b")
    before = _files(tmp_path)
    sample.create(tmp_path / "a" / "b")
    assert _files(tmp_path) == before
    assert not any(str(tmp_path).encode() in content for content in before.values())


def test_about_may_differ(sample, tmp_path):
    sample.create(tmp_path)
    arrays = [(sample.spec, sample.layout)]
    create_store(tmp_path, arrays, sample.identity, {"version": "2"})
    assert open_store(tmp_path).about == {"version": "1"}


def test_every_differing_field_is_named(sample, tmp_path):
    sample.create(tmp_path)
    other = sample.identity | {"seed": 8, "fit": {"lr": 0.1, "betas": (0.9, 0.9)}, "new": {"x": 1}}
    with pytest.raises(ValueError, match="another store") as caught:
        create_store(tmp_path, [(sample.spec, sample.layout)], other, {})
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "seed (there 7, here 8)" in message
    assert "fit.betas (there [0.9, 0.999], here [0.9, 0.9])" in message
    assert "new (there nothing, here {'x': 1})" in message
    assert "fit.lr" not in message
    assert "name" not in message


def test_another_layout_is_named(sample, tmp_path):
    sample.create(tmp_path)
    layout = Layout(rows=2 * sample.layout.rows, views=129)
    with pytest.raises(ValueError, match=r"arrays\..*\.rows \(there 4257, here 8514\)"):
        create_store(tmp_path, [(sample.spec, layout)], sample.identity, {})


def test_several_specs(sample, tmp_path):
    other = InrSpec(widths=(2, 4, 1), omega=(10.0,))
    fine = Layout(rows=60, views=2, max_chunk_rows=4)
    arrays = [(sample.spec, sample.layout), (other, fine)]
    create_store(tmp_path, arrays, {}, {})
    store = open_store(tmp_path)
    assert set(store.specs.values()) == {sample.spec, other}
    assert store.layouts[other.spec_id] == fine
    with pytest.raises(ValueError, match="spec_id must be one of"):
        _ = store.spec
    with pytest.raises(ValueError, match="different specs"):
        create_store(tmp_path / "x", [arrays[0], arrays[0]], {}, {})


def test_foreign_folders_are_refused(sample, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    before = _files(tmp_path)
    with pytest.raises(FileExistsError, match=r"not an inrgen store: it holds thesis\.txt"):
        sample.create(tmp_path)
    assert _files(tmp_path) == before


def test_foreign_files_beside_the_lock_are_refused(sample, tmp_path):
    (tmp_path / LOCK).touch()
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        sample.create(tmp_path)


def test_other_zarr_groups_are_refused(sample, tmp_path):
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    with pytest.raises(ValueError, match="not an inrgen store"):
        sample.create(tmp_path)
    with pytest.raises(ValueError, match="not an inrgen store"):
        open_store(tmp_path)


def test_a_file_is_refused(sample, tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    for use in (sample.create, open_store):
        with pytest.raises(NotADirectoryError, match="file is a file"):
            use(path)
    with pytest.raises(NotADirectoryError, match="file"):
        sample.create(path / "below")


def test_an_unwritable_place_is_named(sample):
    with pytest.raises(OSError, match="/proc/inrgen"):
        sample.create("/proc/inrgen")


def test_urls_of_other_servers_are_refused(sample):
    with pytest.raises(ValueError, match=r"a store is a folder, s3.*got gs://bucket/x"):
        sample.create("gs://bucket/x")


def test_identity_must_be_json(sample, tmp_path):
    for bad in (float("nan"), {1, 2}, sample):
        with pytest.raises(ValueError, match="identity must be plain JSON"):
            create_store(tmp_path, [(sample.spec, sample.layout)], {"x": bad}, {})
    assert _files(tmp_path) == {}


def test_lost_documents_come_back_and_altered_ones_are_named(sample, tmp_path):
    sample.create(tmp_path)
    before = _files(tmp_path)
    document = tmp_path / sample.spec_id / "params" / "zarr.json"
    document.unlink()
    sample.create(tmp_path)
    assert _files(tmp_path) == before
    document.write_text("{}")
    with pytest.raises(DamagedStore, match=r"params/zarr\.json was altered"):
        sample.create(tmp_path)


def test_no_store(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        open_store(tmp_path / "nowhere")
