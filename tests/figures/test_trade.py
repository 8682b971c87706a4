"""The plot of recipes shows each by its own figures, in both panels."""

from dataclasses import replace

import pytest

from inrgen.figures.style import save_figure
from inrgen.figures.trade import Measured, TradePoint, trade_figure

POINTS = [
    TradePoint(
        name=f"recipe {at}",
        seconds=10.0 + 30.0 * at,
        quality=Measured(value=20.0 + at, low=18.0 + at, high=21.0 + at),
        accuracy={
            "mlp": Measured(value=60.0 - at, low=59.0 - at, high=61.0 - at),
            "set": Measured(value=40.0 + at, low=38.0 + at, high=42.0 + at),
        },
    )
    for at in range(8)
]


def test_every_recipe_is_drawn_at_its_figures_with_its_bars(tmp_path):
    figure = trade_figure(POINTS, "a heading")
    for axes, across in zip(figure.axes, ("quality", "seconds"), strict=True):
        drawn = [(float(b[0].get_xdata()[0]), float(b[0].get_ydata()[0])) for b in axes.containers]
        x = [p.quality.value if across == "quality" else p.seconds for p in POINTS]
        assert drawn == [
            (a, share.value)
            for a, p in zip(x, POINTS, strict=True)
            for share in p.accuracy.values()
        ]
    bars = figure.axes[0].containers[0][2]
    ends = [tuple(map(tuple, bar.get_segments()[0])) for bar in bars]
    assert ends == [((18.0, 60.0), (21.0, 60.0)), ((20.0, 59.0), (20.0, 61.0))]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    # eight recipes have more than there are colours, so numbers tell them apart
    assert names == [*(f"{at + 1}  {point.name}" for at, point in enumerate(POINTS)), "mlp", "set"]
    notes = [text.get_text() for text in figure.axes[1].texts]
    assert notes == [str(at + 1) for at in range(len(POINTS)) for _ in range(2)]
    assert save_figure(figure, tmp_path / "trade.png").stat().st_size > 1000


def test_few_recipes_are_told_apart_by_colour_and_the_axis_names_the_quality():
    figure = trade_figure(POINTS[:3], quality="IoU: median")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*(point.name for point in POINTS[:3]), "mlp", "set"]
    assert figure.axes[0].get_xlabel() == "IoU: median"
    assert not figure.axes[1].texts


@pytest.mark.parametrize("points", [[], [replace(POINTS[0], accuracy={})]])
def test_points_without_classifiers_are_refused(points):
    with pytest.raises(ValueError, match="points need the same 1 to 4 classifiers"):
        trade_figure(points)


def test_points_of_other_classifiers_are_refused():
    other = replace(POINTS[1], accuracy={"mlp": POINTS[1].accuracy["mlp"]})
    with pytest.raises(ValueError, match="points need the same"):
        trade_figure([POINTS[0], other])
