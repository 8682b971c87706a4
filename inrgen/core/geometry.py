"""Motions of signals, which change the first layer only, and coordinates of regular grids.

Coordinates follow the spec's convention (order, range, centre). Every function says in which
direction the signal moves; the published code (arXiv 2402.04081) translates and scales the
coordinates instead, in the opposite direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

# A distance to a surface grows with the shape; intensities, logits and truncated distances do not.
_DISTANCES = ("signed_distance", "unsigned_distance")
# Side of a grid where a record does not note one.
_SIDE = 28


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """An affine map of coordinates and values: each INR f becomes g(x) = s f(M x + v).

    Attributes:
        matrix: M of each INR.
        shift: v of each INR, in coordinate units.
        value_scale: s of each INR; 1 unless the signal is a distance.
        output_offset: that of the spec, because s must also act on it.
    """

    matrix: Float[Tensor, "b d_in d_in"]
    shift: Float[Tensor, "b d_in"]
    value_scale: Float[Tensor, " b"]
    output_offset: float

    def __len__(self) -> int:
        return self.shift.shape[0]


def _times(
    matrix: Float[Tensor, "b r d_in"], other: Float[Tensor, "b d_in c"]
) -> Float[Tensor, "b r c"]:
    """Matrix product over coordinates, written out because autocast would round a matmul."""
    return (matrix[:, :, :, None] * other[:, None, :, :]).sum(dim=2)


def _center(
    spec: InrSpec, like: Float[Tensor, "b ..."], about: tuple[float, ...] | None
) -> Float[Tensor, "1 d_in"]:
    center = spec.coord_center if about is None else about
    if len(center) != spec.d_in:
        raise ValueError(f"about needs {spec.d_in} coordinates; got {center}")
    return torch.tensor([center], dtype=like.dtype, device=like.device)


def _check_coords(spec: InrSpec, name: str, tensor: Tensor) -> None:
    if tensor.shape[-1] != spec.d_in:
        raise ValueError(
            f"{name} needs {spec.d_in} coordinates for {spec.architecture}; got {tensor.shape}"
        )


def check_linear(spec: InrSpec) -> None:
    """Raise ValueError unless the first layer takes the coordinates themselves."""
    if spec.encoding is not None:
        raise ValueError(
            "a motion changes the first layer, which must take the coordinates themselves; "
            f"{spec.architecture} takes {spec.encoding.width} Fourier features of them"
        )


def _pull(
    spec: InrSpec,
    matrix: Float[Tensor, "b d_in d_in"],
    shift: Float[Tensor, "b d_in"],
    value_scale: Float[Tensor, " b"] | None = None,
) -> Motion:
    check_linear(spec)
    scale = torch.ones_like(shift[:, 0]) if value_scale is None else value_scale
    return Motion(matrix=matrix, shift=shift, value_scale=scale, output_offset=spec.output_offset)


def _about(
    spec: InrSpec, matrix: Float[Tensor, "b d_in d_in"], about: tuple[float, ...] | None
) -> Motion:
    """g(x) = f(M (x - c) + c)."""
    center = _center(spec, matrix, about).expand(len(matrix), -1)
    return _pull(spec, matrix, center - _times(matrix, center[:, :, None])[:, :, 0])


def translation(spec: InrSpec, offset: Float[Tensor, "b d_in"]) -> Motion:
    """Move the signal by t = offset: g(x) = f(x - t), b_0 <- b_0 - W_0 t."""
    _check_coords(spec, "offset", offset)
    eye = torch.eye(spec.d_in, dtype=offset.dtype, device=offset.device)
    return _pull(spec, eye.repeat(len(offset), 1, 1), -offset)


def rotation(
    spec: InrSpec,
    matrix: Float[Tensor, "b d_in d_in"],
    about: tuple[float, ...] | None = None,
) -> Motion:
    """Rotate the signal by R about a point: g(x) = f(R^T (x - c) + c), so W_0 <- W_0 R^T.

    (Published: the same, about the origin.)

    Args:
        matrix: R of each INR.
        about: c in coordinates; None takes the spec's centre.
    """
    _check_coords(spec, "matrix", matrix)
    return _about(spec, matrix.mT, about)


def scaling(
    spec: InrSpec,
    factor: Float[Tensor, " b"],
    about: tuple[float, ...] | None = None,
    scale_values: bool = False,
) -> Motion:
    """Scale the signal by s about a point: g(x) = f(c + (x - c) / s), so W_0 <- W_0 / s.

    (Published: f(s x), about the origin, with the values unchanged.)

    Args:
        factor: s of each INR.
        about: c in coordinates; None takes the spec's centre.
        scale_values: multiply the values by s, too, as the distance to a scaled shape requires.

    Raises ValueError for a factor that is not positive, and for scale_values unless the values
    are distances. No rescaling of a truncated distance gives the field of the scaled shape.
    """
    if scale_values and spec.value_kind not in _DISTANCES:
        raise ValueError(
            f"scale_values needs value_kind among {_DISTANCES}; got {spec.value_kind!r}"
        )
    # Negated, so that NaN is refused, too.
    if not bool((factor > 0).all()):
        raise ValueError(f"factor must be positive; got {float(factor.min())}")
    eye = torch.eye(spec.d_in, dtype=factor.dtype, device=factor.device)
    motion = _about(spec, eye / factor[:, None, None], about)
    return _pull(spec, motion.matrix, motion.shift, factor if scale_values else None)


def reflection(
    spec: InrSpec, flips: Float[Tensor, "b d_in"], about: tuple[float, ...] | None = None
) -> Motion:
    """Mirror the signal: g(x) = f(F (x - c) + c), F diagonal with the +1 and -1 of flips."""
    _check_coords(spec, "flips", flips)
    return _about(spec, torch.diag_embed(flips), about)


def affine(
    spec: InrSpec, matrix: Float[Tensor, "b d_in d_in"], offset: Float[Tensor, "b d_in"]
) -> Motion:
    """Map the signal by x -> A x + t: g(x) = f(A^-1 (x - t)).

    Raises ValueError for a matrix that cannot be inverted.
    """
    _check_coords(spec, "matrix", matrix)
    # inv would raise a LinAlgError, which is no ValueError.
    inverted, info = torch.linalg.inv_ex(matrix)
    if bool((info != 0).any()):
        raise ValueError(f"matrix must be invertible; row {int(info.nonzero()[0])} is not")
    return _pull(spec, inverted, -_times(inverted, offset[:, :, None])[:, :, 0])


def apply(params: Params, motion: Motion) -> Params:
    """Apply a motion to the weights: exact for any depth and activation, without an encoding.

    Only the first layer reads coordinates: W_0 (M x + v) + b_0 has the weight W_0 M and the bias
    b_0 + W_0 v, with omega outside. Scaling values: W_L <- s W_L, b_L <- s b_L + (s - 1) o.
    """
    weights, biases = list(params.weights), list(params.biases)
    matrix, shift = motion.matrix.to(params.dtype), motion.shift.to(params.dtype)
    # The bias below needs W_0 from before this change, hence params.weights.
    weights[0] = _times(params.weights[0], matrix)
    biases[0] = biases[0] + _times(params.weights[0], shift[:, :, None])[:, :, 0]
    scale = motion.value_scale.to(params.dtype)
    weights[-1] = scale[:, None, None] * weights[-1]
    biases[-1] = scale[:, None] * biases[-1] + (scale[:, None] - 1.0) * motion.output_offset
    return Params(weights=tuple(weights), biases=tuple(biases))


def push_offset(
    params: Params, offset: Float[Tensor, "b d_in"], layer: Int[Tensor, " b"]
) -> Params:
    """Add the image of an offset to one layer's bias: b_l <- b_l + W_l ... W_0 t.

    For layer 0 it moves the signal by -t: g(x) = f(x + t). For deeper layers it is no motion,
    because the sines in between are left out. Published code translates so (arXiv 2402.04081).

    Args:
        offset: t of each INR, in coordinate units.
        layer: l of each INR.
    """
    image, biases = offset.to(params.dtype), list(params.biases)
    for l, weight in enumerate(params.weights):
        image = _times(weight, image[:, :, None])[:, :, 0]
        biases[l] = torch.where((layer == l)[:, None], biases[l] + image, biases[l])
    return Params(weights=params.weights, biases=tuple(biases))


def compose(second: Motion, first: Motion) -> Motion:
    """The motion that applies first, then second.

    Coordinates compose in reverse: f(M1 x + v1), moved again, is f(M1 (M2 x + v2) + v1).
    """
    if second.output_offset != first.output_offset:
        raise ValueError(
            "second and first need one output_offset; "
            f"got {second.output_offset} and {first.output_offset}"
        )
    return Motion(
        matrix=_times(first.matrix, second.matrix),
        shift=_times(first.matrix, second.shift[:, :, None])[:, :, 0] + first.shift,
        value_scale=second.value_scale * first.value_scale,
        output_offset=first.output_offset,
    )


def inverse(motion: Motion) -> Motion:
    """The inverse motion."""
    matrix = torch.linalg.inv(motion.matrix)
    return Motion(
        matrix=matrix,
        shift=-_times(matrix, motion.shift[:, :, None])[:, :, 0],
        value_scale=1.0 / motion.value_scale,
        output_offset=motion.output_offset,
    )


def rotation_2d(angle_rad: Float[Tensor, " b"]) -> Float[Tensor, "b 2 2"]:
    """Matrices that turn coordinate 0 towards coordinate 1 by an angle."""
    cos, sin = torch.cos(angle_rad), torch.sin(angle_rad)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def rotation_3d(
    axis: Float[Tensor, "b 3"], angle_rad: Float[Tensor, " b"]
) -> Float[Tensor, "b 3 3"]:
    """Right-handed rotations about axes of any length: I + sin K + (1 - cos) K^2."""
    # Rodrigues' formula, with K the cross-product matrix of the unit axis.
    x, y, z = (axis / axis.norm(dim=1, keepdim=True)).unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    sin, cos = torch.sin(angle_rad)[:, None, None], torch.cos(angle_rad)[:, None, None]
    return eye + sin * cross + (1.0 - cos) * _times(cross, cross)


def rotation_of_quaternion(quaternion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3 3"]:
    """Rotations from quaternions (w, x, y, z) of any length; normal ones give uniform rotations."""
    w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def noted_grid(spec: InrSpec, noted: Sequence[int]) -> tuple[int, ...]:
    """The sides of a signal as its record notes them, or 28 each; imports note none."""
    return tuple(noted) or (_SIDE,) * spec.d_in


def grid_axes(spec: InrSpec, shape: tuple[int, ...]) -> list[Float[Tensor, " _n"]]:
    """The coordinate along each axis of a grid, in float64, as grid_coords lays its points."""
    if len(shape) != spec.d_in or min(shape) < 1:
        raise ValueError(
            f"shape needs {spec.d_in} positive sides for {spec.architecture}; got {shape}"
        )
    low, high = spec.coord_range
    # A side of one sample sits at the middle of the range.
    spacing = (high - low) / max(max(shape) - 1, 1)
    return [
        (low + high) / 2 + (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
        for side in shape
    ]


def grid_coords(
    spec: InrSpec, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n d_in"]:
    """The points of a grid of (rows, columns), (nx, ny, nz), (n,) or any other axes, row-major.

    The longest side spans coord_range, ends included. Shorter sides are centred and have the same
    spacing, so pixels are square and a rotation of coordinates rotates the picture. Points are
    computed in float64 and rounded once.
    """
    axes = grid_axes(spec, shape)
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    # Grids are row-major, while coordinate 0 of "xy" is the column.
    if spec.coord_order == "xy":
        points = points.flip(-1)
    return points.to(dtype)
