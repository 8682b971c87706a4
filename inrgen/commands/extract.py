"""The extract verb: write the surface of one row as a mesh."""

from dataclasses import dataclass

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.summary import Summary

_SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractConfig:
    """Write the surface of one INR of a shape as a mesh, by marching cubes.

    Attributes:
        store: the store's folder.
        row: row of the INR.
        out: the file to write; its suffix sets the format (.ply, .obj, .stl, .off, .glb).
        resolution: points along each side of the grid; 128 resolves a sixty-fourth of the shape.
        spec: spec_id of the networks, when the store holds several.
        placed: keep the INR's coordinates, [-1, 1]^3, instead of those of the file.
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
class ExtractSummary(Summary):
    """Summary of an extraction: the mesh, its row, and the coordinates it is in.

    largest_share is the largest connected piece's share of the surface's area, 0 to 1.
    """

    out: str
    item_id: str
    view: int
    num_vertices: int
    num_faces: int
    coordinates: str
    num_pieces: int
    largest_share: float

    def text(self) -> str:
        """A short summary for people."""
        # Without the source's mesh nothing tells crumbs from bodies of the shape.
        pieces = "in one piece"
        if self.num_pieces > 1:
            pieces = f"{self.num_pieces} pieces, the largest with {self.largest_share:.1%} of area"
        return (
            f"{self.out}: {self.num_faces:,} faces of {self.item_id}, view {self.view}, "
            f"in {self.coordinates}; {pieces}"
        )


def extract(config: ExtractConfig) -> ExtractSummary:
    """Extract the surface of one row and write it, in the file's coordinates unless placed.

    Raises:
        ValueError: the store holds neither distances nor occupancy over three coordinates, the
            row has no weights, or its values have no surface.
        OSError: the store cannot be read or out cannot be written.
    """
    # A command line's help must not wait for torch and trimesh.
    import trimesh

    from inrgen.fit.crumbs import area_of_pieces
    from inrgen.fit.surface import extract_surface
    from inrgen.store.reader import open_store

    store, out = open_store(config.store), config.out
    found = extract_surface(store, config.row, config.resolution, config.spec, config.placed)
    mesh = found.mesh
    out.parent.mkdir(parents=True, exist_ok=True)
    made = trimesh.Trimesh(vertices=mesh.vertices, faces=mesh.faces, process=False)
    with out.open("wb") as file:
        made.export(file, file_type=out.suffix.lower()[1:])
    areas = area_of_pieces(mesh)
    file_coordinates = "the coordinates of its file"
    return ExtractSummary(
        out=str(out),
        item_id=found.item_id,
        view=found.view,
        num_vertices=len(mesh.vertices),
        num_faces=len(mesh.faces),
        coordinates=file_coordinates if found.in_file_coordinates else "the INR's coordinates",
        num_pieces=len(areas),
        largest_share=float(areas[0] / areas.sum()),
    )
