"""Files of inr2vec (arXiv 2302.05438): <split>/<number>.h5, one shape's INR each.

params is flat, W then b of each layer; class_id is its class. pcd (n, 3) are points of its surface,
which the loader of point clouds wants; vertices, num_vertices, triangles and num_triangles are its
mesh, which that of meshes wants, padded with zeros so that all shapes stack. (coords and labels,
which the study's decoder learns from, are made of these by its preprocess_sdf.py.)

Networks are 3 -> h (four times) -> 1 with one initialisation for all (h is 512 in the study), and
their values logits, sigmoid(f) = (sdf + 0.1) / 0.2. Signed distances have the same zero level, so
they go out as they are; occupancy, which is a half there and high inside, goes out as 0.5 - f.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32, Shaped

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.splits import SPLITS
from inrgen.exchange.files import MAX_PARAMS, BadEntry, find_files, write_whole
from inrgen.exchange.formats.base import (
    Entry,
    Exporter,
    Loaded,
    Row,
    Survey,
    Target,
    Wishes,
    Writing,
)
from inrgen.exchange.formats.hdf5 import open_hdf5, plain_dataset
from inrgen.exchange.moments import Moments
from inrgen.sources.mesh import Mesh

# Points a side of the grids that are tried, until a mesh has room. At 16 it always has: 3 * 16^3
# edges for a vertex each, and 15^3 cells of 5 triangles at most.
_RESOLUTIONS = (32, 24, 16)
_MAX_VERTICES, _MAX_TRIANGLES = 16_384, 32_768
_NUM_POINTS = 2048
_HIDDEN = 4


def surface_mesh(spec: InrSpec, params: Params) -> Mesh:
    """The zero level of one INR, of vertices and triangles that there is room for, or of none."""
    # scikit-image takes a second to import, which no other format needs
    from inrgen.fit.surface import grid_values, signed_field, zero_set

    for resolution in _RESOLUTIONS:
        values = grid_values(spec, params, resolution)
        mesh = zero_set(spec, values if spec.value_kind == "logit" else signed_field(spec, values))
        if mesh is None:
            break
        if len(mesh.vertices) <= _MAX_VERTICES and len(mesh.faces) <= _MAX_TRIANGLES:
            return mesh
    return Mesh(vertices=np.zeros((0, 3)), faces=np.zeros((0, 3), dtype=np.int64))


def surface_points(mesh: Mesh, key: int) -> Float32[np.ndarray, "n 3"]:
    """Points of a mesh, uniform over its area; all zero where it has none.

    key: names the draw.
    """
    if not len(mesh.faces):
        return np.zeros((_NUM_POINTS, 3), dtype=np.float32)
    corners = torch.from_numpy(np.asarray(mesh.vertices, dtype=np.float32)[mesh.faces])
    sides = corners[:, 1:] - corners[:, :1]
    areas = torch.linalg.cross(sides[:, 0], sides[:, 1]).norm(dim=1).double()
    keys = rng.keys(0, "points", torch.tensor([key]), torch.tensor([0]))
    draws = rng.uniform(keys, (_NUM_POINTS, 3), 0.0, 1.0)[0]
    totals = areas.cumsum(0)
    face = torch.searchsorted(totals, draws[:, 0].double() * totals[-1]).clamp(max=len(areas) - 1)
    folded = torch.where(draws[:, 1:].sum(1, keepdim=True) > 1, 1 - draws[:, 1:], draws[:, 1:])
    return (corners[face, 0] + (folded[:, :, None] * sides[face]).sum(1)).numpy()


def _padded(values: Shaped[np.ndarray, "n 3"], size: int, kind: type) -> Shaped[np.ndarray, "m 3"]:
    rest = ((0, size - len(values)), (0, 0))
    return np.pad(values.astype(kind), rest)


def _write_shape(path: Path, row: Row, flat: Float32[np.ndarray, " p"], mesh: Mesh) -> None:
    vertices = _padded(mesh.vertices, _MAX_VERTICES, np.float32)
    triangles = _padded(mesh.faces, _MAX_TRIANGLES, np.int64)
    with h5py.File(path, "w") as file:
        file.create_dataset("params", data=flat)
        file.create_dataset("class_id", data=np.int64(row["label"]))
        file.create_dataset("pcd", data=surface_points(mesh, row["row"]))
        file.create_dataset("num_vertices", data=np.int64(len(mesh.vertices)))
        file.create_dataset("num_triangles", data=np.int64(len(mesh.faces)))
        # readers unpack it unasked, and padding takes next to nothing
        file.create_dataset("vertices", data=vertices, compression="gzip", compression_opts=1)
        file.create_dataset("triangles", data=triangles, compression="gzip", compression_opts=1)


class Inr2Vec:
    """See the module's docstring."""

    exporter = Exporter(rows_per_part=50, one_view=True, labelled=True, heeds=("omega",))

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        if spec.d_in != 3 or spec.d_out != 1 or spec.activation != "sine":
            raise ValueError(f"inr2vec holds SIRENs of shapes, 3-...-1; got {spec.architecture}")
        if len(set(spec.widths[1:-1])) > 1:
            raise ValueError(f"inr2vec's hidden layers have one width; got {spec.architecture}")
        omegas = (wishes.omega or 30.0,) * spec.num_hidden
        made = replace(spec, omega=omegas, output_offset=0.0)
        if spec.value_kind == "occupancy":
            return Target(spec=replace(made, value_kind="logit", value_range=(-0.5, 0.5)))
        if spec.value_kind not in ("signed_distance", "truncated_distance", "logit"):
            raise ValueError(
                f"inr2vec's values are negative inside and positive outside; got {spec.value_kind}"
            )
        return Target(spec=made)

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        flat = params.flat().numpy()
        for index, row in enumerate(rows):
            mesh = surface_mesh(writing.target.spec, params[index : index + 1])

            def made(path: Path, index: int = index, mesh: Mesh = mesh) -> None:
                _write_shape(path, rows[index], flat[index], mesh)

            write_whole(writing.folder / row["split"] / f"{row['place']}.h5", made)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        """Nothing is about all rows: splits are folders, and no statistics are used."""

    def survey(self, folder: Path) -> Survey:
        entries = []
        for split in SPLITS:
            for path in find_files(folder, f"{split}/*.h5"):
                stem = Path(path).stem
                if not (stem.isdecimal() and len(stem) < 13):
                    raise ValueError(f"{path} is not called by a number")
                item = f"{split}/{int(stem):05d}"
                entries.append(Entry(item_id=item, view=0, split=split, path=path))
        return Survey(entries=entries)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        for entry in entries:
            try:
                yield _load(folder, entry.path, widths)
            except BadEntry as error:
                yield error


