"""The text of a data card, in the style of the Hugging Face hub."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import quote

from inrgen.core.escape import markdown
from inrgen.core.spec import InrSpec
from inrgen.exchange.card.facts import CardFacts
from inrgen.exchange.card.snippets import build_command, loading_example
from inrgen.store.layout import PAGE
from inrgen.store.lineage import describe_start, is_guided_by_labels
from inrgen.store.queries import QUANTILES, summarize

MARK = "<!-- Written by inrgen card, which writes it anew each time. -->"
# Size classes of the hub, each below a number of rows.
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
_MAX_LABELS = 100
# from good to bad, as a reader expects them
_STATUSES = ("ok", "below_target", "non_finite", "bad_input")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """Statements on a card that no store knows.

    Attributes:
        title: name of the data set; None names it after its source and networks.
        license: an SPDX name such as "mit"; None says that it is not stated.
    """

    title: str | None = None
    license: str | None = None


def card_title(facts: CardFacts, wording: Wording) -> str:
    """The title of the data set."""
    jobs = ", ".join(sorted({spec.architecture for spec in facts.specs.values()}))
    return wording.title or f"INRs of {facts.source or 'unnamed signals'} ({jobs})"


def summarise(facts: CardFacts) -> str:
    """Describe the data set in a sentence or two."""
    views = "/".join(str(number) for number in sorted(set(facts.views.values())))
    of = f" of {facts.source}" if facts.source else ""
    said = f"{facts.rows:,} implicit neural representations (INRs): {views} "
    if facts.operation:
        said += f"of each of {facts.items:,} items{of}, made of another store by {facts.operation}."
    else:
        fits = "fit" if views == "1" else "fits"
        kind = "independent " if facts.start is None else ""
        said += f"{kind}{fits} of each of {facts.items:,} items{of}."
    if facts.part:
        said += f" The items are {facts.part}, or all of a smaller split."
    if facts.copies:
        said += f" Among them are {facts.copies}."
    if facts.start is not None:
        said += " View v of every item was fitted from learned start v."
        if is_guided_by_labels(facts.start):
            said += " Training labels shaped these starts."
    if facts.rows < facts.rows_planned:
        said += f" Unfinished: {facts.rows_planned - facts.rows:,} more rows are planned."
    return said


def _front_matter(facts: CardFacts, wording: Wording, folder: PurePosixPath) -> list[str]:
    """YAML for the hub, with scalars as JSON, which YAML contains and which needs no escapes."""
    size = next((name for limit, name in _SIZES.items() if facts.rows < limit), "n>1M")
    return [
        "---",
        f"pretty_name: {json.dumps(card_title(facts, wording))}",
        *([f"license: {json.dumps(wording.license)}"] if wording.license else []),
        "tags:",
        "- inrgen",
        "- implicit-neural-representations",
        "- weight-space-learning",
        "size_categories:",
        f"- {json.dumps(size)}",
        "configs:",
        "- config_name: records",
        "  data_files:",
        "  - split: records",
        f"    path: {json.dumps((folder / 'records' / '*.parquet').as_posix())}",
        "---",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def _page(folder: PurePosixPath, has_page: bool) -> list[str]:
    # download, since hubs show the source of an HTML file
    link = quote((folder / PAGE).as_posix())
    said = f"[{PAGE}]({link}) shows them: download it and open it in a browser."
    return [said, ""] if has_page else []


def _contents(facts: CardFacts) -> list[str]:
    rows = [
        (
            split,
            f"{counts.items:,}",
            f"{counts.rows:,}",
            ", ".join(f"{counts.by_status[k]:,} {k}" for k in _STATUSES if k in counts.by_status),
        )
        for split, counts in facts.splits.items()
    ]
    lines = ["## What is in it", "", *_table(("split", "items", "rows", "status of rows"), rows)]
    lines += [
        "Rows that are `ok` or `below_target` hold weights; the others hold NaN, and their records",
        "say why.",
        "",
    ]
    if not facts.labels:
        return [*lines, "The items have no labels.", ""]
    shown = [(n, markdown(name), f"{items:,}") for n, name, items in facts.labels[:_MAX_LABELS]]
    lines += _table(("label", "class", "items"), shown)
    if len(facts.labels) > _MAX_LABELS:
        lines += [f"And {len(facts.labels) - _MAX_LABELS:,} more classes.", ""]
    return lines


def _quality(facts: CardFacts) -> list[str]:
    lines = ["## How good they are", ""]
    spreads = {split: summarize(counts.psnr_db) for split, counts in facts.splits.items()}
    rows = [(k, *(f"{x:.2f}" for x in found.values())) for k, found in spreads.items() if found]
    if not rows:
        return [*lines, "No PSNR was measured.", ""]
    lines += ["PSNR in dB of the stored float32 weights against their signals.", ""]
    names = ("median" if share == 0.5 else f"{100 * share:g}th percentile" for share in QUANTILES)
    head = ("split", "mean", *names)
    return [*lines, *_table(head, rows)]


def _inputs(spec: InrSpec) -> dict[str, str]:
    """The encoding as rows of a table; none where the first layer takes the coordinates."""
    if spec.encoding is None:
        return {}
    count = f"{spec.encoding.width} Fourier features of {spec.d_in} coordinates"
    return {"inputs": f"{count}; the group's spec holds the frequencies"}


def _networks(facts: CardFacts) -> list[str]:
    lines = ["## The networks and their conventions", ""]
    for spec_id, spec in facts.specs.items():
        # formatted as numbers, since a store of others could hold text here
        spans = [" to ".join(f"{x:g}" for x in s) for s in (spec.coord_range, spec.value_range)]
        stated = {
            "group of the store": f"`{spec_id}`",
            "widths": spec.architecture,
            **_inputs(spec),
            "parameters": f"{spec.num_params:,} float32 a row: for each layer W (out, in), then b",
            "activation": f"{spec.activation}, in every layer but the last",
            "frequency omega": ", ".join(f"{omega:g}" for omega in spec.omega),
            "added to the output": f"{spec.output_offset:g}",
            "coordinate order": f"{spec.coord_order} (xy: coordinate 0 is the column; ij: the row)",
            "coordinate range": f"{spans[0]}, ends included, along the longest side",
            "coordinate centre": ", ".join(f"{x:g}" for x in spec.coord_center),
            "values": f"{spec.value_kind.replace('_', ' ')} in {spans[1]}",
            "views of an item": facts.views[spec_id],
        }
        lines += _table(("", ""), list(stated.items()))
    return lines


def _making(facts: CardFacts) -> list[str]:
    stated = {"recipe": facts.recipe} if facts.recipe else {}
    if facts.start is not None:
        stated["learned start"] = describe_start(facts.start)
    stated |= {"engine": ", ".join(facts.engines), "seed": ", ".join(map(str, facts.seeds))}
    rows = [(markdown(key), markdown(value)) for key, value in (stated | facts.about).items()]
    lines = ["## How it was made", "", *_table(("", ""), rows)]
    # stores that a job or an import made have no single command
    command = build_command(facts.identity)
    # a line break within quotes could end the block of code
    if command and command.isprintable():
        lines += ["By the command", "", "```bash", command, "```", ""]
    facts_json = json.dumps(facts.identity, indent=1, sort_keys=True)
    return [*lines, "All that decides its content:", "", "```json", facts_json, "```", ""]


def _licence(wording: Wording) -> list[str]:
    stated = (
        markdown(wording.license)
        if wording.license
        else (
            "Not stated. The weights stand for the items that they were fitted to, so whoever "
            "publishes them must state a licence that the items' own allows."
        )
    )
    return ["## Licence", "", stated]


def origin_text(facts: CardFacts, wording: Wording) -> str:
    """The sections of a store's card that hold for its exports, too: all but loading code."""
    lines = [*_contents(facts), *_quality(facts), *_making(facts), *_licence(wording)]
    return "\n".join(lines) + "\n"


def card_text(
    facts: CardFacts, wording: Wording, folder: PurePosixPath, has_page: bool = False
) -> str:
    """The README.md of a store.

    Args:
        folder: the store, relative to the folder of the card.
        has_page: link the page of `inrgen view` in the store.
    """
    lines = [
        *_front_matter(facts, wording, folder),
        MARK,
        f"# {markdown(card_title(facts, wording))}",
        "",
        summarise(replace(facts, source=markdown(facts.source))),
        "",
        *_page(folder, has_page),
        *_contents(facts),
        *_quality(facts),
        *_networks(facts),
        "## How to load it",
        "",
        "The weights are a plain Zarr v3 group, the records plain Parquet:",
        "",
        "```python",
        loading_example(next(iter(facts.specs.values())), folder),
        "```",
        "",
        *_making(facts),
        *_licence(wording),
    ]
    return "\n".join(lines) + "\n"
