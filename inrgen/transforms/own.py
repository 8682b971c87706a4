"""Transforms of a user's own: functions of weights, and objects with draw and apply."""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, final, get_type_hints

import torch
from jaxtyping import Int
from torch import Tensor

from inrgen.core.config_text import NamedFields, check_name, read_fields
from inrgen.core.own_code import call_own, code_version, own_name
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform

Given = TypeVar("Given")
_KIND = "transform"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyDraw:
    """The draw of a function: the key of each INR, from which it takes all its randomness."""

    keys: Int[Tensor, " b"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionTransform:
    """A function of weights as a transform.

    Attributes:
        function: (params, **fields) -> params, or (params, keys, **fields) -> params.
        fields: values of keyword arguments in place of the function's defaults.
    """

    function: Callable[..., Params]
    fields: tuple[tuple[str, Any], ...] = ()

    def __call__(self, **fields: Any) -> "FunctionTransform":
        """The same function with other values for some of its keyword arguments."""
        for name in fields:
            check_name(name, self.defaults, f"{_KIND} {self.function.__name__}: field")
        return replace(self, fields=tuple(sorted({**dict(self.fields), **fields}.items())))

    @property
    def defaults(self) -> dict[str, Any]:
        """The function's keyword arguments and their defaults."""
        parameters = list(inspect.signature(self.function).parameters.values())
        return {p.name: p.default for p in parameters[1:] if p.name != "keys"}

    @property
    def values(self) -> dict[str, Any]:
        """The value of every keyword argument."""
        return {**self.defaults, **dict(self.fields)}

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> KeyDraw:
        return KeyDraw(keys=keys)

    def apply(self, params: Params, draw: KeyDraw) -> Any:
        """Call the function; apply_checked refuses anything but Params of the same shapes."""
        takes_keys = "keys" in inspect.signature(self.function).parameters
        keys = {"keys": draw.keys} if takes_keys else {}
        return self.function(params, **keys, **dict(self.fields))


def transform(given: Given) -> Given | FunctionTransform:
    """Decorate a function of weights, or a class with draw and apply, as a transform.

    A function takes Params and returns Params with the same shapes; it writes into no argument. If
    it has a parameter keys, it gets a 64-bit key for each INR, from which inrgen.core.rng draws
    numbers. Other parameters are fields, and need defaults. Calling the decorated function with
    fields changes them. A class is a frozen dataclass, as Transform describes it.

    Raises ValueError for a function that cannot be called so.
    """
    if isinstance(given, type):
        _check_object(given)
        return given
    if not callable(given):
        raise ValueError(f"transform needs a function or a class; got {type(given).__name__}")
    function: Callable[..., Any] = given
    made = FunctionTransform(function=function)
    unset = [name for name, value in made.defaults.items() if value is inspect.Parameter.empty]
    if unset:
        raise ValueError(
            f"{_KIND} {function.__name__}: its arguments after params and keys need defaults; "
            f"{', '.join(unset)} has none"
        )
    return made


def _check_object(value: Any) -> None:
    name = getattr(value, "__name__", type(value).__name__)
    if not (hasattr(value, "draw") and hasattr(value, "apply")):
        raise ValueError(f"{_KIND} {name} needs methods draw and apply")
    if not dataclasses.is_dataclass(value) or not value.__dataclass_params__.frozen:  # pyright: ignore
        raise ValueError(
            f"{_KIND} {name} must be a frozen dataclass, whose fields stores can record: decorate "
            "its class with @dataclass(frozen=True)"
        )


def as_transform(given: Any) -> Transform[Any]:
    """A transform from an object with draw and apply, its class, or a function of weights.

    Raises ValueError for anything else.
    """
    if isinstance(given, type):
        _check_object(given)
        return given()
    if hasattr(given, "draw") and hasattr(given, "apply"):
        return given
    if callable(given):
        made = transform(given)
        assert isinstance(made, FunctionTransform)
        return made
    raise ValueError(
        "a transform is an object with draw and apply or a function of Params; "
        f"got {type(given).__name__}"
    )


def own_label(given: Transform[Any]) -> str:
    """The noun and name of a transform of one's own for error messages; "" for inrgen's."""
    own = given.function if isinstance(given, FunctionTransform) else type(given)
    # Errors in inrgen's own transforms are defects, which no sentence should hide.
    # Code that exec ran has no module.
    module = getattr(own, "__module__", None) or "__main__"
    if module.startswith("inrgen."):
        return ""
    # A partial function has no name of its own.
    return f"{_KIND} {module}:{getattr(own, '__qualname__', type(own).__qualname__)}"


def draw_checked(given: Transform[Any], spec: InrSpec, keys: Int[Tensor, " b"]) -> Any:
    """Draw for a transform. Raises ValueError that names one of the user's own that fails."""
    called = own_label(given)
    if not called or torch.compiler.is_compiling():
        return given.draw(spec, keys)
    return call_own(called, given.draw, spec, keys)


def apply_checked(given: Transform[Any], params: Params, draw: Any) -> Params:
    """Apply a transform; one of the user's own must keep the shapes.

    Raises ValueError that names a transform of one's own that fails or returns other shapes.
    """
    called = own_label(given)
    # The compiler takes no such checks.
    if not called or torch.compiler.is_compiling():
        return given.apply(params, draw)
    made = call_own(called, given.apply, params, draw)
    if not isinstance(made, Params):
        raise ValueError(f"{called} must return Params; got {type(made).__name__}")
    if (found := _shapes(made)) != (wanted := _shapes(params)):
        raise ValueError(
            f"{called} must return as many weights as it was given, in the same shapes: "
            f"{wanted}; got {found}"
        )
    return made


def _shapes(params: Params) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in (*params.weights, *params.biases)]


def own_field_types(own: Transform[Any]) -> dict[str, Any]:
    """The type of every field of a transform of one's own; float where nothing says it."""
    if isinstance(own, FunctionTransform):
        hints = get_type_hints(own.function)
        return {
            name: hints.get(name, float if value is None else type(value))
            for name, value in own.defaults.items()
        }
    hints = get_type_hints(type(own))
    return {field.name: hints[field.name] for field in dataclasses.fields(own)}  # pyright: ignore


def own_fields(own: Transform[Any]) -> dict[str, Any]:
    """The value of every field."""
    if isinstance(own, FunctionTransform):
        return own.values
    return dataclasses.asdict(own)  # pyright: ignore


def change_fields(own: Transform[Any], values: dict[str, Any]) -> Transform[Any]:
    """The transform with other values for some fields."""
    if isinstance(own, FunctionTransform):
        return own(**values)
    return dataclasses.replace(own, **values)  # pyright: ignore


def read_own(named: NamedFields, target: Any) -> tuple[Transform[Any], float]:
    """A transform that MODULE:NAME names, with its fields as text, and its chance."""
    made = as_transform(target)
    wanted = own_field_types(made) | {"chance": float}
    values = read_fields(named, wanted, _KIND)
    chance = values.pop("chance", 1.0)
    return change_fields(made, values), chance


def describe_own(own: Transform[Any]) -> tuple[str, str]:
    """The MODULE:NAME of a transform of one's own, and the version of its code.

    Raises ValueError for one that no import finds.
    """
    target = own.function if isinstance(own, FunctionTransform) else type(own)
    return own_name(target), code_version(target)
