"""Summaries: what a verb prints, for people and for machines."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    _Dataclass = DataclassInstance
else:
    _Dataclass = object


def count(number: int, noun: str) -> str:
    """A number of things in words: 1 item, 2,000 items."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Summary(_Dataclass):
    """Base of the dataclasses that verbs return.

    A subclass adds text(), a short summary for people. It overrides failed where a command can
    end well and still find something wrong, such as damage in a store, or fault where a sentence
    must say what is wrong.
    """

    # Without this, dataclasses with slots=True would get a __dict__ from their base.
    __slots__ = ()

    @property
    def fault(self) -> str:
        """A sentence on the result as a whole, such as a store without any weights; "" if none."""
        return ""

    @property
    def failed(self) -> bool:
        """Tell whether the command must exit non-zero."""
        return bool(self.fault)

    def document(self) -> dict[str, Any]:
        """The summary as plain values, for JSON."""
        return asdict(self)