def _guess(num_params: int) -> tuple[int, ...] | None:
    """3-h-h-h-h-1 of that many parameters: 3 h^2 + 8 h + 1."""
    h = (math.isqrt(64 + 12 * (num_params - 1)) - 8) // 6 if num_params > 0 else 0
    return (3, *[h] * _HIDDEN, 1) if h > 0 and 3 * h * h + 8 * h + 1 == num_params else None


def _load(folder: Path, path: str, widths: tuple[int, ...] | None) -> Loaded:
    with open_hdf5(folder, path) as file:
        params = plain_dataset(file, path, "params", "f", 1)
        num = params.shape[0]
        if num > MAX_PARAMS:
            raise BadEntry(f"{path}: params has {num:,} numbers, too many")
        label = int(plain_dataset(file, path, "class_id", "iu", 0)[()])
        values = params[:].astype(np.float32)
    if widths is not None and sum((i + 1) * o for i, o in pairwise(widths)) == num:
        return Loaded(widths=widths, flat=torch.from_numpy(values), label=label)
    guess = _guess(num)
    if guess is None or widths is not None:
        raise BadEntry(f"{path} has {num:,} parameters, which are no {widths or '3-h-h-h-h-1'}")
    return Loaded(widths=guess, flat=torch.from_numpy(values), label=label)
