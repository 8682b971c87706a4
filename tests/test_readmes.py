"""Every Python example of every README runs, from top to bottom, beside a small store.

Every inrgen command line of every README is one that inrgen takes.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import inrgen
from inrgen import cli
from inrgen.core.command_line import parse_config

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READMES = sorted(
    path
    for path in (
        ROOT / "README.md",
        *ROOT.glob("inrgen/**/README.md"),
        *ROOT.glob("pipelines/**/*.md"),
    )
    if FENCE.search(path.read_text(encoding="utf-8"))
)


def examples(readme: Path) -> Iterator[tuple[int, str]]:
    """The Python blocks of a README, each with the number of the line before its first."""
    text = readme.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield text.count("\n", 0, found.start(1)), found.group(1)


@pytest.fixture(scope="session")
def digits_store(tmp_path_factory) -> Path:
    """A finished store of 100 digits of each split, two views of each, quickly fitted."""
    out = tmp_path_factory.mktemp("readmes") / "STORE"
    inrgen.build("digits", out=out, views=2, limit=100, recipe="fast", num_steps=30, workers=0)
    return out


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_examples_of_a_readme_run(readme, digits_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if readme != ROOT / "README.md":  # which builds its own
        (tmp_path / "STORE").symlink_to(digits_store)
    namespace: dict[str, object] = {}
    for line, code in examples(readme):
        # blank lines before the code make line numbers in a traceback those of the README
        exec(compile("\n" * line + code, str(readme), "exec"), namespace)


def command_lines() -> Iterator[str]:
    """The command lines of inrgen in all READMEs, without "inrgen" and comments."""
    for readme in (
        ROOT / "README.md",
        *ROOT.glob("inrgen/**/*.md"),
        *ROOT.glob("pipelines/**/*.md"),
    ):
        for block in SHELL.findall(readme.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                # Up to a comment or a pipe; an own module of an example cannot be imported here.
                found = re.match(r"\s*inrgen ((?:[^#|>]|#(?! ))*)", line)
                if found and "my_" not in line:
                    yield found[1].strip()


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_a_documented_command_line_is_one_that_inrgen_takes(line):
    words = shlex.split(line)
    verb = next(v for v in cli.VERBS if words[: len(v.name.split())] == v.name.split())
    cli._check_renamed(verb, words)
    if "--help" not in words:
        # A line that is refused ends in SystemExit, which fails the test with what was printed.
        parse_config(verb.load(verb.config), "inrgen", words[len(verb.name.split()) :])
