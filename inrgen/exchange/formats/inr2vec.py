"""Sets of inr2vec (arXiv 2302.05438): <split>/<number>.h5, one shape's INR each.

params is flat, W then b of each layer; class_id is the shape's class. pcd (n, 3) are points of its
surface, for the loader of point clouds. vertices, num_vertices, triangles and num_triangles are
its mesh, for the loader of meshes, padded with zeros so that all shapes stack. (The study's
preprocess_sdf.py makes coords and labels, which its decoder learns from, out of these.)

Networks are 3 -> h (four times) -> 1 with one initialisation for all (h is 512 in the study), and
their values are logits, sigmoid(f) = (sdf + 0.1) / 0.2. No edit of weights makes these of
distances, but the zero level is the same, so distances go out unchanged. Divided by value_std =
0.05, they also give sigmoid(f) the slope of (sdf + 0.1) / 0.2 at the surface. Occupancy, 0.5 there
and high inside, goes out as 0.5 - f.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float32, Shaped

from inrgen.core import rng
from inrgen.core.atomic import write_whole
from inrgen.core.config import SPLITS
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import ExportOptions
from inrgen.exchange.files import MAX_PARAMS, BadEntry, find_files, open_hdf5, plain_dataset
from inrgen.exchange.formats.base import (
    Entry,
    ExportContext,
    Format,
    Listing,
    Loaded,
    Row,
    Target,
)
from inrgen.sources.mesh import Mesh

# Points a side of the grids to try until the mesh has room. At 16 it always has: 3 * 16^3 edges
# with a vertex each, and 15^3 cells of 5 triangles at most.
_RESOLUTIONS = (32, 24, 16)
_MAX_VERTICES, _MAX_TRIANGLES = 16_384, 32_768
_NUM_POINTS = 2048
_HIDDEN = 4


def surface_mesh(spec: InrSpec, params: Params) -> Mesh:
    """The zero level of one INR, as finely as the format has room for; empty if it has none."""
    # scikit-image takes a second to import
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
    """Points of a mesh, uniform over its area; all zero for an empty mesh.

    Args:
        key: names the random draw, so that an export repeats it.
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
    # a point of the parallelogram beyond the diagonal is mirrored into the triangle
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
        # readers unpack gzip unasked, and it makes the padding almost free
        file.create_dataset("vertices", data=vertices, compression="gzip", compression_opts=1)
        file.create_dataset("triangles", data=triangles, compression="gzip", compression_opts=1)


def _target(spec: InrSpec, source: str, options: ExportOptions) -> Target:
    if spec.d_in != 3 or spec.d_out != 1 or not spec.is_siren:
        raise ValueError(
            f"inr2vec holds SIRENs of shapes, 3-...-1; got {spec.architecture}, {spec.kind}"
        )
    if len(set(spec.widths[1:-1])) > 1:
        raise ValueError(f"inr2vec's hidden layers have one width; got {spec.architecture}")
    if options.value_mean is not None:
        if set(options.value_mean) != {0.0}:
            raise ValueError(f"value_mean must be 0, to keep the surface; got {options.value_mean}")
        if spec.value_kind not in ("signed_distance", "truncated_distance"):
            raise ValueError(f"value_std divides distances; this store's are {spec.value_kind}")
    omegas = (options.omega or 30.0,) * spec.num_hidden
    made = replace(spec, omega=omegas, output_offset=0.0)
    # the one change of kind that convert() makes
    if spec.value_kind == "occupancy":
        return Target(spec=replace(made, value_kind="logit", value_range=(-0.5, 0.5)))
    if spec.value_kind not in ("signed_distance", "truncated_distance", "logit"):
        raise ValueError(
            f"inr2vec's values are negative inside and positive outside; got {spec.value_kind}"
        )
    return Target(spec=made, mean=options.value_mean, std=options.value_std)


def _write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    flat = params.flat().numpy()
    for index, row in enumerate(rows):
        mesh = surface_mesh(context.target.spec, params[index : index + 1])
        fill = partial(_write_shape, row=row, flat=flat[index], mesh=mesh)
        write_whole(context.folder / row["split"] / f"{row['place']}.h5", fill, durable=False)


def _list_entries(folder: Path) -> Listing:
    entries = []
    for split in SPLITS:
        for path in find_files(folder, f"{split}/*.h5"):
            stem = Path(path).stem
            if not (stem.isdecimal() and len(stem) < 13):
                raise ValueError(f"{path} is not called by a number")
            item = f"{split}/{int(stem):05d}"
            entries.append(Entry(item_id=item, view=0, split=split, path=path))
    return Listing(entries=entries)


def _guess_widths(num_params: int) -> tuple[int, ...] | None:
    """The widths 3-h-h-h-h-1 that have this many parameters, which is 3 h^2 + 8 h + 1."""
    h = (math.isqrt(64 + 12 * (num_params - 1)) - 8) // 6 if num_params > 0 else 0
    return (3, *[h] * _HIDDEN, 1) if h > 0 and 3 * h * h + 8 * h + 1 == num_params else None


def _load_shape(folder: Path, path: str, widths: tuple[int, ...] | None) -> Loaded:
    with open_hdf5(folder, path) as file:
        params = plain_dataset(file, path, "params", "f", 1)
        num = params.shape[0]
        if num > MAX_PARAMS:
            raise BadEntry(f"{path}: params has {num:,} numbers, too many")
        label = int(plain_dataset(file, path, "class_id", "iu", 0)[()])
        values = params[:].astype(np.float32)
    # a flat row does not state its widths, so their parameter count must do
    if widths is not None and sum((i + 1) * o for i, o in pairwise(widths)) == num:
        return Loaded(widths=widths, flat=torch.from_numpy(values), label=label)
    guess = _guess_widths(num)
    if guess is None or widths is not None:
        raise BadEntry(f"{path} has {num:,} parameters, which are no {widths or '3-h-h-h-h-1'}")
    return Loaded(widths=guess, flat=torch.from_numpy(values), label=label)


def _read_file(
    folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
) -> list[Loaded]:
    return [_load_shape(folder, entry.path, widths) for entry in entries]


FORMAT = Format(
    target=_target,
    write=_write,
    list_entries=_list_entries,
    read_file=_read_file,
    rows_per_part=50,
    one_view=True,
    labelled=True,
    options=("omega", "value_mean", "value_std"),
)
