"""Sections on the published table beside ours, and on the order of its rows."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from pipelines.augmentation_study.document import Section, Table
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.findings import (
    Claim,
    Finding,
    Findings,
    find,
    order_against_published,
)
from pipelines.augmentation_study.plots import Dot, dot_figure
from pipelines.augmentation_study.published import PublishedRow, published_rows
from pipelines.augmentation_study.results import read_scales
from pipelines.augmentation_study.rows import table_row, views_beside

_NOT_RUN = "not run"
_NO_MODELNET = "not run: no data"
_UNRUN_REAL = "The published table of ModelNet40, of which nothing was run here"
IMAGES = "fashion-mnist"


def percent(finding: Finding | None) -> str:
    """Text of a row's accuracy with its interval and seeds."""
    if finding is None:
        return _NOT_RUN
    share, seeds = finding.interval, len(finding.seeds)
    spread = "" if finding.spread is None else f" ± {finding.spread:.2f}"
    plural = "s" * (seeds > 1)
    return f"{share.mean:.2f}{spread} ({share.low:.1f} to {share.high:.1f}; {seeds} seed{plural})"


def epochs_of(finding: Finding | None) -> str:
    """Text of the epochs of a row's first run, and the kept one."""
    if finding is None:
        return ""
    result = finding.results[0]
    return f"{len(result.history)} ({result.best_epoch + 1})"


def _views(num: int) -> str:
    return f"{num} view{'s' * (num > 1)}"


def _published(row: PublishedRow, corpus: str, views: int) -> str:
    figure = row.figures[corpus, views]
    return "—" if figure is None else f"{figure.mean:.2f} ± {figure.spread:.2f}"


def published_section(findings: Findings, setting: Setting, modelnet40: bool) -> Section:
    """Published table, each cell beside the accuracy measured here."""
    views = setting.scale.views
    lines, real = [], []
    for said in published_rows():
        cells = [said.augmentation, said.model]
        for v, here in views_beside(views):
            found = findings.get(table_row(said.augmentation, said.model, here))
            cells += [_published(said, IMAGES, v), percent(found)]
        lines.append(cells)
        real.append([said.augmentation, said.model, *_modelnet_cells(findings, said, modelnet40)])
    ours = f"here, {setting.scale.source}"
    head = ["augmentation", "model"]
    for v, here in views_beside(views):
        head += [f"published FMNIST, {_views(v)}", f"{ours}, {_views(here)}"]
    words = (
        "Test accuracy in %. Published: 55,000 Fashion-MNIST images, mean and spread over seeds. "
        "Here: mean (and spread over seeds where there are several), with the 95 % interval over "
        "test items. Compare figures of another scale only in order, not in height.",
    )
    columns = ["published, 1 view", "here", "published, 10 views", "here"]
    return Section(
        heading="The published table",
        words=words,
        figures=_dots(findings, setting),
        tables=[
            Table(head=head, rows=lines),
            Table(
                head=["augmentation (ModelNet40)", "model", *columns],
                rows=real,
                folded="" if any(row.corpus == "modelnet40" for row in findings) else _UNRUN_REAL,
            ),
        ],
    )


def _modelnet_cells(findings: Findings, said: PublishedRow, given: bool) -> list[str]:
    cells = []
    for views in (1, 10):
        found = findings.get(table_row(said.augmentation, said.model, views, "modelnet40"))
        known = said.figures["modelnet40", views] is not None
        ours = percent(found) if given else _NO_MODELNET
        cells += [_published(said, "modelnet40", views), ours if known else "—"]
    return cells


def floor_of(finding: Finding) -> float:
    """Share of the commonest class among the test items, in %."""
    labels = finding.labels
    return 100 * max(Counter(labels).values()) / len(labels)


def _dots(findings: Findings, setting: Setting) -> list[Element]:
    dots, some = [], None
    for said in published_rows():
        for v, here in views_beside(setting.scale.views):
            found = findings.get(table_row(said.augmentation, said.model, here))
            figure = said.figures[IMAGES, v]
            if found is not None:
                some = found
                name = f"{said.augmentation}, {said.model}, {_views(here)}"
                beside = None if figure is None else (figure.mean, figure.spread)
                dots.append(Dot(name=name, ours=found.interval, published=beside))
    if some is None:
        return []
    heading = f"{setting.scale.source}, scale {setting.scale.name}, beside the published table"
    return [dot_figure(dots, heading, floor_of(some))]


def order_section(told: Sequence[Claim], corpus: str, views: int) -> Section | None:
    """Gains of augmentations here and in the paper."""
    if corpus != IMAGES:
        return None
    lines = order_against_published(told, corpus, views)
    words = (
        "Gain over no augmentation in points, as published and here with its 95 % interval. The "
        "order is called agreeing or opposite only where the interval excludes zero.",
    )
    head = ["row", "published gain", "gain here", "order"]
    return Section(
        heading="Order of augmentations against the published one",
        words=words,
        tables=[Table(head=head, rows=lines)],
    )


def scales_section(out: Path) -> Section | None:
    """Published table beside every scale with results in the folder out, where there are two."""
    found = {tag: (views, find(some)) for tag, (views, some) in read_scales(out).items()}
    columns = [
        (published, tag, here, findings)
        for published in (1, 10)
        for tag, (views, findings) in found.items()
        for beside, here in views_beside(views)
        if beside == published
    ]
    lines = []
    for said in published_rows():
        cells = [
            percent(findings.get(table_row(said.augmentation, said.model, here)))
            for _, _, here, findings in columns
        ]
        if set(cells) - {_NOT_RUN}:
            known = [_published(said, IMAGES, v) for v in (1, 10)]
            lines.append([said.augmentation, said.model, *known, *cells])
    if len(found) < 2 or not lines:
        return None
    head = ["augmentation", "model", "published, 1 view", "published, 10 views"]
    head += [f"{tag}, {_views(here)}" for _, tag, here, _ in columns]
    words = (
        "Rows of the published table that were run here, by scale. Compare the order of rows "
        "within a column: scales differ in images, recipe and updates.",
    )
    return Section(
        heading="The published table by scale", words=words, tables=[Table(head=head, rows=lines)]
    )
