"""The report: complete cells for finished runs, and no figure for the others."""

import re
from dataclasses import replace

import pytest

from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.findings import claims, find
from pipelines.augmentation_study.report import report_sections, write_report
from pipelines.augmentation_study.results import write_outcome
from pipelines.augmentation_study.rows import Row, plan_rows, table_row
from pipelines.augmentation_study.scales import scale
from pipelines.augmentation_study.sections_learned import learned_rows
from pipelines.augmentation_study.stores import Places, shapes_words
from pipelines.val_split import with_val
from tests.made_up import MadeUp

SMALL = scale("small")
PLANNED = plan_rows(10, 2)


@pytest.fixture
def setting(tmp_path):
    return Setting(scale=SMALL, places=Places(out=tmp_path), device="cpu", threads=1)


@pytest.fixture
def some(outcome, recipe_outcome):
    """Two seeds of one row, one seed of some others, and a recipe."""
    plain, aligned = Row(), table_row("Alignment + MixUp", "dws", 1)
    small = Row(fraction=0.1)
    return [
        outcome(plain, 0.5),
        outcome(plain, 0.52, seed=1),
        outcome(aligned, 0.9),
        outcome(small, 0.3),
        outcome(Row(corpus="modelnet_like"), 0.4),
        recipe_outcome(Row(recipe="fast"), 61.0),
    ]


def tables(sections):
    return {section.heading: section.tables for section in sections}


def test_without_results_no_cell_holds_a_figure_of_ours(setting):
    found = tables(report_sections(setting, PLANNED, []))
    published, real = found["The published table"]
    assert len(published.rows) == len(real.rows) == 24
    for row in published.rows:
        assert (row[3], row[5]) == ("not run", "not run")
    for row in real.rows:
        assert set(row[3::2]) <= {"not run: no data", "—"}
    assert all(set(row[1:]) == {"not run"} for row in found["The recipe study"][0].rows)


def test_at_one_view_the_table_has_no_column_of_ten(setting, some):
    at = replace(setting, scale=scale("whole"))
    published, _ = tables(report_sections(at, plan_rows(1, 2), some))["The published table"]
    assert published.head[2:] == ["published FMNIST, 1 view", "here, fashion-mnist, 1 view"]
    assert {len(row) for row in published.rows} == {4}


def test_cells_that_were_run_say_accuracy_interval_and_seeds(setting, some):
    sections = report_sections(setting, PLANNED, some)
    published, _ = tables(sections)["The published table"]
    cells = {(row[0], row[1]): row for row in published.rows}
    assert cells["No augmentation", "dws"][3].endswith("2 seeds)")
    assert cells["No augmentation", "dws"][2] == "68.30 ± 0.62"
    assert cells["Alignment + MixUp", "dws"][3].endswith("1 seed)")
    assert cells["Alignment + MixUp", "gnn"][3] == "not run"
    (words,) = ["\n".join(s.words) for s in sections if s.heading == "Scale and protocol"]
    assert "5 of" in words
    assert "commonest class 25.0 %" in words


def test_an_order_is_claimed_only_where_the_interval_leaves_zero_out(setting, some, outcome):
    alike = outcome(table_row("MixUp", "dws", 1), 0.5)
    (table,) = tables(report_sections(setting, PLANNED, [*some, alike]))["Claims"]
    verdicts = {(row[1], row[2]): row[5] for row in table.rows}
    assert verdicts["images-dws-1v-aligned_mixup", "images-dws-1v-none"] == "better"
    assert verdicts["images-dws-1v-direct_mixup", "images-dws-1v-none"] == "not resolved"


def test_a_verdict_comes_before_the_fullest_table(setting, some, outcome):
    def headings(outcomes):
        return [s.heading for s in report_sections(setting, PLANNED, outcomes)]

    assert headings([])[:2] == ["The published table", "Scale and protocol"]
    assert headings(some[:3])[:3] == ["What to use", "The published table", "Scale and protocol"]
    # sections in which nothing was run come last
    assert headings(some)[-1] == "Contrastive pre-training"
    verdict = report_sections(setting, PLANNED, some[:3])[0].words[1]
    assert verdict.startswith("dws, 1 view: aligned_mixup +")
    assert verdict.endswith("gain; none cost; not resolved: none.")
    beyond = [outcome(Row(model="signed", mixup=mix), 0.5) for mix in ("none", "signed", "aligned")]
    assert headings([some[0], *beyond])[0] == "Beyond the paper"


