"""The other sections of the report, each from the findings it is about."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.augmentation_study.document import Section, Table
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.findings import Claim, Finding, Findings
from pipelines.augmentation_study.plots import (
    Curve,
    Dot,
    Line,
    dot_figure,
    overfitting_figure,
    size_figure,
)
from pipelines.augmentation_study.published import best_published
from pipelines.augmentation_study.results import Outcome
from pipelines.augmentation_study.rows import (
    SIZES,
    beyond_rows,
    contrastive_rows,
    curve_rows,
    leaky_rows,
    shape_rows,
    table_row,
    views_beside,
)
from pipelines.augmentation_study.sections_table import IMAGES, epochs_of, floor_of, percent


def beyond_section(findings: Findings, setting: Setting) -> Section:
    """Rows that are not in the paper, and the best of all beside the paper's best."""
    views = setting.scale.views
    beside = views_beside(views)
    rows = [row for _, v in beside for row in beyond_rows(v)]
    lines = [[row.row_id, percent(findings.get(row)), epochs_of(findings.get(row))] for row in rows]
    words = [
        "Signs in alignment and in the network, and one template (the iterated mean of training "
        "INRs aligned with signs) to which every INR is carried first. Rows with points ask INRs "
        "what they compute, which no network of the paper does, and values asks that alone."
    ]
    words += [_best(findings, v, published) for published, v in beside]
    dots = [
        Dot(name=row.row_id.removeprefix("images-"), ours=findings[row].interval)
        for row in rows
        if row in findings
    ]
    figures = []
    if dots:
        floor = floor_of(next(findings[row] for row in rows if row in findings))
        figures = [dot_figure(dots, "Beyond the paper", floor)]
    return Section(
        heading="Beyond the paper",
        words=[w for w in words if w],
        figures=figures,
        tables=[Table(head=["row", "test accuracy (%)", "epochs (kept)"], rows=lines)],
    )


def _best(findings: Findings, views: int, published: int) -> str:
    """Our best row of so many views beside the paper's best one, here and as published.

    A network that asks INRs for their values, as none of the paper's does, stands by itself.
    """
    ours = [f for r, f in findings.items() if r.corpus == "images" and r.views == views]
    ours = [f for f in ours if f.row.fraction == 1.0 and f.row.partners == "clean"]
    asking = [f for f in ours if f.row.asks_values]
    reading = [f for f in ours if not f.row.asks_values]
    if not reading:
        return ""
    best, paper = max(reading, key=_height), best_published(IMAGES, published)
    figure = paper.figures[IMAGES, published]
    assert figure is not None, "the best row has a figure"
    here = findings.get(table_row(paper.augmentation, paper.model, views))
    said = (
        f"Best on weights alone with {views} view{'s' * (views > 1)}: {best.row.row_id}, "
        f"{percent(best)}. The paper's best row, {paper.augmentation} with {paper.model}: "
        f"{figure.mean:.2f} published on 55,000 images, here {percent(here)}."
    )
    if asking:
        top = max(asking, key=_height)
        said += f" Asked for values: {top.row.row_id}, {percent(top)}."
    return said


def _height(found: Finding) -> float:
    return found.percent


def leaky_section(findings: Findings) -> Section:
    """MixUp's partners: from the view in use alone, or from all views, as published code does."""
    lines = [
        [row.row_id, percent(findings.get(replace(row, partners="clean"))), percent(f)]
        for model in ("dws", "gnn")
        for row in leaky_rows(model)
        for f in [findings.get(row)]
    ]
    return Section(
        heading="Whom MixUp mixes with, one view",
        words=(
            "Published code lets partners come from views that a one-view run should not see. "
            "Clean draws them from the one view in use, leaky from any view of a training image.",
        ),
        tables=[Table(head=["leaky row", "clean", "leaky"], rows=lines)],
    )


