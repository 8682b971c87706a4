"""How one store came from another: what a derived store notes of its parent."""

from dataclasses import asdict, dataclass
from typing import Any

_KEY = "derived"

# What derived stores note beside their identity: the parent as it was, and what rows were aligned
# to (base64 of float32, by spec_id).
PARENT, TEMPLATE = "parent", "template"


@dataclass(frozen=True, kw_only=True, slots=True)
class Derivation:
    """What made a store of another one.

    Copy c of the parent's row p is row p * copies + c, and so copy c of an item's view v is its
    view v * copies + c: an item's copies lie together as its views do, and whoever reads views
    reads copies.

    operation: "align" or "augment".
    copies: rows of each row of the parent.
    parent_sha256: content_sha256 of the parent; where the parent lies is no part of what was done.
    parameters: plain JSON that the operation is decided by.
    """

    operation: str
    copies: int
    parent_sha256: str
    parameters: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """The identity of the derived store."""
        return {_KEY: asdict(self)}


def derivation_of(identity: dict[str, Any]) -> Derivation | None:
    """What a store of this identity was derived by; None for one that was not."""
    return Derivation(**identity[_KEY]) if _KEY in identity else None