def test_networks_that_ask_for_values_are_not_the_best_on_weights(setting, some, outcome):
    asking = [outcome(Row(model=text), 0.95) for text in ("values", "signed,points=256")]
    found = {s.heading: s for s in report_sections(setting, PLANNED, [*some, *asking])}
    (best,) = [w for w in found["Beyond the paper"].words if w.startswith("Best on weights alone")]
    assert "with 1 view: images-dws-1v-aligned_mixup" in best
    assert "Best with values: images-" in best
    assert not Row(model="signed,points=0").reads_values


def test_rows_on_learned_starts_stand_apart_from_the_published_table(setting, outcome):
    at = replace(setting, scale=replace(SMALL, recipe="learned"))
    rows = learned_rows(10)
    plain, noisy = rows[0], replace(rows[0], augment="gaussian-noise")
    sections = report_sections(at, rows, [outcome(plain, 0.9), outcome(noisy, 0.5)])
    assert [s.heading for s in sections] == ["Learned starts", "Scale and protocol"]
    (table,) = sections[0].tables
    cells = {line[0]: line[1:] for line in table.rows}
    assert list(cells) == [row.row_id for row in rows] == list(dict.fromkeys(cells))
    assert cells[plain.row_id][2] == "—"
    assert cells[noisy.row_id][2].startswith("-4")
    assert cells["images-mlp-10v-direct_mixup_beta0.4"] == ["not run", "", "—"]
    assert "images-mlp-10v-none" not in {row.row_id for row in learned_rows(1)}


def test_both_pages_are_written_and_the_html_needs_no_other_file(setting, some):
    html, markdown = write_report(setting, PLANNED, some)
    page = html.read_text(encoding="utf-8")
    assert page.count("<svg") >= 6
    assert not re.search(r"http(?!-equiv)|<script|<img| style=|`|\*\*", page)
    assert "| Alignment + MixUp | dws | 75.67 ± 0.36 |" in markdown.read_text(encoding="utf-8")
    assert sorted(p.name for p in setting.places.out.iterdir()) == [html.name, markdown.name]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_study_fits_a_phone_and_draws_its_figures(open_page, setting, some, scheme):
    html = write_report(setting, PLANNED, some)[0].read_text(encoding="utf-8")
    options = {"viewport": {"width": 360, "height": 640}, "color_scheme": scheme}
    page = open_page(html, ready="main", **options)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    headings = page.locator("h2").all_text_contents()
    assert headings[0] == "What to use"
    assert page.locator("nav a").all_text_contents() == headings
    assert page.locator("section table").first.is_visible()
    widths = "all => all.map(line => line.getBBox().width)"
    drawn = page.eval_on_selector_all(".strip svg .line", widths)
    assert len(drawn) >= 3
    assert min(drawn) > 100
    assert page.eval_on_selector("svg", "drawn => drawn.getBoundingClientRect().width") > 100
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(251, 250, 248)", "dark": "rgb(21, 23, 27)"}[scheme]


def test_scales_of_one_folder_stand_in_one_table(setting, some):
    heading = "The published table by scale"
    for found in some[:3]:
        write_outcome(setting.places.out, SMALL, found)
    assert heading not in tables(report_sections(setting, PLANNED, some))
    write_outcome(setting.places.out, scale("whole"), some[0])
    (table,) = tables(report_sections(setting, PLANNED, some))[heading]
    assert table.head[4:] == ["small, 1 view", "whole, 1 view", "small, 10 views"]
    assert [row[0] for row in table.rows] == ["No augmentation", "Alignment + MixUp"]
    assert [cell[-8:] for cell in table.rows[0][4:]] == ["2 seeds)", " 1 seed)", "not run"]


def test_shapes_are_said_to_be_fitted_as_their_store_notes(setting, some, tmp_path):
    assert shapes_words(setting.places) == []
    made = MadeUp()
    made.identity = made.identity | {"recipe": "teach"}
    made.records = [replace(record, iou=0.625) for record in made.records]
    with_val(made.build(tmp_path / "given"), tmp_path / "shapes" / "modelnet_like")
    (words,) = shapes_words(setting.places)
    assert words.startswith("modelnet_like: recipe teach on intensity, 2-6-6-1, 4 views of a shape")
    assert words.endswith("median IoU 0.62.")
    sections = {s.heading: s for s in report_sections(setting, PLANNED, some)}
    assert words in sections["Available shapes"].words


def test_only_rows_that_answered_for_the_same_items_are_compared(outcome):
    plain = outcome(Row(), 0.5)
    other = outcome(table_row("SIREN negation", "dws", 1), 0.9)
    assert [claim.verdict for claim in claims(find([plain, other]), 10)] == ["better"]
    items = tuple(f"elsewhere/{item}" for item in other.result.items)
    moved = replace(other, result=replace(other.result, items=items))
    assert claims(find([plain, moved]), 10) == []
