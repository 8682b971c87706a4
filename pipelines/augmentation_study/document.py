"""Report of sections with words, figures and tables, as Markdown and as one HTML file."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Cells of text below a heading row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading, its paragraphs, its figures and its tables."""

    heading: str
    words: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62em; margin: 2em auto;
       padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 14px; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: left; }
th { border-bottom: 2px solid #888; }
td:not(:first-child) { font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
h2 { margin-top: 2em; }
"""


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
    """Write one self-contained HTML file, with the figures as PNG."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        body.append(f"<h2>{html.escape(section.heading)}</h2>")
        body += [f"<p>{html.escape(words)}</p>" for words in section.words]
        body += [_image(figure, section.heading) for figure in section.figures]
        body += [_html_table(table) for table in section.tables]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _image(figure: Figure, about: str) -> str:
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    data = base64.b64encode(drawn.getvalue()).decode()
    return f'<img alt="{html.escape(about)}" src="data:image/png;base64,{data}">'


def _html_table(table: Table) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    rows = "\n".join(line(row, "td") for row in table.rows)
    return f"<table><thead>{line(table.head, 'th')}</thead>\n<tbody>{rows}</tbody></table>"
