"""`inrgen view`: one page that shows a store and evaluates its networks in the browser."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from inrgen.core.arguments import OptionalLocalPath, StoreArgument
from inrgen.core.summary import Summary

if TYPE_CHECKING:
    from inrgen.figures.viewer.page import Page
    from inrgen.sources.base import Source
    from inrgen.sources.listing import Report
    from inrgen.store.reader import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewConfig:
    """Make one HTML file that shows a store: its INRs, what lies between them, and their quality.

    The file holds the weights and evaluates them wherever it is opened; it needs no network and
    no server.

    Attributes:
        store: the store's folder or URL.
        out: the file to write; by default view.html in the store, where `inrgen card` links it
            and `inrgen push` publishes it.
        rows: most INRs on the page, from all splits and classes, the worst and the best.
        data: folder that holds the data set, as for build; needed for originals and errors.
            Digits need none.
        source: for a store of your own source, its MODULE:FUNCTION, whose code is then run to show
            the originals.
        spec: spec_id of the networks, when the store holds several.
        up: the axis of shapes that points up. auto takes y for OBJ and GLB files and z for OFF,
            PLY and STL, by the habit of these formats.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: OptionalLocalPath = None
    rows: int = 500
    data: str | None = None
    source: str | None = None
    spec: str | None = None
    up: Literal["auto", "y", "z"] = "auto"

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows must be positive; got {self.rows}")
        if self.out is not None and self.out.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"out must end in .html; got {self.out}")
        if self.up not in ("auto", "y", "z"):
            raise ValueError(f"up must be auto, y or z; got {self.up!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewSummary(Summary):
    """Place and size of a page.

    Attributes:
        pairs: pairs of INRs that were aligned for it.
    """

    page: str
    rows: int
    rows_of_store: int
    pairs: int
    size_bytes: int
    seconds: float

    def text(self) -> str:
        """The page's address, and its contents in a line."""
        address = self.page if "://" in self.page else Path(self.page).resolve().as_uri()
        return (
            f"{address}\n{self.rows:,} of {self.rows_of_store:,} INRs and {self.pairs:,} aligned "
            f"pairs, {self.size_bytes / 1e6:.2f} MB, made in {self.seconds:.1f} s"
        )


def view(config: ViewConfig) -> ViewSummary:
    """Make the page of a store and write it.

    Raises:
        ValueError: the store's networks cannot be drawn, or data does not hold the data set.
        DamagedStore: a row of the store is not as it was written.
    """
    from inrgen.executors.progress import show_counts
    from inrgen.store.files.opening import open_files
    from inrgen.store.layout import PAGE
    from inrgen.store.reader import open_store

    began = time.perf_counter()
    store = open_store(config.store)
    with show_counts("view") as report:
        page = page_of_store(
            store,
            config.rows,
            config.data,
            config.spec,
            up=config.up,
            own=config.source,
            report=report,
        )
    content = page.html.encode()
    if config.out is not None:
        from inrgen.core.atomic import write_whole

        write_whole(config.out, lambda to: to.write_bytes(content))
        where = str(config.out)
    else:
        files = open_files(store.path)
        # a killed put may leave half a file, but a move replaces an old page at once
        files.put(f"_{PAGE}", content)
        files.move(f"_{PAGE}", PAGE)
        where = f"{files.location.partition('?')[0].rstrip('/')}/{PAGE}"
    return ViewSummary(
        page=where,
        rows=page.rows,
        rows_of_store=len(store),
        pairs=page.pairs,
        size_bytes=len(content),
        seconds=time.perf_counter() - began,
    )


def page_of_store(
    store: "Store",
    rows: int = 500,
    data: str | None = None,
    spec: str | None = None,
    among: Sequence[int] | None = None,
    up: Literal["auto", "y", "z"] = "auto",
    own: str | None = None,
    report: "Report | None" = None,
) -> "Page":
    """Make the page of a store, with the words and commands of its data card.

    Args:
        among: the rows to choose from; None takes all.
        own: MODULE:FUNCTION of the user's own source of a store that was built from it.
        report: gets counts of slow steps, such as ("originals read", 7).
    """
    from pathlib import PurePosixPath

    from inrgen.exchange.card.facts import read_card_facts
    from inrgen.exchange.card.snippets import build_command, loading_example
    from inrgen.exchange.card.text import Wording, card_title, summarise
    from inrgen.figures.viewer.page import PageTexts, make_page
    from inrgen.sources.listing import report_nothing

    facts = read_card_facts(store)
    folder = PurePosixPath("STORE")
    # make_page refuses an unknown name.
    example = store.specs.get(spec or "", next(iter(store.specs.values())))
    snippets = {"Load it in Python": loading_example(example, folder)}
    command = build_command(store.identity)
    if command:
        snippets = {"Build it again": command, **snippets}
    texts = PageTexts(
        title=card_title(facts, Wording()), summary=summarise(facts), snippets=snippets
    )
    source = _source(store, data, own)
    return make_page(store, source, rows, spec, texts, among, up, report=report or report_nothing)


def _source(store: "Store", data: str | None, own: str | None) -> "Source | None":
    """The source of a store's originals; None where no folder was named and one is needed."""
    from inrgen.fit.plan import source_of_store
    from inrgen.sources.catalog import open_source

    if data is None and own is None and store.source_name != "digits":
        return None
    return open_source(source_of_store(store, data, own))
