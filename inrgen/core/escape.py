"""Names from files, made harmless for the place where they are shown.

File, class and recipe names may hold line breaks, terminal escape codes or markup. Raw in a
terminal they forge lines of output, and raw in a card they become links and scripts.
"""

import html
import re

# Punctuation that is markup within a line of Markdown.
_MARKDOWN = re.compile(r"([\\|`*_~$\[\]])")


def one_line(name: object) -> str:
    """A name as one printable line; line breaks, control and bidirectional codes are escaped.

    Undecodable bytes of file names, which no terminal can print, are escaped as well.
    """
    text = str(name)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """A text of several lines, each as one_line gives it."""
    return "\n".join(map(one_line, text.split("\n")))


def markdown(name: object) -> str:
    """A name as plain text within a line of Markdown, which may hold HTML as well."""
    return _MARKDOWN.sub(r"\\\1", html.escape(one_line(name), quote=False))
