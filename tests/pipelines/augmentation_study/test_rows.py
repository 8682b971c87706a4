"""The plan of rows, the published table and the scales."""

import pytest

from pipelines.augmentation_study.published import best_published, published_rows
from pipelines.augmentation_study.rows import (
    AUGMENTATIONS,
    RECIPES,
    Row,
    choose_rows,
    contrastive_rows,
    curve_rows,
    leaky_rows,
    plan_rows,
    size_rows,
    table_row,
    views_beside,
)
from pipelines.augmentation_study.scales import (
    epochs_for,
    model_text,
    optimising,
    scale,
    train_config,
)
from pipelines.augmentation_study.sections_learned import learned_rows

VIEWS = 10


def test_every_cell_of_the_published_table_is_planned_once():
    rows = plan_rows(VIEWS, 2)
    assert len(set(rows)) == len(rows)
    for said in published_rows():
        for views in (1, VIEWS):
            assert table_row(said.augmentation, said.model, views) in rows


def test_modelnet40_is_planned_only_where_it_is_given():
    assert not any(row.corpus == "modelnet40" for row in plan_rows(VIEWS, 2))
    real = [row for row in plan_rows(VIEWS, 2, modelnet40=True) if row.corpus == "modelnet40"]
    figures = [f for r in published_rows() for (c, _), f in r.figures.items() if c == "modelnet40"]
    assert len(real) == sum(figure is not None for figure in figures)


def test_what_sections_ask_for_is_planned():
    rows = plan_rows(VIEWS, 2)
    for wanted in (size_rows(), curve_rows(VIEWS), contrastive_rows(VIEWS), leaky_rows("gnn")):
        assert set(wanted) <= set(rows)
    assert {Row(recipe=text) for text in RECIPES} <= set(rows)


@pytest.mark.parametrize("views", [1, VIEWS])
def test_a_section_asks_for_a_row_once(views):
    for wanted in (size_rows(), curve_rows(views), contrastive_rows(views), leaky_rows("gnn")):
        assert len(set(wanted)) == len(wanted)


def test_names_are_different_and_can_be_files():
    names = [row.row_id for row in plan_rows(VIEWS, 2, modelnet40=True)]
    assert len(set(names)) == len(names)
    assert all(name == name.strip() and not set(name) & set("/\\,* ") for name in names)


def test_the_most_telling_rows_come_first():
    first = plan_rows(VIEWS, 2)[:10]
    assert first[0] == table_row("No augmentation", "dws", 1)
    assert {table_row("Alignment + MixUp", "dws", 1), Row(model="signed")} <= set(first)
    assert all(row.model != "gnn" for row in first)


def test_a_scale_of_one_view_plans_no_row_that_needs_another():
    rows = plan_rows(1, 2)
    images = [row for row in rows if row.corpus == "images" and not row.recipe]
    assert {row.views for row in images} == {1}
    assert {row.partners for row in images} == {"clean"}
    assert views_beside(1) == ((1, 1),)
    assert views_beside(VIEWS) == ((1, 1), (10, VIEWS))


def test_rows_are_chosen_by_pattern_and_a_pattern_without_rows_is_refused():
    rows = plan_rows(VIEWS, 2)
    some = choose_rows(rows, ["images-dws-1v-*", "recipe-fast"])
    assert 0 < len(some) < len(rows)
    assert {row.views for row in some} == {1}
    with pytest.raises(ValueError, match="none is 'nonsense'"):
        choose_rows(rows, ["nonsense"])


def test_the_published_table_is_as_published():
    rows = published_rows()
    assert len(rows) == 24
    assert {row.augmentation for row in rows} == set(AUGMENTATIONS)
    by_name = {(row.augmentation, row.model): row.figures for row in rows}
    aligned = by_name["Alignment + MixUp", "dws"]["fashion-mnist", 1]
    assert aligned is not None
    assert (aligned.mean, aligned.spread) == (75.67, 0.36)
    assert by_name["Rotation", "gnn"]["modelnet40", 10] is None
    best = best_published("fashion-mnist", 1)
    assert (best.augmentation, best.model) == ("MixUp", "gnn")


@pytest.mark.parametrize("name", ["tiny", "small", "whole", "full"])
def test_every_row_is_a_run_at_every_scale(name):
    at = scale(name)
    for row in (*plan_rows(at.views, 2), *learned_rows(at.views)):
        if row.recipe:
            continue
        config = train_config(
            at,
            model_text(at, row.model),
            0,
            at.steps,
            1000,
            augment=row.augment,
            mixup=row.mixup,
            partners=row.partners,
            views=row.views,
            fraction=row.fraction,
        )
        # The paper has no augmentation by permutations.
        assert config.published == (row.augment != "permutation")
        assert config.lr == optimising(row.model).lr


def test_fewer_rows_make_more_passes_with_as_many_updates():
    for num_rows in (3000, 300, 30):
        epochs = epochs_for(720, num_rows, 64)
        assert epochs * max(1, num_rows // 64) == pytest.approx(720, rel=0.04)
