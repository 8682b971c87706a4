"""The architecture and conventions of an INR: everything but its weights."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from numbers import Real
from typing import Any, Literal, get_args

from inrgen.core.activations import ActivationName
from inrgen.core.encoding import Encoding

# A letter a coordinate, in order: xy, ij, xyz, or names of your own such as t or txy.
CoordOrder = str
ValueKind = Literal[
    "intensity",
    "signed_distance",
    "truncated_distance",
    "unsigned_distance",
    "occupancy",
    "logit",
    "quantity",
]
# Value kinds that describe a surface.
SOLID_KINDS: tuple[ValueKind, ...] = (
    "signed_distance",
    "truncated_distance",
    "unsigned_distance",
    "occupancy",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSlot:
    """Position of one weight or bias in a flat row of parameters.

    Attributes:
        name: "0.weight", "0.bias", "1.weight", ...
        shape: (out, in) or (out,).
        offset: number of entries before it in the row.
    """

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


# Cached, because a loader needs them for every batch.
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
    """An architecture and the conventions of the signals that it was fitted to.

    The network is h_0 = x, h_{l+1} = sin(omega[l] (W_l h_l + b_l)) for every layer but the last,
    and f(x) = W_L h_L + b_L + output_offset (SIREN, arXiv 2006.09661, eq. 3, with the offset that
    the DWSNets family adds). Other activations use omega as activations.py says. With an encoding,
    h_0 is the encoding of x.

    Attributes:
        widths: (d_in, h_1, ..., h_k, d_out). With an encoding, its number of features comes first.
        omega: frequency of each hidden layer, in radians per unit of pre-activation.
        activation: of every hidden layer.
        output_offset: constant added to every output.
        coord_order: a letter a coordinate. "xy" if coordinate 0 is the column, "ij" if it is the
            row; with any other letters, coordinate i runs along axis i of a grid.
        coord_range: the longest side of a grid spans it, ends included.
        coord_center: the point about which motions turn and scale.
        value_range: (low, high) of a signal's values; its width is the peak of PSNR.
        value_kind: meaning of the values. "quantity" is any other, such as a pressure or a
            velocity, in its own units.
        encoding: map of the coordinates before the first layer; None for the coordinates.
    """

    widths: tuple[int, ...]
    omega: tuple[float, ...]
    activation: ActivationName = "sine"
    output_offset: float = 0.0
    coord_order: CoordOrder = "xy"
    coord_range: tuple[float, float] = (-1.0, 1.0)
    coord_center: tuple[float, ...] = (0.0, 0.0)
    value_range: tuple[float, float] = (0.0, 1.0)
    value_kind: ValueKind = "intensity"
    encoding: Encoding | None = None

    def __post_init__(self) -> None:
        for name, example in (("widths", "(2, 32, 32, 1)"), ("omega", "(30.0, 30.0)")):
            value = getattr(self, name)
            # Lists compare unequal to tuples and cannot be hashed, as specs are.
            if not (isinstance(value, tuple) and all(isinstance(v, Real) for v in value)):
                raise ValueError(
                    f"{name} must be a tuple of numbers, such as {example}; got {value!r:.100}"
                )
        if not isinstance(self.encoding, Encoding | None):
            raise ValueError(
                "encoding must be an Encoding, such as gaussian_encoding(2, 32, 2.0); "
                f"got {self.encoding!r:.100}"
            )
        if len(self.widths) < 3 or min(self.widths) < 1:
            raise ValueError(
                f"widths needs input, hidden and output sizes, all positive; got {self.widths}"
            )
        if len(self.omega) != self.num_hidden:
            raise ValueError(f"omega needs {self.num_hidden} hidden layers; got {self.omega}")
        # Half periods divide by omega, and a negative one would only flip signs.
        if not all(math.isfinite(w) and w > 0 for w in self.omega):
            raise ValueError(f"omega must be positive and finite; got {self.omega}")
        if self.activation not in get_args(ActivationName):
            raise ValueError(
                f"activation must be one of {', '.join(get_args(ActivationName))}; "
                f"got {self.activation!r:.100}"
            )
        if self.encoding is not None and self.widths[0] != self.encoding.width:
            raise ValueError(
                f"widths must begin with {self.encoding.width}, the number of features of the "
                f"encoding; got {self.widths}"
            )
        letters = set(self.coord_order)
        if not (len(self.coord_order) == len(letters) == self.d_in and self.coord_order.isalpha()):
            raise ValueError(
                f"coord_order must name {self.d_in} coordinates, as many as the network or its "
                f"encoding takes, each by another letter; "
                f"got {self.coord_order!r}"
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
        """Number of coordinates."""
        return self.widths[0] if self.encoding is None else self.encoding.d_in

    @property
    def d_out(self) -> int:
        return self.widths[-1]

    @property
    def is_siren(self) -> bool:
        """Tell whether sines act on the coordinates themselves, as compiled code assumes."""
        return self.activation == "sine" and self.encoding is None

    @property
    def kind(self) -> str:
        """The activation and the encoding in words, such as relu on 64 Fourier features."""
        if self.encoding is None:
            return self.activation
        return f"{self.activation} on {self.encoding.width} Fourier features"

    @property
    def num_hidden(self) -> int:
        """Number of hidden layers; layer num_hidden is the linear last one."""
        return len(self.widths) - 2

    @property
    def value_width(self) -> float:
        """Width of value_range, the peak of PSNR."""
        return self.value_range[1] - self.value_range[0]

    @property
    def layers(self) -> tuple[LayerSlot, ...]:
        """Slots of a flat row: the weight of each layer, row-major as (out, in), then its bias."""
        return _slots(self.widths)

    @property
    def num_params(self) -> int:
        """Length P of a flat row."""
        last = self.layers[-1]
        return last.offset + last.size

    @property
    def architecture(self) -> str:
        """The widths as text, such as 2-32-32-1."""
        return "-".join(map(str, self.widths))

    @property
    def spec_id(self) -> str:
        """Name of this spec: its widths and eight digits of a hash of all its fields."""
        # Sorted keys: the id must not depend on the order of fields in this file.
        text = json.dumps(self.to_dict(), sort_keys=True)
        return f"{self.architecture}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; from_dict is the inverse."""
        # JSON has no tuples; from_dict turns lists back.
        facts = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        del facts["encoding"]
        # Without an encoding there is no key, so that earlier stores keep their names.
        return facts if self.encoding is None else facts | {"encoding": self.encoding.to_dict()}

    @staticmethod
    def from_dict(facts: dict[str, Any]) -> "InrSpec":
        """Rebuild a spec from to_dict's values. Raises ValueError for a missing or foreign key."""
        # Strict, because a default for a missing convention would silently misread weights.
        known = set(InrSpec.__dataclass_fields__) - {"encoding"}
        if set(facts) - {"encoding"} != known:
            raise ValueError(f"a spec needs exactly the keys {sorted(known)}; got {sorted(facts)}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()
        }
        if "encoding" in facts:
            values["encoding"] = Encoding.from_dict(facts["encoding"])
        return InrSpec(**values)

    def with_encoding(self, encoding: Encoding | None) -> "InrSpec":
        """The same hidden layers on another encoding of the same coordinates."""
        first = self.d_in if encoding is None else encoding.width
        return replace(self, widths=(first, *self.widths[1:]), encoding=encoding)
