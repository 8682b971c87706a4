"""Conventions of foreign weights, and the options that exports take; light to import."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import tyro

from inrgen.core.activations import ActivationName
from inrgen.core.encoding import Encoding
from inrgen.core.spec import CoordOrder, InrSpec, ValueKind

FormatName = Literal[
    "dws-multiview",
    "dws",
    "neural-graphs",
    "scalegmn",
    "nfn",
    "fit-a-nef",
    "inr2vec",
    "safetensors",
    "huggingface",
]

# Conventions that no file may leave open, because a wrong guess shows wrong pictures silently.
_REQUIRED = ("omega", "coord_order", "value_range", "output_offset")
_NUMBERS = ("omega", "coord_range", "value_range", "value_mean", "value_std")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """Choices that an exporter cannot make from the store alone.

    Attributes:
        path_prefix: prefix of the paths in splits.json; by default what the format expects
            (absolute paths for dws, relative ones for the others).
        like: data set whose layout to use, for formats with one layout a data set; by default
            the store's own source.
        omega: frequency of every sine layer; by default what the format expects.
        value_mean: for fit-a-nef: mean of the pixels that values are standardised by, one number
            or one an output; known for mnist, fashion-mnist and cifar10. For inr2vec: 0.
        value_std: for fit-a-nef: standard deviation of the pixels, one number or one an output.
            For inr2vec: divides distances; 0.05 gives sigmoid(f) the slope of (sdf + 0.1) / 0.2.
        all_views: for nfn: write further views of val and test items, too. NFN's loader would
            count them as items.
        license: for huggingface: an SPDX name such as mit; by default its card says that none is
            stated.
    """

    path_prefix: str | None = None
    like: Literal["mnist", "fashion-mnist", "cifar10"] | None = None
    omega: float | None = None
    value_mean: tuple[float, ...] | None = None
    value_std: tuple[float, ...] | None = None
    all_views: bool | None = None
    license: str | None = None

    def __post_init__(self) -> None:
        if self.omega is not None and not 0 < self.omega < math.inf:
            raise ValueError(f"omega must be positive; got {self.omega}")
        if (self.value_mean is None) != (self.value_std is None):
            raise ValueError(
                f"value_mean and value_std go together; got {self.value_mean} and {self.value_std}"
            )

    @property
    def given(self) -> list[str]:
        """Names of the options that the user set."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conventions:
    """Conventions of a set of weights, as far as they are known; None means unknown.

    Attributes:
        omega: frequency of the hidden layers, one number or one a layer.
        coord_order: xy if coordinate 0 is the column, ij if it is the row.
        coord_range: lowest and highest coordinate; -1 1 by default.
        value_range: lowest and highest value, such as 0 1, before standardisation.
        value_kind: meaning of the values; intensity by default.
        output_offset: constant added to the last layer's output.
        activation: sine by default.
        value_mean: mean that values were standardised by, one number or one an output; the
            import brings them back to value_range.
        value_std: standard deviation that values were standardised by.
        encoding: Fourier features before the first layer, as a file states them.
    """

    omega: tuple[float, ...] | None = None
    coord_order: CoordOrder | None = None
    coord_range: tuple[float, float] | None = None
    value_range: tuple[float, float] | None = None
    value_kind: ValueKind | None = None
    output_offset: float | None = None
    activation: ActivationName | None = None
    value_mean: tuple[float, ...] | None = None
    value_std: tuple[float, ...] | None = None
    # No option: a file that has an encoding states all its numbers.
    encoding: tyro.conf.Suppress[tyro.conf.Fixed[Encoding | None]] = None

    @staticmethod
    def from_spec(
        spec: InrSpec,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> "Conventions":
        """Conventions of a spec, with the mean and deviation that standardised its values."""
        return Conventions(
            omega=spec.omega,
            coord_order=spec.coord_order,
            coord_range=spec.coord_range,
            value_range=spec.value_range,
            value_kind=spec.value_kind,
            output_offset=spec.output_offset,
            activation=spec.activation,
            value_mean=mean,
            value_std=std,
            encoding=spec.encoding,
        )

    @staticmethod
    def from_dict(document: Any) -> "Conventions":
        """Rebuild conventions from to_dict's values, which anybody may have edited.

        Raises ValueError for anything that to_dict does not write.
        """
        known = {field.name for field in fields(Conventions)}
        if not isinstance(document, dict) or not set(document) <= known:
            raise ValueError(f"conventions must be among {sorted(known)}; got {document!r:.200}")
        values = dict(document)
        try:
            for name in set(_NUMBERS) & set(values):
                values[name] = tuple(float(number) for number in values[name])
            if "output_offset" in values:
                values["output_offset"] = float(values["output_offset"])
        except (TypeError, ValueError, OverflowError) as error:
            message = f"conventions must be numbers and names; got {document!r:.200}"
            raise ValueError(message) from error
        if "encoding" in values:
            values["encoding"] = Encoding.from_dict(values["encoding"])
        for name in ("coord_range", "value_range"):
            if name in values and len(values[name]) != 2:
                raise ValueError(f"{name} needs two numbers; got {values[name]}")
        for name in ("coord_order", "value_kind", "activation"):
            if name in values and not isinstance(values[name], str):
                raise ValueError(f"{name} must be a name; got {values[name]!r:.200}")
        return Conventions(**values)

    def to_dict(self) -> dict[str, Any]:
        """The known conventions as plain JSON values."""
        found = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value is not None
        }
        return found if self.encoding is None else found | {"encoding": self.encoding.to_dict()}

    def with_defaults(self, other: "Conventions") -> "Conventions":
        """These conventions, with unknown ones taken from other."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{name: value for name, value in known.items() if value is not None})

    def make_spec(self, widths: tuple[int, ...], folder: object) -> InrSpec:
        """The spec of networks of these widths.

        Raises ValueError, naming folder and every option that the user must still state.
        """
        missing = [name for name in _REQUIRED if getattr(self, name) is None]
        if self.value_mean is not None or self.value_std is not None:
            missing += [name for name in ("value_mean", "value_std") if getattr(self, name) is None]
        num_coords = widths[0] if self.encoding is None else self.encoding.d_in
        # sound and shapes have one order of coordinates only
        if num_coords in (1, 3) and "coord_order" in missing:
            missing.remove("coord_order")
        if missing:
            options = ", ".join("--" + name.replace("_", "-") for name in missing)
            raise ValueError(
                f"{folder} does not say its conventions: state {options}, or name the family of "
                f"the weights with --conventions ({', '.join(FAMILIES)})"
            )
        assert self.omega is not None
        assert self.output_offset is not None
        assert self.value_range is not None
        hidden, (low, high) = len(widths) - 2, self.coord_range or (-1.0, 1.0)
        order: CoordOrder = self.coord_order or ("x" if num_coords == 1 else "xyz")
        return InrSpec(
            widths=widths,
            omega=self.omega * hidden if len(self.omega) == 1 else self.omega,
            activation=self.activation or "sine",
            output_offset=self.output_offset,
            coord_order=order,
            coord_range=(low, high),
            coord_center=((low + high) / 2,) * num_coords,
            value_range=self.value_range,
            value_kind=self.value_kind or "intensity",
            encoding=self.encoding,
        )


# From DWSNets (arXiv 2301.12780), NFN (arXiv 2302.14040), inr2vec (arXiv 2302.05438) and fit-a-nef
# (arXiv 2312.10531), whose nef.json states omega.
FAMILIES: dict[str, Conventions] = {
    "dws": Conventions(omega=(30.0,), coord_order="xy", value_range=(0.0, 1.0), output_offset=0.5),
    "nfn": Conventions(omega=(30.0,), coord_order="ij", value_range=(-1.0, 1.0), output_offset=0.0),
    "fit-a-nef": Conventions(coord_order="xy", value_range=(0.0, 1.0), output_offset=0.0),
    "inr2vec": Conventions(
        omega=(30.0,),
        coord_order="xyz",
        value_range=(-5.0, 5.0),
        value_kind="logit",
        output_offset=0.0,
    ),
}
