"""Curves and confusions show what they are given."""

import math

import pytest

from inrgen.figures.style import save_figure
from inrgen.figures.training import confusion_figure, loss_figure


def test_losses_are_drawn_by_split_and_the_kept_epoch_marked():
    losses = {"train": [2.0, 1.0, 0.5], "val": [2.0, 1.5, 1.8], "test": [math.nan] * 3}
    (axes,) = loss_figure(losses, best_epoch=1).axes
    drawn = {str(line.get_label()): line for line in axes.get_lines()}
    assert set(drawn) == {"train", "val", "kept epoch"}
    assert list(drawn["val"].get_ydata()) == losses["val"]
    assert list(drawn["val"].get_xdata()) == [1, 2, 3]
    assert list(drawn["kept epoch"].get_xdata()) == [2, 2]


def test_a_run_without_a_sound_epoch_still_has_a_figure():
    (axes,) = loss_figure({"train": [math.nan]}, best_epoch=-1).axes
    assert axes.get_lines() == []
    assert axes.get_legend() is None


def test_confusions_are_shares_of_the_true_class():
    axes = confusion_figure([[3, 1], [0, 0]], ["cat", "dog"]).axes[0]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "0"]
    with pytest.raises(ValueError, match="confusion needs 3 by 3 counts; got 2 rows"):
        confusion_figure([[1, 0], [0, 1]], ["cat", "dog", "eel"])


def test_names_with_dollar_signs_are_no_formulas(tmp_path):
    picture = confusion_figure([[1, 0], [0, 1]], ["$\\frac{", "a$_$"], "Prices in $ and in $")
    assert save_figure(picture, tmp_path / "confusion.png").stat().st_size > 0
