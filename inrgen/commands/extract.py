"""The extract verb: write the surface of one row as a mesh, or its sound as a WAV file."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.summary import Summary

_SOUND = ".wav"
_SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb", _SOUND)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractConfig:
    """Write one INR as a file: the surface of a shape, by marching cubes, or a sound.

    Attributes:
        store: the store's folder.
        row: row of the INR.
        out: the file to write; its suffix sets the format: .ply, .obj, .stl, .off or .glb for
            shapes, .wav for INRs over one coordinate.
        resolution: for shapes, points along each side of the grid; 128 resolves a sixty-fourth of
            the shape.
        spec: spec_id of the networks, when the store holds several.
        placed: for shapes, keep the INR's coordinates, [-1, 1]^3, instead of those of the file.
        rate: for sounds, samples a second; by default the rate of the sound that was fitted.
    """

    store: tyro.conf.Positional[StoreArgument]
    row: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="ROW")]
    out: LocalPath
    resolution: int = 128
    spec: str | None = None
    placed: bool = False
    rate: int | None = None

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in _SUFFIXES:
            raise ValueError(
                f"out must end in one of {', '.join(_SUFFIXES)}; got {self.out}; inrgen "
                "render draws images"
            )
        if not 2 <= self.resolution <= 1024:
            raise ValueError(f"resolution must be in 2..1024; got {self.resolution}")
        if self.rate is not None and not 1 <= self.rate <= 1_000_000:
            raise ValueError(f"rate must be in 1..1000000 Hz; got {self.rate}")
        if self.is_sound and self.placed:
            raise ValueError("placed is for shapes; leave it out for a .wav file")
        if self.rate is not None and not self.is_sound:
            raise ValueError(f"rate is for a .wav file; got {self.out.name}")

    @property
    def is_sound(self) -> bool:
        """Tell whether out is a file of sound."""
        return self.out.suffix.lower() == _SOUND


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


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundSummary(Summary):
    """Summary of a sound: the file, its row, and its samples.

    Attributes:
        num_clipped: samples beyond full scale, which the file cuts off.
    """

    out: str
    item_id: str
    view: int
    num_samples: int
    channels: int
    rate_hz: int
    num_clipped: int

    def text(self) -> str:
        """A line for people."""
        kind = "mono" if self.channels == 1 else "stereo"
        clipped = f"; {self.num_clipped:,} samples clipped" if self.num_clipped else ""
        return (
            f"{self.out}: {self.num_samples / self.rate_hz:.2f} s of {self.item_id}, view "
            f"{self.view}, {kind} at {self.rate_hz:,} Hz{clipped}"
        )


def extract(config: ExtractConfig) -> ExtractSummary | SoundSummary:
    """Extract the surface or the sound of one row and write it.

    Raises:
        ValueError: the store's INRs have no surface or sound, the row has no weights, its values
            have no surface, or the rate of its samples is not known.
        OSError: the store cannot be read or out cannot be written.
    """
    return _extract_sound(config) if config.is_sound else _extract_surface(config)


def _extract_sound(config: ExtractConfig) -> SoundSummary:
    from inrgen.fit.sound import extract_sound
    from inrgen.store.reader import open_store

    found = extract_sound(open_store(config.store), config.row, config.rate, config.spec)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    found.write(config.out)
    return SoundSummary(
        out=str(config.out),
        item_id=found.item_id,
        view=found.view,
        num_samples=len(found.samples),
        channels=found.samples.shape[1],
        rate_hz=found.rate_hz,
        num_clipped=found.num_clipped,
    )


def _extract_surface(config: ExtractConfig) -> ExtractSummary:
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
