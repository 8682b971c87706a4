"""The tree tells the story: imports go down the floors, and neighbours leave each other alone."""

import ast
from collections.abc import Iterator
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


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms of inrgen that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports from the package's root"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "inrgen" and len(parts) > 1:
                yield parts[1]


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
