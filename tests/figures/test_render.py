"""Pictures of a store show what is in it: the right values, the right rows, honest figures."""

import numpy as np
import pytest
import torch
from PIL import Image

from inrgen.core.metrics import psnr_db
from inrgen.figures.pictures import PicturePair, error_picture, error_scale, reconstructions_figure
from inrgen.figures.quality import QualityData, quality_figure
from inrgen.figures.render import choose_rows, picture_pairs, quality_data, render_store
from inrgen.figures.style import save_figure
from inrgen.store.records import USABLE_STATUSES
from tests.synthetic import SyntheticSource


def records_of(store):
    return sorted(store.records.to_table().to_pylist(), key=lambda record: record["row"])


def test_pictures_and_originals_give_the_psnr_on_record(store, source):
    rows = choose_rows(store, 100)
    by_row = {record["row"]: record for record in records_of(store)}
    for row, pair in zip(rows, picture_pairs(store, source, rows), strict=True):
        assert list(pair.reconstruction.shape) == [*by_row[row]["grid"], 3]
        a, b = (
            torch.from_numpy(x).reshape(1, -1, 3).double()
            for x in (pair.reconstruction, pair.original)
        )
        assert float(psnr_db(a, b, 1.0)) == pytest.approx(by_row[row]["psnr_db"], abs=1e-3)
        assert pair.caption == f"{by_row[row]['psnr_db']:.1f} dB"


def test_rows_run_from_worst_to_best_and_all_hold_weights(store):
    by_row = {record["row"]: record for record in records_of(store)}
    everything = choose_rows(store, 1000)
    assert sorted(everything) == [
        r for r, record in by_row.items() if record["status"] in USABLE_STATUSES
    ]
    some = choose_rows(store, 5)
    psnr = [by_row[row]["psnr_db"] for row in some]
    assert psnr == sorted(psnr)
    assert (some[0], some[-1]) == (everything[0], everything[-1])
    with pytest.raises(ValueError, match="num must be positive"):
        choose_rows(store, 0)


def test_rows_without_weights_are_refused(store, source):
    bad = [record["row"] for record in records_of(store) if record["status"] not in USABLE_STATUSES]
    assert len(bad) == 4
    with pytest.raises(ValueError, match=f"row {bad[0]} holds no weights: "):
        picture_pairs(store, source, [0, bad[0]])


def test_a_store_without_weights_has_nothing_to_draw(tmp_path, build_pictures):
    empty = build_pictures(tmp_path / "store", SyntheticSource(num_items=3, broken=(0, 1, 2)))
    with pytest.raises(ValueError, match="no row that holds weights"):
        choose_rows(empty, 3)
    assert quality_data(empty).psnr_db == {}


def test_the_quality_plot_counts_every_row(store):
    data = quality_data(store)
    assert data.status_counts == {"bad_input": 2, "non_finite": 2, "ok": 14}
    assert sum(map(len, data.psnr_db.values())) == 14
    assert data.target_db == 12.0


@pytest.mark.parametrize("with_source", [True, False])
def test_render_writes_pictures_that_open(store, source, tmp_path, with_source):
    paths = render_store(store, source if with_source else None, 5, tmp_path / "new")
    assert [path.name for path in paths] == ["reconstructions.png", "quality.png"]
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 100
            assert np.asarray(image.convert("L")).std() > 1


def test_gray_stores_render_without_their_source(gray_store, tmp_path):
    assert picture_pairs(gray_store, None, [0])[0].original is None
    assert all(path.exists() for path in render_store(gray_store, None, [0, 3], tmp_path))


def picture(value: float, original: float | None) -> PicturePair:
    full = np.full((2, 3, 1), value, dtype=np.float32)
    base = None if original is None else np.full((2, 3, 1), original, dtype=np.float32)
    return PicturePair(reconstruction=full, original=base, title="t", caption="c")


def test_errors_are_unclipped_and_share_one_scale():
    over, exact = picture(1.5, 0.5), picture(0.25, 0.25)
    assert np.allclose(error_picture(over), 1.0)
    assert error_scale([over, exact]) == pytest.approx(1.0)
    assert error_scale([exact]) > 0
    assert error_scale([picture(0.5, None)]) == 1.0


def texts_of(figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes]


def test_rows_of_originals_are_left_out_where_there_are_none():
    assert texts_of(reconstructions_figure([picture(0.5, None)])) == ["reconstruction"]
    mixed = reconstructions_figure([picture(0.5, None), picture(0.5, 0.4)])
    assert texts_of(mixed)[:5:2] == ["original", "reconstruction", "error"]
    with pytest.raises(ValueError, match="at least one picture"):
        reconstructions_figure([])


def test_quality_plots_of_nothing_of_one_and_of_exact_fits(tmp_path):
    cases = {
        "nothing": QualityData(psnr_db={}, status_counts={"bad_input": 3}),
        "one": QualityData(psnr_db={"val": np.array([20.0])}, status_counts={"ok": 1}),
        "exact": QualityData(psnr_db={"train": np.array([20.0, np.inf])}, status_counts={"ok": 2}),
    }
    for name, data in cases.items():
        figure = quality_figure(data, heading=name)
        assert save_figure(figure, tmp_path / f"{name}.png").exists()
        assert ("exact INRs left out" in figure.axes[0].get_title()) == (name == "exact")


def test_figures_are_saved_as_pictures_only(tmp_path):
    with pytest.raises(ValueError, match=r"out must end in \.png, \.pdf or \.svg"):
        save_figure(reconstructions_figure([picture(0.5, None)]), tmp_path / "a.txt")
