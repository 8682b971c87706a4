"""Sections of the report on extensions, data, overfitting, pre-training, shapes and claims."""

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
    fold_rows,
    leaky_rows,
    shape_rows,
    table_row,
    views_beside,
)
from pipelines.augmentation_study.sections_table import IMAGES, epochs_of, floor_of, percent


def beyond_section(findings: Findings, setting: Setting) -> Section:
    """Rows beyond the paper, and the best of all beside the paper's best."""
    views = setting.scale.views
    beside = views_beside(views)
    rows = [row for _, v in beside for row in beyond_rows(v)]
    lines = [[row.row_id, percent(findings.get(row)), epochs_of(findings.get(row))] for row in rows]
    words = [
        "Signs in alignment and in the network, and one template (the iterated mean of training "
        "INRs aligned with signs) to which every INR is aligned first. Rows with points also "
        "evaluate INRs, which no network of the paper does; values does nothing else."
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
    """Our best row with some number of views, beside the paper's best row, published and here.

    Networks that evaluate INRs, unlike those of the paper, are named separately.
    """
    ours = [f for r, f in findings.items() if r.corpus == "images" and r.views == views]
    # Leaky partners see other views, and shares of the images are another question.
    ours = [f for f in ours if f.row.fraction == 1.0 and f.row.partners == "clean"]
    evaluating = [f for f in ours if f.row.reads_values]
    reading = [f for f in ours if not f.row.reads_values]
    if not reading:
        return ""
    best, paper = max(reading, key=_height), best_published(IMAGES, published)
    figure = paper.figures[IMAGES, published]
    assert figure is not None, "the best published row has a figure"
    here = findings.get(table_row(paper.augmentation, paper.model, views))
    said = (
        f"Best on weights alone with {views} view{'s' * (views > 1)}: {best.row.row_id}, "
        f"{percent(best)}. The paper's best row, {paper.augmentation} with {paper.model}: "
        f"{figure.mean:.2f} published on 55,000 images, here {percent(here)}."
    )
    if evaluating:
        top = max(evaluating, key=_height)
        said += f" Best with values: {top.row.row_id}, {percent(top)}."
    return said


def _height(found: Finding) -> float:
    return found.percent


def verdict_section(told: Sequence[Claim]) -> Section | None:
    """The augmentations that gain and those that cost, for a reader who has to choose one."""
    by_setting: dict[tuple[str, int], list[Claim]] = {}
    for claim in told:
        if claim.topic == "augmentation against none":
            by_setting.setdefault((claim.first.model, claim.first.views), []).append(claim)
    words = [
        f"{model}, {views} view{'s' * (views > 1)}: {_named(some, 1)} gain; {_named(some, -1)} "
        f"cost; not resolved: {_named(some, 0)}."
        for (model, views), some in by_setting.items()
    ]
    lead = (
        "Points over no augmentation with the same network and views, where the 95 % interval "
        "excludes zero. Claims has the intervals."
    )
    return Section(heading="What to use", words=[lead, *words]) if words else None


def _named(told: Sequence[Claim], sign: int) -> str:
    """Augmentations whose verdict has a sign, the largest change first."""
    chosen = [claim for claim in told if claim.interval.sign == sign]
    chosen.sort(key=lambda claim: -abs(claim.interval.mean))
    return ", ".join(f"{c.first.change} {c.interval.mean:+.2f}" for c in chosen) or "none"


def leaky_section(findings: Findings) -> Section:
    """Partners of MixUp: from the view in use alone, or from all views as in published code."""
    lines = [
        [row.row_id, percent(findings.get(replace(row, partners="clean"))), percent(f)]
        for model in ("dws", "gnn")
        for row in leaky_rows(model)
        for f in [findings.get(row)]
    ]
    return Section(
        heading="Partners of MixUp, one view",
        words=(
            "Published code draws partners from views that a one-view run should not see. Clean "
            "draws them from the one view in use, leaky from any view of a training image.",
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
            "The paper says that alignment and MixUp act like up to ten times more data. Each "
            "share of the training images has the same number of updates.",
        ),
        figures=[size_figure(drawn, heading)] if any(len(d.images) > 1 for d in drawn) else [],
        tables=[Table(head=["", *(f"{share:.0%} of images" for share in SIZES)], rows=lines)],
    )


def curves_section(findings: Findings, views: int) -> Section | None:
    """Training and test loss by epoch."""
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
            "Test loss is measured but chooses nothing. With MixUp the training loss is on mixed "
            "labels, so it cannot come near zero.",
        ),
        figures=[overfitting_figure(curves, "Loss by epoch, seed 0")],
        tables=[Table(head=head, rows=lines)],
    )


def contrastive_section(findings: Findings, views: int) -> Section:
    """Contrastive pre-training beside training from scratch on as many labels."""
    lines = [
        [row.row_id, percent(findings.get(row)), percent(findings.get(scratch))]
        for row in contrastive_rows(views)
        for scratch in [replace(row, pretrained="no")]
    ]
    return Section(
        heading="Contrastive pre-training",
        words=(
            "Networks are pre-trained on all training images without labels. Then a linear layer "
            "on fixed features, or the whole network, learns from the labels of a share of them. "
            "The paper reports gains of 5 to 10 % downstream.",
        ),
        tables=[Table(head=["row", "pre-trained", "from scratch, same labels"], rows=lines)],
    )


def shapes_section(findings: Findings, floors: Sequence[str], fits: Sequence[str]) -> Section:
    """Available shapes, under their own names; floors and fits describe them, a sentence each."""
    rows = (*fold_rows(), *shape_rows(2))
    lines = [[row.row_id, percent(findings.get(row)), epochs_of(findings.get(row))] for row in rows]
    words = [
        "Meshes laid out like ModelNet, which are not ModelNet40. One training shape in six, by "
        "the hash of its name, chooses the epoch. With so few test shapes little is resolved. In "
        "folds every shape is tested once: a fold is tested, half of the next one chooses the "
        "epoch, and the rest teaches.",
        *fits,
        *floors,
    ]
    return Section(
        heading="Available shapes",
        words=words,
        tables=[Table(head=["row", "test accuracy (%)", "epochs (kept)"], rows=lines)],
    )


def claims_section(told: Sequence[Claim]) -> Section:
    """Every comparison with its interval and verdict."""
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
        "A row is called better or worse only where the interval excludes zero. The intervals are "
        "not corrected for many comparisons: one in twenty would err by chance.",
    )
    return Section(heading="Claims", words=words, tables=[Table(head=head, rows=lines)])


def failed_section(outcomes: Sequence[Outcome]) -> Section | None:
    """Failed runs."""
    lines = [[o.run.run_id, o.error] for o in outcomes if o.error]
    if not lines:
        return None
    words = (
        "The same command leaves these as they are, since their options or data are at fault. A "
        "run begins anew once its file, `RUN.json` in the folder of results, is removed.",
    )
    table = Table(head=["run", "why"], rows=lines)
    return Section(heading="Failed runs", words=words, tables=[table])
