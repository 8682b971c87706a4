"""The checker of annotations sees every element, so that no wrong shape passes the tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jaxtyping
import pytest
import torch
from jaxtyping import Float, jaxtyped
from torch import Tensor
from type_checker import check_of, typechecked

jaxtyped_here = jaxtyped(typechecker=typechecked)


@jaxtyped_here
def count(weights: tuple[Float[Tensor, "b _out _in"], ...]) -> int:
    return len(weights)


@jaxtyped_here
@dataclass(frozen=True)
class Layers:
    weights: tuple[Float[Tensor, "b _out _in"], ...]


@pytest.mark.parametrize("accept", [count, Layers], ids=["function", "dataclass"])
@pytest.mark.parametrize("wrong", [(3, 4), (2, 4, 4)], ids=["no batch axis", "another batch"])
def test_a_wrong_layer_is_found_wherever_it_is(accept, wrong):
    """Fifty times for each place: a checker that samples elements would miss some."""
    for place in range(5):
        layers = [torch.zeros(3, 4, 4) for _ in range(5)]
        assert accept(tuple(layers))
        layers[place] = torch.zeros(wrong)
        for _ in range(50):
            with pytest.raises(jaxtyping.TypeCheckError):
                accept(tuple(layers))


class Quacks(Protocol):
    def quack(self) -> None: ...


@pytest.mark.parametrize(
    ("annotation", "fits", "does_not"),
    [
        (int, 1, "1"),
        (float, 1, "1"),
        (None, None, 0),
        (int | None, None, 1.5),
        (Literal["a", "b"], "a", "c"),
        (tuple[int, str], (1, "x"), (1, 2)),
        (tuple[int, ...], (1, 2, 3), (1, 2, "3")),
        (tuple[()], (), (1,)),
        (list[int], [1, 2], [1, "2"]),
        (Sequence[int], (1, 2), (1, None)),
        (dict[str, int], {"a": 1}, {"a": "1"}),
        (Mapping[str, tuple[int, ...]], {"a": (1, 2)}, {"a": (1, "2")}),
        (Callable[[int], int], abs, 1),
        (type[int], int, 1),
    ],
    ids=str,
)
def test_a_value_fits_its_annotation_or_not(annotation, fits, does_not):
    assert check_of(annotation)(fits)
    assert not check_of(annotation)(does_not)


@pytest.mark.parametrize("annotation", [Any, Quacks, "Later"], ids=str)
def test_annotations_that_cannot_be_checked_accept_everything(annotation):
    assert check_of(annotation)(object())


def test_results_and_variadic_arguments_are_checked():
    @typechecked
    def first(*values: int, **named: str) -> int:
        return values[0] if values else named["a"]

    assert first(1, 2, a="x") == 1
    with pytest.raises(TypeError, match="values must be"):
        first(1, "2")
    with pytest.raises(TypeError, match="named must be"):
        first(1, a=2)
    with pytest.raises(TypeError, match="result must be"):
        first(a="x")
