"""Motions: the signal moves, by moving the first layer only.

Coordinates are in the spec's own convention (order, range, centre). Every function says which way
the signal moves; the published code (arXiv 2402.04081) moves coordinates instead, the other way.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

# A distance to a surface grows with the shape; intensities, logits and cut-off distances do not.
_DISTANCES = ("signed_distance", "unsigned_distance")


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """For each INR f the new one g(x) = s f(M x + v): an affine map of coordinates, and of values.

    matrix is M and shift is v, in coordinate units. value_scale is s, 1 unless the signal is a
    distance; output_offset is the spec's, since s must act on it too.
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
    """A product over the few coordinates, kept out of autocast's sight: matmul would be rounded."""
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


def _pull(
    spec: InrSpec,
    matrix: Float[Tensor, "b d_in d_in"],
    shift: Float[Tensor, "b d_in"],
    value_scale: Float[Tensor, " b"] | None = None,
) -> Motion:
    scale = torch.ones_like(shift[:, 0]) if value_scale is None else value_scale
    return Motion(matrix=matrix, shift=shift, value_scale=scale, output_offset=spec.output_offset)


def _about(
    spec: InrSpec, matrix: Float[Tensor, "b d_in d_in"], about: tuple[float, ...] | None
) -> Motion:
    """g(x) = f(M (x - c) + c)."""
    center = _center(spec, matrix, about).expand(len(matrix), -1)
    return _pull(spec, matrix, center - _times(matrix, center[:, :, None])[:, :, 0])


def translation(spec: InrSpec, offset: Float[Tensor, "b d_in"]) -> Motion:
    """The signal moves by offset: g(x) = f(x - t), so b_0 <- b_0 - W_0 t. (Published: f(x + t).)"""
    _check_coords(spec, "offset", offset)
    eye = torch.eye(spec.d_in, dtype=offset.dtype, device=offset.device)
    return _pull(spec, eye.repeat(len(offset), 1, 1), -offset)


def rotation(
    spec: InrSpec,
    matrix: Float[Tensor, "b d_in d_in"],
    about: tuple[float, ...] | None = None,
) -> Motion:
    """The signal turns by R about a point: g(x) = f(R^T (x - c) + c), so W_0 <- W_0 R^T.

    about is in coordinates; None takes the spec's centre. (Published: f(R x), about the origin.)
    """
    _check_coords(spec, "matrix", matrix)
    return _about(spec, matrix.mT, about)


def scaling(
    spec: InrSpec,
    factor: Float[Tensor, " b"],
    about: tuple[float, ...] | None = None,
    scale_values: bool = False,
) -> Motion:
    """The signal grows by s about a point: g(x) = f(c + (x - c) / s), so W_0 <- W_0 / s.

    With scale_values g is s times that, as the distance to a shape that has grown must be. Raises
    ValueError for values that are no distance, or a distance that was cut off: no rescaling of
    those gives the field of the scaled shape. (Published: f(s x), about the origin, values kept.)
    """
    if scale_values and spec.value_kind not in _DISTANCES:
        raise ValueError(
            f"scale_values needs value_kind among {_DISTANCES}; got {spec.value_kind!r}"
        )
    if not bool((factor > 0).all()):
        raise ValueError(f"factor must be positive; got {float(factor.min())}")
    eye = torch.eye(spec.d_in, dtype=factor.dtype, device=factor.device)
    motion = _about(spec, eye / factor[:, None, None], about)
    return _pull(spec, motion.matrix, motion.shift, factor if scale_values else None)


def reflection(
    spec: InrSpec, flips: Float[Tensor, "b d_in"], about: tuple[float, ...] | None = None
) -> Motion:
    """The signal is mirrored: g(x) = f(F (x - c) + c), F diagonal with the +1 and -1 of flips."""
    _check_coords(spec, "flips", flips)
    return _about(spec, torch.diag_embed(flips), about)


def affine(
    spec: InrSpec, matrix: Float[Tensor, "b d_in d_in"], offset: Float[Tensor, "b d_in"]
) -> Motion:
    """The signal moves by x -> A x + t: g(x) = f(A^-1 (x - t)).

    Raises ValueError for a matrix that cannot be inverted.
    """
    _check_coords(spec, "matrix", matrix)
    inverted, info = torch.linalg.inv_ex(matrix)
    if bool((info != 0).any()):
        raise ValueError(f"matrix must be invertible; row {int(info.nonzero()[0])} is not")
    return _pull(spec, inverted, -_times(inverted, offset[:, :, None])[:, :, 0])


def apply(params: Params, motion: Motion) -> Params:
    """Carry a motion out on the weights: exact, whatever the depth and the activation.

    Only the first layer sees coordinates; W_0 (M x + v) + b_0 has the weights W_0 M and the bias
    b_0 + W_0 v, with omega outside. Where s is not 1: W_L <- s W_L, b_L <- s b_L + (s - 1) o.
    """
    weights, biases = list(params.weights), list(params.biases)
    matrix, shift = motion.matrix.to(params.dtype), motion.shift.to(params.dtype)
    weights[0] = _times(params.weights[0], matrix)
    biases[0] = biases[0] + _times(params.weights[0], shift[:, :, None])[:, :, 0]
    scale = motion.value_scale.to(params.dtype)
    weights[-1] = scale[:, None, None] * weights[-1]
    biases[-1] = scale[:, None] * biases[-1] + (scale[:, None] - 1.0) * motion.output_offset
    return Params(weights=tuple(weights), biases=tuple(biases))


def pull_back(
    motion: Motion, coords: Float[Tensor, "n d_in"] | Float[Tensor, "b n d_in"]
) -> Float[Tensor, "b n d_in"]:
    """M x + v: where the old INR holds what the new one has at coords."""
    points = coords if coords.ndim == 3 else coords.expand(len(motion), *coords.shape)
    return _times(points, motion.matrix.mT.to(coords.dtype)) + motion.shift[:, None].to(
        coords.dtype
    )


def compose(second: Motion, first: Motion) -> Motion:
    """The motion that does first, then second.

    Coordinates compose backwards: f(M1 x + v1) moved again is f(M1 (M2 x + v2) + v1).
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
    """The motion that takes motion back."""
    matrix = torch.linalg.inv(motion.matrix)
    return Motion(
        matrix=matrix,
        shift=-_times(matrix, motion.shift[:, :, None])[:, :, 0],
        value_scale=1.0 / motion.value_scale,
        output_offset=motion.output_offset,
    )


def rotation_2d(angle_rad: Float[Tensor, " b"]) -> Float[Tensor, "b 2 2"]:
    """Matrices that turn coordinate 0 towards coordinate 1 by the angle."""
    cos, sin = torch.cos(angle_rad), torch.sin(angle_rad)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def rotation_3d(
    axis: Float[Tensor, "b 3"], angle_rad: Float[Tensor, " b"]
) -> Float[Tensor, "b 3 3"]:
    """Right-handed rotations about axes of any length: I + sin K + (1 - cos) K^2 (Rodrigues)."""
    x, y, z = (axis / axis.norm(dim=1, keepdim=True)).unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    sin, cos = torch.sin(angle_rad)[:, None, None], torch.cos(angle_rad)[:, None, None]
    return eye + sin * cross + (1.0 - cos) * _times(cross, cross)


def rotation_of_quaternion(quaternion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3 3"]:
    """The rotation of (w, x, y, z) of any length; four normal numbers give a uniform one."""
    w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
