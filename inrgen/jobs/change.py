"""What an operation does to a run of rows: the part of a job that knows no files."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int
from torch import Tensor

from inrgen.store.derivation import ByteRows


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """Whose rows they are: hash_items of the item ids, and the views."""

    items: Int[Tensor, " r"]
    views: Int[Tensor, " r"]


class BoundOperation(Protocol):
    """An operation on a run of rows, with all the choices made that need no weights."""

    def __call__(
        self, flat: Float32[np.ndarray, "r p"], part: slice, out: Float32[np.ndarray, "d p"]
    ) -> ByteRows:
        """Put the new rows of a part of the run where they go, and give the draw of each as bytes.

        Rows that are not finite come out as rows that are not.

        Args:
            flat: the rows of that part, which may be memory that cannot be written to.
            part: which of the run's rows they are.
            out: memory to fill, all copies of a row together.
        """
        ...


class Change(Protocol):
    """An operation on whole items, each row of which it changes by itself and its item's views."""

    @property
    def keeps_function(self) -> bool:
        """Whether new rows compute what the old ones did."""
        ...

    def over(self, names: Names) -> BoundOperation:
        """The operation on the rows of these names."""
        ...
