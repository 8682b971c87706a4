"""Report of the study: results beside the published ones, and the claims they support."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipelines.augmentation_study.document import Section, to_html, to_markdown
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.findings import Finding, Findings, claims, find
from pipelines.augmentation_study.results import Outcome
from pipelines.augmentation_study.rows import Row
from pipelines.augmentation_study.scales import Scale
from pipelines.augmentation_study.sections import (
    beyond_section,
    claims_section,
    contrastive_section,
    curves_section,
    failed_section,
    leaky_section,
    shapes_section,
    size_section,
    verdict_section,
)
from pipelines.augmentation_study.sections_learned import learned_section
from pipelines.augmentation_study.sections_recipe import recipe_section
from pipelines.augmentation_study.sections_table import (
    floor_of,
    order_section,
    published_section,
    scales_section,
)
from pipelines.augmentation_study.stores import shapes_words

_TITLE = "Augmentations for weight-space networks: the published study, run again"


def write_report(
    setting: Setting, planned: Sequence[Row], outcomes: Sequence[Outcome]
) -> tuple[Path, Path]:
    """Write the HTML and the Markdown report of all results; return their paths."""
    sections = report_sections(setting, planned, outcomes)
    out, name = setting.places.out, f"report-{setting.scale.tag}"
    out.mkdir(parents=True, exist_ok=True)
    pages = {".html": to_html(_TITLE, sections), ".md": to_markdown(_TITLE, sections)}
    paths = []
    for suffix, page in pages.items():
        # Renamed into place, so that a reader never sees half a page.
        half = out / f"_{os.getpid()}.{name}{suffix}"
        half.write_text(page, encoding="utf-8")
        paths.append(half.replace(out / f"{name}{suffix}"))
    return paths[0], paths[1]


def report_sections(
    setting: Setting, planned: Sequence[Row], outcomes: Sequence[Outcome]
) -> list[Section]:
    """Make every section that has content; cells that were not run say so."""
    findings, views = find(outcomes), setting.scale.views
    scale_section = _scale_section(setting, planned, outcomes, findings)
    if setting.scale.recipe == "learned":
        learned = [learned_section(findings, views), scale_section, failed_section(outcomes)]
        return [section for section in learned if section is not None]
    told = claims(findings, views)
    corpus = setting.scale.source
    sections = [
        published_section(findings, setting, setting.places.modelnet40 is not None),
        order_section(told, corpus, views),
        beyond_section(findings, setting),
        leaky_section(findings),
        size_section(findings, setting),
        curves_section(findings, views),
        contrastive_section(findings, views),
        recipe_section(outcomes, setting.scale),
        shapes_section(findings, _shape_floors(findings), shapes_words(setting.places)),
        claims_section(told),
        failed_section(outcomes),
    ]
    rest = [section for section in sections if section is not None]
    # max takes the first of equals, so without results the published table comes first.
    fullest = max(rest, key=_num_measured)
    beside = [verdict_section(told), fullest, scales_section(setting.places.out), scale_section]
    # A stable sort: sections in which nothing was run come last.
    rest.sort(key=lambda section: _is_unrun(section))
    beside += [section for section in rest if section is not fullest]
    return [section for section in beside if section is not None]


def _num_measured(section: Section) -> int:
    """Number of cells with an accuracy of ours, which all name their seeds."""
    return sum(" seed" in cell for t in section.tables for row in t.rows for cell in row)


def _is_unrun(section: Section) -> bool:
    rows = [row for table in section.tables for row in table.rows]
    return all(any(cell.startswith("not run") for cell in row) for row in rows)


def _scale_section(
    setting: Setting, planned: Sequence[Row], outcomes: Sequence[Outcome], findings: Findings
) -> Section:
    """Describe scale, protocol, networks and the accuracy of a guess."""
    scale = setting.scale
    seeds = Counter(len(finding.seeds) for finding in findings.values())
    done = {outcome.run.row for outcome in outcomes}
    epochs = sorted({len(r.history) for f in findings.values() for r in f.results})
    words = [
        f"Scale {scale.name}: {scale.source}, {_count(scale.train)} training images, "
        f"{_count(scale.val)} validation images to choose the epoch, {_count(scale.test)} test "
        f"images (first views); recipe {scale.recipe}, "
        + (f"up to {scale.views} views" if scale.views > 1 else "one view")
        + " of a training image. "
        f"{sum(row in done for row in planned)} of {len(planned)} rows were run.",
        f"Trainings: about {scale.steps:,} updates of {scale.batch} INRs "
        f"({', '.join(map(str, epochs)) or 'no'} epochs); an epoch reads one view of each image, "
        f"a random one where a row has several. {_optimising_words(scale)}; "
        "augmentations in the published parametrisation; the best validation epoch is tested. "
        "Seeds: "
        + (
            ", ".join(f"{n} row{'s' * (n > 1)} with {s}" for s, n in sorted(seeds.items()))
            or "none"
        )
        + ".",
        _models_words(setting),
        _floor_words(findings),
        "A cell that was not run says so. An order of two rows is claimed only where the 95 % "
        "interval of a paired bootstrap over test items, and over seeds where there are several, "
        "excludes zero. With one seed the interval does not cover another start of the network.",
        *([_RECIPE_WORDS] if scale.recipe == "fast" else []),
    ]
    return Section(heading="Scale and protocol", words=[w for w in words if w])


_RECIPE_WORDS = (
    "The INRs use the fast recipe: a quarter of the published steps, and a last layer that "
    "starts as small as the others. It teaches at least as well: after 1,500 Fashion-MNIST images "
    "a probe that ignores order and signs of units reaches 64.8 % on such fits and 57.9 on "
    "published ones (`inrgen probe-recipes`)."
)


def _optimising_words(scale: Scale) -> str:
    """Describe the optimisation of all networks."""
    decay = "along a cosine, weight decay 5e-4"
    if scale.lr is not None:
        return f"AdamW from {scale.lr:g} to 0 {decay} (mlp: 0.05)"
    return f"AdamW from 5e-3 for dws and 1e-3 for others to 0 {decay} (mlp: 3e-4 and 0.05)"


def _models_words(setting: Setting) -> str:
    models = setting.scale.models
    if not models:
        return ""
    said = ", ".join(f"{name} is `{text}`" for name, text in models.items())
    return f"To save time at this scale, {said}; the other networks have the published sizes."


def _count(limit: int | None) -> str:
    return "all" if limit is None else f"{limit:,}"


def _floor_words(findings: Findings) -> str:
    """Describe the accuracy of chance and of the commonest class on the test images."""
    images = [f for row, f in findings.items() if row.corpus == "images"]
    if not images:
        return ""
    return f"Floors on {_floor_text(images[0], 'images')}"


def _shape_floors(findings: Findings) -> list[str]:
    """Describe the same of the shapes, by corpus and folds."""
    floors = {}
    for row, finding in findings.items():
        if row.corpus != "images":
            name = f"{row.corpus} in {row.folds} folds" if row.folds else row.corpus
            floors[name] = f"{name}: {_floor_text(finding, 'shapes')}"
    return list(floors.values())


def _floor_text(finding: Finding, things: str) -> str:
    classes = len(finding.results[0].classes)
    return (
        f"{len(finding.labels):,} test {things} of {classes} classes: chance "
        f"{100 / classes:.1f} %, the commonest class {floor_of(finding):.1f} %."
    )
