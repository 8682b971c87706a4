"""Report of sections with words, figures and tables, as Markdown and as one HTML file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from inrgen.figures.viewer.assembly import static_page


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Cells of text below a heading row. A page shows a table with folded behind these words."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading, its paragraphs, its figures and its tables. Words may hold `code`."""

    heading: str
    words: Sequence[str] = ()
    figures: Sequence[Element] = ()
    tables: Sequence[Table] = ()

    @property
    def anchor(self) -> str:
        """The section's name in links."""
        return re.sub(r"\W+", "-", self.heading.lower())


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """Write words and tables as Markdown; only the HTML has the figures."""
    lines = [f"# {title}"]
    for section in sections:
        lines += ["", f"## {section.heading}"]
        for words in section.words:
            lines += ["", words]
        for table in section.tables:
            lines += ["", _markdown_line(table.head), _markdown_line(["---"] * len(table.head))]
            lines += [_markdown_line(row) for row in table.rows]
    return "\n".join(lines) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_html(title: str, sections: Sequence[Section]) -> str:
    """Write one self-contained HTML file in the look of the page of `inrgen view`."""
    links = [element("a", s.heading, href=f"#{s.anchor}") for s in sections]
    parts = [
        element(
            "section",
            element("h2", s.heading, id=s.anchor),
            *(element("p", words) for words in s.words),
            *s.figures,
            *map(_html_table, s.tables),
        )
        for s in sections
    ]
    header = element("header", element("h1", title), element("nav", *links))
    return static_page(title, element("body", header, element("main", *parts), kind="report"))


def element(tag: str, *children: Element | str, **attributes: str) -> Element:
    """An element; in a string, text between backticks becomes code. kind gives the class."""
    made = Element(tag, {"class" if k == "kind" else k: v for k, v in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            continue
        plain, *pieces = child.split("`")
        made.text = (made.text or "") + plain
        for code, after in zip(pieces[::2], pieces[1::2], strict=True):
            inner = Element("code")
            inner.text, inner.tail = code, after
            made.append(inner)
    return made


def _html_table(table: Table) -> Element:
    def line(cells: Sequence[str], tag: str) -> Element:
        kinds = [{"kind": "unrun"} if cell.startswith("not run") else {} for cell in cells]
        return element("tr", *(element(tag, c, **k) for c, k in zip(cells, kinds, strict=True)))

    # Rows of which nothing is known would hide the others, so they fold away.
    unrun = [row for row in table.rows if "not run" in row and {*row[1:]} <= {"not run", "", "—"}]
    body = element("tbody", *(line(row, "td") for row in table.rows if row not in unrun))
    whole = element("table", element("thead", line(table.head, "th")), body)
    # A wide table scrolls by itself, by touch or by the arrow keys, and not with the page.
    scroll = element("div", whole, kind="scroll", tabindex="0")
    if table.folded:
        return element("details", element("summary", table.folded), scroll)
    if not unrun:
        return scroll
    summary = element("summary", f"not run: {len(unrun)} of {len(table.rows)} rows")
    fold = element("details", summary, element("p", ", ".join(row[0] for row in unrun)))
    return element("div", scroll, fold) if len(unrun) < len(table.rows) else fold
