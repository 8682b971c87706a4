"""An extracted surface lies on the fitted mesh, in the coordinates of its file."""

import numpy as np
import pytest
import trimesh

from inrgen.commands.build import build
from inrgen.commands.extract import ExtractConfig, extract
from inrgen.commands.info import InfoConfig, info
from inrgen.fit.build_config import BuildConfig
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig
from inrgen.store.reader import open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extract")
    (folder / "meshes").mkdir()
    ball = trimesh.creation.icosphere(subdivisions=3, radius=5.0)
    ball.apply_translation([70.0, -20.0, 0.0]).export(folder / "meshes/ball.stl")
    (folder / "meshes/empty.off").write_text("")
    source = SourceConfig(
        name="mesh-folder",
        data=str(folder / "meshes"),
        shape=ShapeConfig(num_points=20_000),
    )
    build(BuildConfig(source=source, out=folder / "store", views=1, num_steps=300, workers=0))
    return folder / "store"


@pytest.fixture(scope="module")
def rows(store):
    table = open_store(store).records.to_table(columns=["item_id", "row"]).to_pylist()
    return {record["item_id"]: record["row"] for record in table}


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb"])
def test_the_surface_lies_where_the_mesh_lay(store, rows, tmp_path, suffix):
    out = tmp_path / "new" / f"ball{suffix}"
    summary = extract(ExtractConfig(store=store, row=rows["ball.stl"], out=out, resolution=48))
    mesh = trimesh.load(out, force="mesh")
    assert (summary.num_faces, summary.item_id, summary.failed) == (
        len(mesh.faces),
        "ball.stl",
        False,
    )
    radii = np.linalg.norm(mesh.vertices - [70.0, -20.0, 0.0], axis=1)
    assert np.median(np.abs(radii - 5.0)) < 0.05
    assert summary.document()["view"] == 0
    assert "coordinates of its file" in summary.text()
    # A fit as short as this leaves crumbs.
    areas = sorted(part.area for part in mesh.split(only_watertight=False))
    assert summary.num_pieces == len(areas) > 1
    assert summary.largest_share == pytest.approx(areas[-1] / sum(areas), rel=1e-3)
    assert f"{summary.num_pieces} pieces, the largest with" in summary.text()


def test_info_counts_crumbs_if_it_is_asked(store):
    assert "crumbs" not in info(InfoConfig(store=store)).text()
    found = info(InfoConfig(store=store, crumbs=5))
    assert "crumbs: 1 of 1 surfaces have pieces beside the largest" in found.text()
    assert 0 < found.document()["crumbs"]["max_area"] < 0.5


def test_placed_keeps_the_coordinates_of_the_inr(store, rows, tmp_path):
    out = tmp_path / "ball.ply"
    extract(ExtractConfig(store=store, row=rows["ball.stl"], out=out, resolution=48, placed=True))
    assert np.median(np.linalg.norm(trimesh.load(out).vertices, axis=1)) == pytest.approx(
        0.9, abs=0.01
    )


def test_a_row_without_a_surface_is_refused(store, rows, tmp_path):
    out = tmp_path / "x.ply"
    with pytest.raises(ValueError, match="bad_input, is an empty file"):
        extract(ExtractConfig(store=store, row=rows["empty.off"], out=out))
    with pytest.raises(ValueError, match="one that the store holds; got 77"):
        extract(ExtractConfig(store=store, row=77, out=out))
    with pytest.raises(ValueError, match="spec must be one of"):
        extract(ExtractConfig(store=store, row=0, out=out, spec="none"))
    assert not out.exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"out": "x.png"}, "out must end in"), ({"resolution": 1}, "resolution must be in")],
)
def test_wrong_configs_are_refused(tmp_path, wrong, message):
    options = {"out": tmp_path / "x.ply", "resolution": 64} | wrong
    options["out"] = tmp_path / options["out"]
    with pytest.raises(ValueError, match=message):
        ExtractConfig(store=tmp_path, row=0, **options)
