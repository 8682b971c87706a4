"""What has to be said of somebody else's weights before they mean anything."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from inrgen.core.spec import Activation, CoordOrder, InrSpec, ValueKind

# The options that say it, as the command line calls them.
_OPTIONS = {
    "omega": "--omega",
    "coord_order": "--coord-order",
    "value_range": "--value-range",
    "output_offset": "--output-offset",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """The conventions of weights as far as they are known; None is not known.

    Attributes:
        omega: frequency of the hidden layers, one number or one for each.
        coord_order: xy where coordinate 0 is the column, ij where it is the row.
        coord_range: from where to where coordinates go; -1 1 by default.
        value_range: from where to where values go, such as 0 1, before they were standardised.
        value_kind: what values are; intensity by default.
        output_offset: what is added to the last layer's output.
        activation: sine by default.
        value_mean: mean that values were standardised by, one number or one for each output; they
            are brought back to value_range.
        value_std: standard deviation that values were standardised by.
    """

    omega: tuple[float, ...] | None = None
    coord_order: CoordOrder | None = None
    coord_range: tuple[float, float] | None = None
    value_range: tuple[float, float] | None = None
    value_kind: ValueKind | None = None
    output_offset: float | None = None
    activation: Activation | None = None
    value_mean: tuple[float, ...] | None = None
    value_std: tuple[float, ...] | None = None

    def over(self, other: "Stated") -> "Stated":
        """What self says, and where it says nothing what other says."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{name: value for name, value in said.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, without those that are not known."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value is not None
        }

    def spec(self, widths: tuple[int, ...], where: object) -> InrSpec:
        """The spec of networks of these widths.

        Raises ValueError that names every option that must be given and was not.
        """
        needed = [name for name in _OPTIONS if getattr(self, name) is None]
        if self.value_mean is not None or self.value_std is not None:
            needed += [f for f in ("value_mean", "value_std") if getattr(self, f) is None]
        if widths[0] in (1, 3) and "coord_order" in needed:
            needed.remove("coord_order")
        if needed:
            names = [_OPTIONS.get(name, "--" + name.replace("_", "-")) for name in needed]
            raise ValueError(
                f"{where} does not say its conventions: state {', '.join(names)}, or name the "
                f"family that they are of by --conventions ({', '.join(FAMILIES)})"
            )
        assert self.omega is not None
        assert self.output_offset is not None
        assert self.value_range is not None
        hidden, (low, high) = len(widths) - 2, self.coord_range or (-1.0, 1.0)
        order: CoordOrder = self.coord_order or ("x" if widths[0] == 1 else "xyz")
        return InrSpec(
            widths=widths,
            omega=self.omega * hidden if len(self.omega) == 1 else self.omega,
            activation=self.activation or "sine",
            output_offset=self.output_offset,
            coord_order=order,
            coord_range=(low, high),
            coord_center=((low + high) / 2,) * widths[0],
            value_range=self.value_range,
            value_kind=self.value_kind or "intensity",
        )


FAMILIES: dict[str, Stated] = {
    "dws": Stated(omega=(30.0,), coord_order="xy", value_range=(0.0, 1.0), output_offset=0.5),
    "nfn": Stated(omega=(30.0,), coord_order="ij", value_range=(-1.0, 1.0), output_offset=0.0),
    "inr2vec": Stated(
        omega=(30.0,),
        coord_order="xyz",
        value_range=(-5.0, 5.0),
        value_kind="logit",
        output_offset=0.0,
    ),
}


def stated_of(
    spec: InrSpec, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> Stated:
    """All that a spec says, with what its values were standardised by."""
    return Stated(
        omega=spec.omega,
        coord_order=spec.coord_order,
        coord_range=spec.coord_range,
        value_range=spec.value_range,
        value_kind=spec.value_kind,
        output_offset=spec.output_offset,
        activation=spec.activation,
        value_mean=mean,
        value_std=std,
    )


def stated_from(said: Any) -> Stated:
    """The inverse of to_dict, for what somebody else may have written.

    Raises ValueError for anything else.
    """
    known = {field.name for field in fields(Stated)}
    if not isinstance(said, dict) or not set(said) <= known:
        raise ValueError(f"conventions must be among {sorted(known)}; got {said!r:.200}")
    numbers = ("omega", "coord_range", "value_range", "value_mean", "value_std")
    values = dict(said)
    try:
        for name in numbers:
            if name in values:
                values[name] = tuple(float(number) for number in values[name])
        if "output_offset" in values:
            values["output_offset"] = float(values["output_offset"])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"conventions must be numbers and names; got {said!r:.200}") from error
    for name in ("coord_range", "value_range"):
        if name in values and len(values[name]) != 2:
            raise ValueError(f"{name} needs two numbers; got {values[name]}")
    for name in ("coord_order", "value_kind", "activation"):
        if name in values and not isinstance(values[name], str):
            raise ValueError(f"{name} must be a name; got {values[name]!r:.200}")
    return Stated(**values)