def size_section(findings: Findings, setting: Setting) -> Section:
    """Accuracy against the share of training images, with and without aligned MixUp."""
    lines, drawn = [], []
    for name in ("No augmentation", "Alignment + MixUp"):
        whole = table_row(name, "dws", 1)
        rows = [replace(whole, fraction=share) for share in SIZES]
        lines.append([name, *(percent(findings.get(row)) for row in rows)])
        found = [findings[row] for row in rows if row in findings]
        if found:
            images = [f.results[0].history[0].rows for f in found]
            drawn.append(Line(name=name, images=images, ours=[f.interval for f in found]))
    heading = "Data size: DWS, one view"
    return Section(
        heading="More data or aligned MixUp",
        words=(
            "The paper says that alignment and MixUp act like up to ten times more data. Shares of "
            "the training images, the same number of updates each.",
        ),
        figures=[size_figure(drawn, heading)] if any(len(d.images) > 1 for d in drawn) else [],
        tables=[Table(head=["", *(f"{share:.0%} of images" for share in SIZES)], rows=lines)],
    )


def curves_section(findings: Findings, views: int) -> Section | None:
    """Training and test loss from epoch to epoch."""
    found = [findings[row] for row in curve_rows(views) if row in findings]
    if not found:
        return None
    curves = [
        Curve(
            name=f.row.row_id.removeprefix("images-"),
            history=f.results[0].history,
            best_epoch=f.results[0].best_epoch,
        )
        for f in found
    ]
    lines = [
        [
            curve.name,
            f"{curve.history[-1].train_loss:.3f}",
            f"{curve.history[-1].test_loss:.3f}",
            f"{min(log.test_loss for log in curve.history):.3f}",
            f"{curve.best_epoch + 1} of {len(curve.history)}",
        ]
        for curve in curves
    ]
    head = ["row", "training loss at the end", "test loss at the end", "lowest", "epoch kept"]
    return Section(
        heading="Overfitting",
        words=(
            "Test loss is followed and chooses nothing. With MixUp the training loss is on mixed "
            "labels, so it cannot come near zero.",
        ),
        figures=[overfitting_figure(curves, "Loss from epoch to epoch, seed 0")],
        tables=[Table(head=head, rows=lines)],
    )


def contrastive_section(findings: Findings, views: int) -> Section:
    """What contrastive pre-training gains over training from scratch on as many labels."""
    lines = [
        [row.row_id, percent(findings.get(row)), percent(findings.get(scratch))]
        for row in contrastive_rows(views)
        for scratch in [replace(row, pretrained="no")]
    ]
    return Section(
        heading="Contrastive pre-training",
        words=(
            "Pre-trained on all training images without labels; then a linear layer on fixed "
            "features, or the whole network, learns from the labels of a share of them. The paper "
            "reports gains of 5 to 10 % downstream.",
        ),
        tables=[Table(head=["row", "pre-trained", "from scratch, same labels"], rows=lines)],
    )


def shapes_section(findings: Findings, floors: dict[str, str], fits: Sequence[str]) -> Section:
    """The shapes at hand, under their own names. fits: how they were fitted, a sentence each."""
    rows = shape_rows(2)
    lines = [[row.row_id, percent(findings.get(row)), epochs_of(findings.get(row))] for row in rows]
    words = [
        "Meshes laid out like ModelNet, which are not ModelNet40. One training shape in six, by "
        "the hash of its name, chooses the epoch. So few test shapes resolve little."
    ]
    words += fits
    words += [text for corpus, text in floors.items() if corpus != "images"]
    return Section(
        heading="The shapes at hand",
        words=words,
        tables=[Table(head=["row", "test accuracy (%)", "epochs (kept)"], rows=lines)],
    )


def claims_section(told: Sequence[Claim]) -> Section:
    """Every comparison, with its interval and what may be said."""
    lines = [
        [
            claim.topic,
            claim.first.row_id,
            claim.second.row_id,
            f"{claim.interval.mean:+.2f}",
            f"{claim.interval.low:+.2f} to {claim.interval.high:+.2f}",
            claim.verdict,
        ]
        for claim in told
    ]
    head = ["question", "row", "against", "points", "95 % interval", "verdict"]
    words = (
        "The first row is said to be better or worse only where the interval allows it. Each "
        "interval stands alone: of so many comparisons one in twenty would err by chance.",
    )
    return Section(
        heading="What may be claimed", words=words, tables=[Table(head=head, rows=lines)]
    )


def failed_section(outcomes: Sequence[Outcome]) -> Section | None:
    """Runs that did not come to their end."""
    lines = [[o.run.run_id, o.error] for o in outcomes if o.error]
    if not lines:
        return None
    return Section(heading="Failed runs", tables=[Table(head=["run", "why"], rows=lines)])
