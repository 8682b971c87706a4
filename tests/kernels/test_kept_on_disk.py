"""Machine code kept on disk expires with its sources."""

import ast
from pathlib import Path

import numba
import numpy as np

import inrgen
from inrgen import kernels
from inrgen.kernels import cpu_fit, matching

ROOT = Path(inrgen.__file__).parent
# The first words of lines that only files with compiled code have.
COMPILED = {"@njit", "@intrinsic", "from llvmlite import ir"}


def compiled_sources(file: Path) -> set[Path]:
    """The file, and all files with compiled code that it imports from, however indirectly."""
    found = {file}
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("inrgen"):
            continue
        for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
            other = ROOT.parent / (str(name).replace(".", "/") + ".py")
            if other.exists() and COMPILED & set(_heads(other)):
                found |= compiled_sources(other)
    return found


def _heads(file: Path) -> list[str]:
    return [line.split("(")[0] for line in file.read_text().splitlines()]


def test_a_digest_depends_on_every_file(tmp_path):
    files = tmp_path / "a.py", tmp_path / "b.py"
    for file in files:
        file.write_text("x = 1\n")
    before = kernels.sources_digest(*files)
    assert before == kernels.sources_digest(*reversed(files))
    files[1].write_text("x = 2\n")
    assert kernels.sources_digest(*files) != before


def test_matching_returns_the_digest_of_all_its_sources():
    sources = compiled_sources(Path(matching.__file__))
    assert len(sources) > 3
    whole, real = np.zeros((0, 4, 9), np.int64), np.zeros((0, 9))
    widths, steps, order = np.array([1, 9, 2]), np.ones(1), np.zeros((1, 1), np.int64)
    none, choice = np.zeros(0, np.bool_), (whole, whole, whole)
    returned = matching.descend(
        real, real, none, widths, steps, order, 0, whole * 0.0, *choice, 0, 0
    )
    assert returned == kernels.sources_digest(*sources)


def test_the_fitting_kernel_holds_the_digest_of_all_its_sources():
    digest = kernels.sources_digest(*compiled_sources(Path(cpu_fit.__file__)))
    assert [cell.cell_contents for cell in cpu_fit.fit_rows.py_func.__closure__] == [digest]


def test_a_kernel_without_a_digest_is_compiled_from_its_own_file_alone():
    kept = [file for file in ROOT.rglob("*.py") if "\n@kept_on_disk\n" in file.read_text()]
    assert kept
    for file in kept:
        assert compiled_sources(file) == {file}


def test_a_kernel_compiles_where_no_folder_can_be_written(monkeypatch):
    def refuse_to_keep(cache: bool = False, **options: bool):
        def decorate(function):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return function

        return decorate

    monkeypatch.setattr(numba, "njit", refuse_to_keep)
    assert kernels.kept_on_disk(compiled_sources) is compiled_sources


def test_only_kept_on_disk_keeps_code():
    found = [
        file for file in ROOT.rglob("*.py") if "njit(nogil=True, cache=True)" in file.read_text()
    ]
    assert found == [ROOT / "kernels" / "__init__.py"]
    assert not [f for f in ROOT.rglob("*.py") if "cache=True" in f.read_text() and f not in found]
