"""What an INR is, apart from its weights."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, get_args

Activation = Literal["sine", "tanh", "relu"]
CoordOrder = Literal["x", "xy", "ij", "xyz"]
ValueKind = Literal[
    "intensity", "signed_distance", "truncated_distance", "unsigned_distance", "occupancy", "logit"
]
# The values that have a surface.
SOLID_KINDS: tuple[ValueKind, ...] = (
    "signed_distance",
    "truncated_distance",
    "unsigned_distance",
    "occupancy",
)

_COORD_DIMS: dict[str, int] = {"x": 1, "xy": 2, "ij": 2, "xyz": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSlot:
    """Where one weight or bias lies within a flat row of parameters.

    name is "0.weight", "0.bias", "1.weight", ...; shape is (out, in) or (out,); offset counts
    float32 entries from the start of the row.
    """

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


# kept, since a loader asks for them at every batch
@lru_cache(maxsize=64)
def _slots(widths: tuple[int, ...]) -> tuple[LayerSlot, ...]:
    slots, offset = [], 0
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        for name, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
            slots.append(LayerSlot(name=f"{layer}.{name}", shape=shape, offset=offset))
            offset += slots[-1].size
    return tuple(slots)


@dataclass(frozen=True, kw_only=True, slots=True)
class InrSpec:
    """An architecture together with the conventions of the signals it was fitted to.

    The network is h_0 = x, h_{l+1} = sin(omega[l] (W_l h_l + b_l)) for every layer but the last,
    and f(x) = W_L h_L + b_L + output_offset (SIREN, arXiv 2006.09661, eq. 3, with the offset that
    the DWSNets family adds). For the activations tanh and relu, omega multiplies in the same way.

    widths is (d_in, h_1, ..., h_k, d_out); omega[l] is the frequency of hidden layer l, in radians
    per unit of pre-activation. Coordinates: coord_order "xy" means coordinate 0 is the column,
    "ij" that it is the row; coord_range is spanned, ends included, by the longest side of a grid,
    and coord_center is the point that motions turn about. value_range is the range of a signal's
    values, in the sense of "peak" for PSNR; value_kind says what they are.
    """

    widths: tuple[int, ...]
    omega: tuple[float, ...]
    activation: Activation = "sine"
    output_offset: float = 0.0
    coord_order: CoordOrder = "xy"
    coord_range: tuple[float, float] = (-1.0, 1.0)
    coord_center: tuple[float, ...] = (0.0, 0.0)
    value_range: tuple[float, float] = (0.0, 1.0)
    value_kind: ValueKind = "intensity"

    def __post_init__(self) -> None:
        if len(self.widths) < 3 or min(self.widths) < 1:
            raise ValueError(
                f"widths needs input, hidden and output sizes, all positive; got {self.widths}"
            )
        if len(self.omega) != self.num_hidden:
            raise ValueError(f"omega needs {self.num_hidden} hidden layers; got {self.omega}")
        if not all(math.isfinite(w) and w > 0 for w in self.omega):
            raise ValueError(f"omega must be positive and finite; got {self.omega}")
        if self.activation not in get_args(Activation):
            raise ValueError(
                f"activation must be one of {get_args(Activation)}; got {self.activation!r}"
            )
        if _COORD_DIMS.get(self.coord_order) != self.d_in:
            raise ValueError(
                f"coord_order must name {self.d_in} coordinates; got {self.coord_order!r}"
            )
        if len(self.coord_center) != self.d_in:
            raise ValueError(f"coord_center needs {self.d_in} coordinates; got {self.coord_center}")
        for name in ("coord_range", "value_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name} must be (low, high) with low < high; got {(low, high)}")
        if self.value_kind not in get_args(ValueKind):
            raise ValueError(
                f"value_kind must be one of {get_args(ValueKind)}; got {self.value_kind!r}"
            )

    @property
    def d_in(self) -> int:
        return self.widths[0]

    @property
    def d_out(self) -> int:
        return self.widths[-1]

    @property
    def num_hidden(self) -> int:
        """How many hidden layers there are; layer num_hidden is the linear last one."""
        return len(self.widths) - 2

    @property
    def value_width(self) -> float:
        """The peak that PSNR is measured against: the width of value_range."""
        return self.value_range[1] - self.value_range[0]

    @property
    def layers(self) -> tuple[LayerSlot, ...]:
        """The slots of a flat row: for each layer its weight, row-major as (out, in), its bias."""
        return _slots(self.widths)

    @property
    def num_params(self) -> int:
        """P, the length of a flat row."""
        last = self.layers[-1]
        return last.offset + last.size

    @property
    def architecture(self) -> str:
        """The widths as text, such as 2-32-32-1."""
        return "-".join(map(str, self.widths))

    @property
    def spec_id(self) -> str:
        """A name for this spec: its widths and eight digits of a hash of all that it says."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return f"{self.architecture}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; from_dict is its inverse."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_dict(facts: dict[str, Any]) -> "InrSpec":
        """Rebuild a spec from to_dict's values. Raises ValueError for a missing or foreign key."""
        known = set(InrSpec.__dataclass_fields__)
        if set(facts) != known:
            raise ValueError(f"a spec needs exactly the keys {sorted(known)}; got {sorted(facts)}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()
        }
        return InrSpec(**values)
