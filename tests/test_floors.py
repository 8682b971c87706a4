"""The tree tells the story: imports go down the floors, neighbours leave each other alone, and no
modules of a package import each other in a circle.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import inrgen

ROOT = Path(inrgen.__file__).parent
FLOORS = (
    {"kernels"},
    {"core"},
    {"sources", "transforms", "store", "executors"},
    {"fit", "jobs", "loaders"},
    {"training", "exchange", "figures"},
    {"probes"},
    {"commands"},
    {"api"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    """The folder, or the lone file, that a module belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_names(path: Path, top: str = "inrgen") -> Iterator[str]:
    """The full names that a file imports from a top package, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports from the package's root"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.startswith(f"{top}."))


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms of inrgen that a file imports."""
    return (name.split(".")[1] for name in imported_names(path))


def imported_modules(path: Path, root: Path) -> set[Path]:
    """The modules below root, the folder of a top package, that a file imports."""
    found = set()
    for name in imported_names(path, root.name):
        parts = name.split(".")[1:]
        # the last part is a module or a name within one
        candidates = [root.joinpath(*parts).with_suffix(".py")]
        candidates += [root.joinpath(*parts[:-1]).with_suffix(".py")] if len(parts) > 1 else []
        found |= {module for module in candidates if module.is_file()}
    return found - {path}


MODULES = sorted(p for p in ROOT.rglob("*.py") if p.name != "__init__.py" or p.parent != ROOT)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_go_down_the_floors(path):
    room = room_of(path)
    assert room in FLOOR_OF, f"{room} stands on no floor"
    for other in imported_rooms(path):
        assert other == room or FLOOR_OF[other] < FLOOR_OF[room], f"{path} imports {other}"


def test_floors_notice_an_import_that_goes_up(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def late():\n    from inrgen.fit.engine import Engine\n    return Engine\n")
    assert list(imported_rooms(wrong)) == ["fit"]


def circle(modules: list[Path], root: Path) -> list[Path]:
    """Modules that import each other in a circle; [] if there is none."""
    known = set(modules)
    graph = {module: imported_modules(module, root) & known for module in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("room", sorted(FLOOR_OF))
def test_no_circle_of_imports_inside_a_package(room):
    inside = [module for module in MODULES if room_of(module) == room]
    assert not circle(inside, ROOT)


def test_no_circle_of_imports_among_pipelines():
    root = ROOT.parent / "pipelines"
    assert not circle(sorted(root.rglob("*.py")), root)


def test_a_circle_is_noticed_even_behind_a_late_import(tmp_path):
    root = tmp_path / "inrgen"
    root.mkdir()
    one, two = root / "one.py", root / "two.py"
    one.write_text("from inrgen.two import b\n")
    two.write_text("def late():\n    from inrgen import one\n    return one\n")
    assert set(circle([one, two], root)) == {one, two}
