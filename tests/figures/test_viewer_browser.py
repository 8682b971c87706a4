"""The page of a store in a real browser: what it draws is what inrgen evaluates."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from inrgen.commands.view import page_of_store
from inrgen.core.config import thorough
from inrgen.core.encoding import octave_encoding
from inrgen.core.geometry import grid_coords, noted_grid
from inrgen.core.matching import match
from inrgen.core.mixing import mix
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.figures.pictures import as_intensity
from inrgen.figures.viewer.page import PageTexts, make_page
from inrgen.fit.crumbs import count_loose
from inrgen.fit.surface import grid_values, zero_set
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.reader import open_store
from inrgen.store.writer import StoreWriter, stage_block
from tests.hostile import HOSTILE_NAMES, HostileStore
from tests.synthetic import SyntheticSource

# Bytes of a canvas, as base64 because a list of a million numbers takes a minute to arrive.
PIXELS = """canvas => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    let text = "";
    for (let k = 0; k < data.length; k += 4096)
        text += String.fromCharCode(...data.subarray(k, k + 4096));
    return [height, width, btoa(text)];
}"""
SHOWN = "() => [...document.querySelectorAll('#cards .card')].map((card) => card.dataset.index)"
UNNAMED = """() => [
    ...document.querySelectorAll("button, select, input, #stage, [role=img]")
].filter((part) => !(part.textContent.trim() || part.ariaLabel || part.labels?.length)).length"""


def finest_pixels(page):
    """The picture of a surface on the stage, once its coarse drafts are replaced."""
    page.wait_for_function(
        """() => {
            const stage = document.getElementById("stage");
            return stage.width === Math.min(720, Math.round(stage.clientWidth * devicePixelRatio));
        }"""
    )
    return pixels(page, "#stage")


def pixels(page, selector):
    """The picture on a canvas, in [0, 1], once something has been drawn."""
    page.wait_for_function("name => document.querySelector(name).width > 1", arg=selector)
    rows, columns, data = page.eval_on_selector(selector, PIXELS)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows, columns, 4)[..., :3] / 255


def evaluated(store, params, grid):
    values = evaluate(store.spec, params, grid_coords(store.spec, grid))[0].numpy()
    return as_intensity(store.spec, values).reshape(*grid, -1).clip(0, 1)


@pytest.fixture(scope="module")
def picture_page(store, source):
    return make_page(store, source, 100, None, PageTexts(title="t", summary="s")).html


@pytest.mark.parametrize("fragment", ["#webgl2", ""], ids=["WebGL2", "worker"])
def test_drawn_pixels_are_those_that_inrgen_evaluates(
    open_page, picture_page, store, source, fragment
):
    page = open_page(picture_page, fragment)
    records = store.read_records(["row", "item_id", "status", "grid"]).to_pylist()
    places = {item.item_id: place for place, item in enumerate(source.items)}
    usable = [record for record in records if record["status"] == "ok"]
    assert len(usable) >= 10
    # Chromium's WebGL is software here, so it must be asked for
    assert ("WebGL2" in page.text_content("#evaluator")) == bool(fragment)
    for record in usable[:10]:
        grid = noted_grid(store.spec, record["grid"])
        card = f'#cards [data-index="{record["row"]}"]'
        page.locator(card).scroll_into_view_if_needed()
        wanted = evaluated(store, store.read([record["row"]]), grid)
        np.testing.assert_allclose(pixels(page, f"{card} canvas"), wanted, atol=1 / 255)
        truth = source.load(places[record["item_id"]]).values.numpy().reshape(*grid, -1)
        original = pixels(page, f"{card} canvas:nth-child(2)")
        np.testing.assert_allclose(original, truth.clip(0, 1), atol=1 / 255)


@pytest.mark.parametrize(
    ("networks", "fragment"),
    [
        ({"activation": "finer"}, "#webgl2"),
        ({"activation": "sinc"}, "#webgl2"),
        ({"activation": "relu", "widths": (12, 8, 1), "encoding": octave_encoding(2, 3)}, ""),
    ],
    ids=["finer", "sinc", "relu on Fourier features"],
)
def test_other_networks_are_drawn_as_inrgen_evaluates_them(
    open_page, build_pictures, tmp_path, networks, fragment
):
    store = build_pictures(tmp_path / "store", SyntheticSource(num_items=2, d_out=1), **networks)
    texts = PageTexts(title="t", summary="s")
    page = open_page(make_page(store, None, 100, None, texts).html, fragment)
    for record in store.read_records(["row", "grid"]).to_pylist()[:2]:
        wanted = evaluated(
            store, store.read([record["row"]]), noted_grid(store.spec, record["grid"])
        )
        card = f'#cards [data-index="{record["row"]}"]'
        shown = pixels(page, f"{card} canvas")
        np.testing.assert_allclose(shown, wanted.repeat(3, axis=2), atol=1 / 255)


def test_filters_and_orders_show_the_rows_that_they_name(open_page, picture_page, store):
    page = open_page(picture_page)
    columns = ["row", "split", "label_name", "view", "status", "psnr_db"]
    records = store.read_records(columns).sort_by("row").to_pylist()

    def shown():
        return [int(index) for index in page.evaluate(SHOWN)]

    def rows(holds):
        return [record["row"] for record in records if holds(record)]

    assert shown() == rows(lambda record: True)
    page.select_option("[name=split]", "test")
    page.select_option("[name=class]", "b")
    assert shown() == rows(lambda r: r["split"] == "test" and r["label_name"] == "b") != []
    page.select_option("[name=split]", "*")
    page.select_option("[name=class]", "*")
    page.select_option("[name=status]", "bad_input")
    page.select_option("[name=view]", "1")
    assert shown() == rows(lambda r: r["status"] == "bad_input" and r["view"] == 1) != []
    page.select_option("[name=status]", "*")
    page.select_option("[name=view]", "*")
    ranked = sorted(
        rows(lambda r: r["psnr_db"] == r["psnr_db"]), key=lambda row: records[row]["psnr_db"]
    )
    page.select_option("[name=order]", "worst")
    assert shown()[: len(ranked)] == ranked
    half = len(ranked) // 2
    middle = sum(records[row]["psnr_db"] for row in ranked[half - 1 : half + 1]) / 2
    page.fill("[name=least]", str(middle))
    page.select_option("[name=order]", "best")
    assert shown() == ranked[: half - 1 : -1]
    assert page.text_content("#count").startswith(f"{len(shown())} of {len(records)} ")


def test_the_slider_draws_the_mean_of_the_weights_before_and_after_matching(
    open_page, picture_page, store
):
    page = open_page(picture_page)
    page.click("#tab-between")
    page.wait_for_selector("#loss[data-drawn]")
    page.eval_on_selector("#slider", "part => { part.value = 0.25; part.oninput(); }")
    page.wait_for_function("() => document.getElementById('path').dataset.drawn === '0.250'")
    records = store.read_records(["row", "item_id", "status", "grid"]).sort_by("row").to_pylist()
    first, second = [record for record in records if record["status"] == "ok"][:2]
    assert first["item_id"] == second["item_id"]
    ends = [store.read([record["row"]]) for record in (first, second)]
    lam = ends[0].flat().new_tensor([0.75])
    for kind in ("none", "permutation", "signed"):
        other = ends[1]
        if kind != "none":
            other = match(store.spec, ends[0], ends[1], thorough(kind)).aligned
        drawn = pixels(page, f'[data-path="{kind}"]')
        # the square of the longest side, at the middle of each of the page's points
        side, sides = len(drawn), noted_grid(store.spec, first["grid"])
        step = 2 / (max(sides) - 1)
        half = max(sides) * step / 2
        at = -half + (np.arange(side) + 0.5) * 2 * half / side
        y, x = np.meshgrid(at, at, indexing="ij")
        points = lam.new_tensor(np.stack([x, y], axis=-1).reshape(-1, 2))
        values = evaluate(store.spec, mix(ends[0], other, lam), points)[0].numpy()
        wanted = as_intensity(store.spec, values).reshape(side, side, -1).clip(0, 1)
        np.testing.assert_allclose(drawn, wanted, atol=1.5 / 255)


def test_zooming_shows_the_function_and_pixels_show_its_samples(open_page, picture_page, store):
    page = open_page(picture_page, "#row=0", viewport={"width": 700, "height": 900})
    page.wait_for_selector('#stage[data-drawn="function 0"]')
    colours = len(np.unique(pixels(page, "#stage").reshape(-1, 3), axis=0))
    page.focus("#stage")
    page.keyboard.press("+")
    page.wait_for_function("() => document.getElementById('readout').textContent.includes('1.5 ')")
    page.keyboard.press("0")
    page.click('[data-mode="pixels"]')
    page.wait_for_selector('#stage[data-drawn="pixels 0"]')
    samples = pixels(page, "#stage")
    wanted = evaluated(store, store.read([0]), (6, 5))
    unit = len(samples) / 6
    for row in range(6):
        for column in range(5):
            at = samples[int((row + 0.5) * unit), int((column + 1) * unit)]
            np.testing.assert_allclose(at, wanted[row, column], atol=1 / 255)
    assert colours > 4 * len(np.unique(wanted.reshape(-1, 3), axis=0))
    # every layer has its weights and its responses
    assert page.locator("#layers canvas").count() == 2
    page.wait_for_selector("#responses canvas")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_names_are_shown_as_text_and_fit_a_phone(open_page, tmp_path, scheme):
    store = open_store(HostileStore(rows=24).build(tmp_path / "store"))
    size = {"width": 360, "height": 640}
    page = open_page(page_of_store(store).html, viewport=size, color_scheme=scheme)
    for tab in ("one", "between", "quality", "about", "gallery"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, tab
        assert page.evaluate(UNNAMED) == 0, tab
    shown = page.locator("#cards .name").all_text_contents()
    assert {name.rpartition(" ")[0] for name in shown} == set(HOSTILE_NAMES)
    assert page.evaluate("window.broken") is None
    # the bad row says why
    page.click('#cards [data-index="0"]')
    assert HOSTILE_NAMES[0] in page.text_content("#mode-text")


def test_a_shape_has_a_surface_that_turns_and_a_slice(open_page, tmp_path):
    spec = InrSpec(
        widths=(3, 8, 1),
        omega=(4.0,),
        coord_order="xyz",
        coord_center=(0.0, 0.0, 0.0),
        value_range=(-1.0, 1.0),
        value_kind="signed_distance",
    )
    flat = np.random.default_rng(0).standard_normal((4, spec.num_params)).astype(np.float32) / 3
    create_store(tmp_path / "store", [(spec, Layout(rows=4, views=2))], {}, {})
    records = [
        replace(r, spec_id=spec.spec_id, status="ok", reason="", iou=0.9)
        for r in HostileStore(rows=24).records[:4]
    ]
    with StoreWriter(tmp_path / "store") as writer:
        writer.commit(stage_block(tmp_path / "store", spec.spec_id, 0, flat, records))
    page = open_page(page_of_store(open_store(tmp_path / "store")).html, "#row=1")
    page.wait_for_selector('#stage[data-drawn="surface 1"]')
    before = finest_pixels(page)
    page.focus("#stage")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(400)
    after = finest_pixels(page)
    assert before.std() > 0.02
    assert before.shape == after.shape
    assert np.abs(before - after).mean() > 0.01
    values = grid_values(spec, open_store(tmp_path / "store").read([1]), 48)
    crumbs = count_loose(zero_set(spec, values))
    assert f"crumbs{crumbs.num or 'none'}" in page.text_content("#record")
    page.click('[data-mode="slice"]')
    page.wait_for_selector('#stage[data-drawn="slice 1"]')
    assert "(0." in page.text_content("#readout") or "(-0." in page.text_content("#readout")
