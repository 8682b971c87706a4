"""Every Python example of every README runs, from top to bottom, beside a small store."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import inrgen

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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
