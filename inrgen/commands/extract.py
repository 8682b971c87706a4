"""The surface of one row, as a mesh in the coordinates of the file that it was fitted to."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trimesh
import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.fit.surface import grid_values, signed_field, zero_set
from inrgen.sources.mesh import Mesh, Placement
from inrgen.store.lookup import served_records
from inrgen.store.reader import open_store

_COLUMNS = ["item_id", "view", "center", "scale"]
_SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractConfig:
    """Write the surface of one INR of a shape as a mesh, by marching cubes.

    Attributes:
        store: the store's folder.
        row: which row.
        out: the file to write; its suffix says how (.ply, .obj, .stl, .off, .glb).
        resolution: points along each side of the grid; 128 resolves a sixty-fourth of the shape.
        spec: which networks, by their spec_id, where the store holds several.
        placed: keep the INR's coordinates, [-1, 1]^3, instead of going back to the file's.
    """

    store: tyro.conf.Positional[StoreArgument]
    row: tyro.conf.Positional[int]
    out: LocalPath
    resolution: int = 128
    spec: str | None = None
    placed: bool = False

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in _SUFFIXES:
            raise ValueError(f"out must end in one of {', '.join(_SUFFIXES)}; got {self.out.name}")
        if not 2 <= self.resolution <= 1024:
            raise ValueError(f"resolution must be in 2..1024; got {self.resolution}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractSummary:
    """What was written, of which row, and in whose coordinates."""

    out: str
    item_id: str
    view: int
    num_vertices: int
    num_faces: int
    coordinates: str

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """One line."""
        return (
            f"{self.out}: {self.num_faces:,} faces of {self.item_id}, view {self.view}, "
            f"in {self.coordinates}"
        )

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def _write(mesh: Mesh, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    made = trimesh.Trimesh(vertices=mesh.vertices, faces=mesh.faces, process=False)
    with out.open("wb") as file:
        made.export(file, file_type=out.suffix.lower()[1:])


def extract(config: ExtractConfig) -> ExtractSummary:
    """Evaluate one row on a grid, find its surface, and carry it back into the file's coordinates.

    Raises:
        ValueError: the store holds neither distances nor occupancy over three coordinates, the
            row has no weights, or its values have no surface.
        OSError: the store cannot be read or out cannot be written.
    """
    store = open_store(config.store)
    if config.spec is not None and config.spec not in store.specs:
        raise ValueError(f"spec must be one of {', '.join(store.specs)}; got {config.spec!r}")
    spec = store.specs[config.spec] if config.spec else store.spec
    (record,) = served_records(store, [config.row], spec.spec_id, _COLUMNS)
    values = grid_values(spec, store.read([config.row], spec.spec_id), config.resolution)
    mesh = zero_set(spec, signed_field(spec, values))
    if mesh is None:
        raise ValueError(f"row {config.row} has no surface: all its values are on one side of it")
    carried = not config.placed and len(record["center"]) == 3
    if carried:
        x, y, z = record["center"]
        mesh = Placement(center=(x, y, z), scale=record["scale"]).back(mesh)
    _write(mesh, config.out)
    return ExtractSummary(
        out=str(config.out),
        item_id=record["item_id"],
        view=record["view"],
        num_vertices=len(mesh.vertices),
        num_faces=len(mesh.faces),
        coordinates="the coordinates of its file" if carried else "the INR's coordinates",
    )
