"""Compiled code that is kept on disk never outlives its sources."""

import ast
from pathlib import Path

import numpy as np
import pytest

import inrgen
from inrgen.kernels import assignment as assignment_kernel
from inrgen.kernels import compiled
from inrgen.kernels import matching as matching_kernel

ROOT = Path(inrgen.__file__).parent


def compiled_sources(file: Path) -> set[Path]:
    """The file, and all files with compiled functions that it imports from, however indirectly."""
    found = {file}
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("inrgen"):
            continue
        for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
            other = ROOT.parent / (str(name).replace(".", "/") + ".py")
            if other.exists() and {"@njit", "@intrinsic"} & set(_heads(other)):
                found |= compiled_sources(other)
    return found


def _heads(file: Path) -> list[str]:
    return [line.split("(")[0] for line in file.read_text().splitlines()]


def test_a_digest_is_of_all_its_files(tmp_path):
    files = tmp_path / "a.py", tmp_path / "b.py"
    for file in files:
        file.write_text("x = 1\n")
    before = compiled.sources_digest(*files)
    assert before == compiled.sources_digest(*reversed(files))
    files[1].write_text("x = 2\n")
    assert compiled.sources_digest(*files) != before


@pytest.mark.parametrize("kernel", [assignment_kernel, matching_kernel], ids=lambda k: k.__name__)
def test_kept_code_is_named_by_all_that_it_is_compiled_from(kernel):
    sources = compiled_sources(Path(kernel.__file__))
    assert len(sources) > 1
    whole, real = np.zeros((0, 4, 9), np.int64), np.zeros((0, 9))
    none = np.zeros(0, np.bool_)
    if kernel is assignment_kernel:
        returned = kernel.improve_each(np.zeros((0, 9, 9)), none, real, whole[:, 0], none, 0, 0)
    else:
        widths, steps, order = np.array([1, 9, 2]), np.ones(1), np.zeros((1, 1), np.int64)
        returned = kernel.descend(
            real, real, none, widths, steps, order, 0, whole * 0.0, whole, whole, whole, 0, 0
        )
    assert returned == compiled.sources_digest(*sources)


def test_code_that_is_kept_under_one_file_alone_is_compiled_from_that_file_alone():
    kept = [file for file in ROOT.rglob("*.py") if "\n@kept_on_disk\n" in file.read_text()]
    assert kept
    for file in kept:
        assert compiled_sources(file) == {file}


def test_code_is_compiled_where_nothing_can_be_kept(monkeypatch):
    def refuse_to_keep(cache: bool = False, **options: bool):
        def decorate(function):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return function

        return decorate

    monkeypatch.setattr(compiled, "njit", refuse_to_keep)
    assert compiled.kept_on_disk(compiled_sources) is compiled_sources


def test_no_code_is_kept_in_another_way():
    found = [file for file in ROOT.rglob("*.py") if "cache=True" in file.read_text()]
    assert found == [ROOT / "core" / "compiled.py"]
