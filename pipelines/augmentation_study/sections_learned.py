"""Study of learned starts (--recipe learned): rows that no published figure stands beside."""

from dataclasses import replace

from pipelines.augmentation_study.bootstrap import paired_interval
from pipelines.augmentation_study.document import Section, Table
from pipelines.augmentation_study.findings import Finding, Findings
from pipelines.augmentation_study.rows import Row, views_beside
from pipelines.augmentation_study.sections_table import epochs_of, percent

_WIDE = "mlp,hidden=1024"


def learned_rows(views: int) -> tuple[Row, ...]:
    """Rows on stores from learned starts; an MLP suffices where all items share a start.

    views: learned starts of each training image; 1 leaves out the rows with several.
    """
    plain = Row(model="mlp")
    mixed = replace(plain, mixup="direct", mixup_beta=0.4)
    permuted = replace(plain, augment="permutation")
    negated = replace(plain, augment="siren-negation")
    one = (
        plain,
        mixed,
        replace(plain, augment="gaussian-noise"),
        # The published code translates in half of its draws alone.
        replace(plain, augment="translate,published=no"),
        permuted,
        negated,
        replace(mixed, mixup="permuted"),
        replace(plain, model=_WIDE),
        replace(mixed, model=_WIDE),
    )
    # Symmetries should harm readers of raw weights alone, and not networks invariant to them.
    invariant = tuple(
        replace(row, model=model)
        for model in ("signed", "dws")
        for row in (plain, permuted, negated, mixed)
    )
    several = (plain, mixed, replace(plain, model=_WIDE), replace(mixed, model=_WIDE))
    beside = tuple(replace(row, views=v) for _, v in views_beside(views)[1:] for row in several)
    return one + invariant + beside


def _base(row: Row) -> Row:
    """The row that a row is compared with: the same network, unaugmented; else one view of it."""
    bare = replace(row, augment="", mixup="none", mixup_beta=1.0)
    if bare != row:
        return bare
    return replace(row, views=1) if row.views > 1 else replace(row, model="mlp")


def learned_section(findings: Findings, views: int) -> Section:
    """Accuracy of every row, and its gain over the row that it varies."""
    lines = []
    for row in learned_rows(views):
        found, base = findings.get(row), findings.get(_base(row))
        lines.append([row.row_id, percent(found), epochs_of(found), _gain(row, found, base)])
    return Section(
        heading="Learned starts",
        words=(
            "View v of every image was fitted from learned start v, in the steps that it was "
            "learned for. The published table has independent fits, so no row belongs beside it. "
            "Gains are in points over the same network without augmentation, over one view, or "
            "over the MLP, with the 95 % interval of a paired bootstrap. An MLP on the pixels of "
            "the same images: `inrgen probe STORE --probes mlp_raw mlp_pixels --data DIR`.",
        ),
        tables=[Table(head=["row", "test accuracy (%)", "epochs (kept)", "gain"], rows=lines)],
    )


def _gain(row: Row, found: Finding | None, base: Finding | None) -> str:
    # Hits are paired by position, so rows on other items cannot be paired.
    if row == _base(row) or found is None or base is None or len(found.items | base.items) > 1:
        return "—"
    gain = paired_interval(found.hits, base.hits)
    return f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"
