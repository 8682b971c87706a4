"""Figures of the study as SVG, in the classes of the page's style sheet, so dark mode holds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from inrgen.training.result import EpochLog
from pipelines.augmentation_study.bootstrap import Interval
from pipelines.augmentation_study.document import element

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 400, 240, 52, 10, 10, 44
# Classes of the style sheet: blue, orange and green.
_COLOURS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """Row of a dot plot: our interval, and the published mean and spread if there is one."""

    name: str
    ours: Interval
    published: tuple[float, float] | None = None


def dot_figure(dots: Sequence[Dot], heading: str, floor: float | None = None) -> Element:
    """A table with a picture a row: test accuracy; floor is the commonest class's share."""
    ends = [end for dot in dots for end in (dot.ours.low, dot.ours.high)]
    published = [dot.published for dot in dots if dot.published is not None]
    ends += [mean + sign * spread for mean, spread in published for sign in (-1, 1)]
    ends += [] if floor is None else [floor]
    low, high = min(ends), max(ends)

    def to_x(value: float) -> str:
        return f"{4 + 292 * (value - low) / max(high - low, 1e-9):.1f}"

    def bar(begin: float, end: float) -> Element:
        return element("line", kind="bar", x1=to_x(begin), x2=to_x(end), y1="8", y2="8")

    def picture(dot: Dot) -> Element:
        words = f"{dot.ours.mean:.1f}, {dot.ours.low:.1f} to {dot.ours.high:.1f}"
        parts = []
        if floor is not None:
            parts.append(_line("cursor", to_x(floor), to_x(floor), "0", "16"))
        if dot.published is not None:
            mean, spread = dot.published
            words += f"; published {mean:.1f}"
            mark = element("circle", kind="bar", cx=to_x(mean), cy="8", r="3")
            parts.append(element("g", bar(mean - spread, mean + spread), mark, kind="val"))
        mark = element("circle", kind="dot", cx=to_x(dot.ours.mean), cy="8", r="3.5")
        parts.append(element("g", bar(dot.ours.low, dot.ours.high), mark, kind="train"))
        return _svg(words, 300, 16, *parts, kind="spread wide")

    head = ["row", "here", f"test accuracy from {low:.0f} to {high:.0f} %"]
    rows = [
        element(
            "tr",
            element("td", dot.name),
            element("td", f"{dot.ours.mean:.1f}", kind="number"),
            element("td", picture(dot)),
        )
        for dot in dots
    ]
    keys = [_key("train", "here, 95 % interval")]
    if published:
        keys.append(_key("val", "published (55,000 images), spread over seeds"))
    if floor is not None:
        keys.append(_key("", f"dashed: the commonest class, {floor:.1f} %"))
    table = element(
        "table",
        element("thead", element("tr", *(element("th", text) for text in head))),
        element("tbody", *rows),
    )
    scroll = element("div", table, kind="scroll", tabindex="0")
    return element("figure", _caption(heading, *keys), scroll)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Accuracy against the number of training images."""

    name: str
    images: Sequence[int]
    ours: Sequence[Interval]


def size_figure(lines: Sequence[Line], heading: str) -> Element:
    """Draw the data-size curve."""
    ticks = {math.log(images): f"{images:,}" for line in lines for images in line.images}
    ends = [end for line in lines for share in line.ours for end in (share.low, share.high)]

    def draw(to_x: Callable[[float], str], to_y: Callable[[float], str]) -> list[Element]:
        drawn = []
        for colour, line in zip(_COLOURS, lines, strict=False):
            at = [to_x(math.log(images)) for images in line.images]
            band = list(zip(at, (to_y(share.high) for share in line.ours), strict=True))
            band += reversed(list(zip(at, (to_y(share.low) for share in line.ours), strict=True)))
            means = list(zip(at, (to_y(share.mean) for share in line.ours), strict=True))
            drawn.append(_points("polygon", f"area {colour}", band))
            drawn.append(_points("polyline", f"line {colour}", means))
        return drawn

    labels = ("training images, one view each", "test accuracy (%)")
    chart = _chart(heading, (min(ticks), max(ticks)), (min(ends), max(ends)), ticks, labels, draw)
    keys = [_key(colour, line.name) for colour, line in zip(_COLOURS, lines, strict=False)]
    return element("figure", _caption(heading, *keys), chart)


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Losses of one run by epoch."""

    name: str
    history: Sequence[EpochLog]
    best_epoch: int


def overfitting_figure(curves: Sequence[Curve], heading: str) -> Element:
    """Draw training, test and validation loss of each run, side by side on one scale."""
    losses = [loss for c in curves for e in c.history for loss in _losses(e) if math.isfinite(loss)]
    highest = max(losses, default=1.0)
    charts = [
        element("figure", _overfitting_chart(curve, highest), element("figcaption", curve.name))
        for curve in curves
    ]
    names = ("training", "test", "validation")
    keys = [_key(colour, name) for colour, name in zip(_COLOURS, names, strict=True)]
    caption = _caption(heading, *keys, _key("", "dashed: the epoch kept"))
    return element("figure", caption, element("div", *charts, kind="strip"))


def _losses(epoch: EpochLog) -> tuple[float, float, float]:
    return epoch.train_loss, epoch.test_loss, epoch.val_loss


def _overfitting_chart(curve: Curve, highest: float) -> Element:
    last = max(len(curve.history), 2)
    ticks = {float(e): str(e) for e in range(1, last + 1, max(1, math.ceil(last / 6)))}

    def draw(to_x: Callable[[float], str], to_y: Callable[[float], str]) -> list[Element]:
        kept = to_x(curve.best_epoch + 1)
        drawn = [_line("cursor", kept, kept, to_y(0), to_y(highest))]
        by_split = zip(*map(_losses, curve.history), strict=True)
        for colour, losses in zip(_COLOURS, by_split, strict=True):
            points = [(to_x(e + 1), to_y(x)) for e, x in enumerate(losses) if math.isfinite(x)]
            drawn.append(_points("polyline", f"line {colour}", points))
        return drawn

    label = f"Losses of {curve.name}"
    return _chart(label, (1, last), (0, highest), ticks, ("epoch", "cross-entropy"), draw)


def _chart(
    label: str,
    x: tuple[float, float],
    y: tuple[float, float],
    x_ticks: dict[float, str],
    titles: tuple[str, str],
    draw: Callable[[Callable[[float], str], Callable[[float], str]], list[Element]],
) -> Element:
    """A chart with axes; draw gets functions from values to places, and returns elements."""

    def to_x(value: float) -> str:
        return f"{_LEFT + (value - x[0]) / max(x[1] - x[0], 1e-9) * (_WIDTH - _LEFT - _RIGHT):.1f}"

    def to_y(value: float) -> str:
        share = (value - y[0]) / max(y[1] - y[0], 1e-9)
        return f"{_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    def text(words: str, x: str | float, y: str | float, anchor: str = "middle") -> Element:
        return element("text", words, **{"x": str(x), "y": str(y), "text-anchor": anchor})

    parts = []
    for value in (y[0] + (y[1] - y[0]) * k / 4 for k in range(5)):
        parts += [
            _line("axis", str(_LEFT), str(_WIDTH - _RIGHT), to_y(value), to_y(value)),
            text(f"{value:.3g}", _LEFT - 6, float(to_y(value)) + 4, "end"),
        ]
    parts += [text(name, to_x(at), _HEIGHT - _BOTTOM + 17) for at, name in x_ticks.items()]
    parts.append(text(titles[0], (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6))
    upright = text(titles[1], 12, (_TOP + _HEIGHT - _BOTTOM) / 2)
    upright.set("transform", f"rotate(-90 12 {(_TOP + _HEIGHT - _BOTTOM) / 2})")
    return _svg(label, _WIDTH, _HEIGHT, *parts, upright, *draw(to_x, to_y), kind="small")


def _svg(label: str, width: int, height: int, *parts: Element, kind: str) -> Element:
    facts = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label}
    return element("svg", *parts, kind=kind, **facts)


def _line(kind: str, x1: str, x2: str, y1: str, y2: str) -> Element:
    return element("line", kind=kind, x1=x1, x2=x2, y1=y1, y2=y2)


def _points(tag: str, kind: str, points: Sequence[tuple[str, str]]) -> Element:
    return element(tag, kind=kind, points=" ".join(",".join(point) for point in points))


def _key(colour: str, words: str) -> Element:
    return element("span", element("span", words), kind=f"key {colour or 'none-drawn'}")


def _caption(heading: str, *keys: Element) -> Element:
    return element("figcaption", element("b", heading), *keys)
