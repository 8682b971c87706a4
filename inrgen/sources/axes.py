"""Axes of an array as letters, such as NYXC: n counts items, c outputs, others are coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MAX_COORDS = 4
# NHWC and NCHW are what people of this field write.
_SYNONYMS = str.maketrans("hwd", "yxz")
USUAL_COORDS = {1: "x", 2: "yx", 3: "zyx", 4: "tzyx"}
# More outputs than this in the last axis, unsaid, are more likely a grid without channels.
_FEW_CHANNELS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """The order of an array's axes, a letter each: n, c, and one for each coordinate."""

    letters: str

    def __post_init__(self) -> None:
        if self.letters.count("n") != 1 or self.letters.count("c") > 1:
            raise ValueError(
                f"axes must name items once, as n, and channels at most once, as c; "
                f"got {self.letters!r}"
            )
        coords = self.coords
        if not self.letters.isalpha() or len(set(coords)) != len(coords):
            raise ValueError(f"axes must name each axis by another letter; got {self.letters!r}")
        if not 1 <= len(coords) <= _MAX_COORDS:
            raise ValueError(
                f"axes must name 1 to {_MAX_COORDS} coordinates besides n and c; "
                f"got {self.letters!r}"
            )

    @property
    def coords(self) -> str:
        """The coordinates in the order of the grid's axes."""
        return self.letters.replace("n", "").replace("c", "")

    @property
    def coord_order(self) -> str:
        """The coordinates in the order of an INR's inputs; images begin with the column."""
        return "xy" if self.coords == "yx" else self.coords

    def arrange(self, array: np.ndarray) -> np.ndarray:
        """A view of an array as (n, *grid, c)."""
        if array.ndim != len(self.letters):
            raise ValueError(
                f"axes {self.letters!r} names {len(self.letters)} axes; the array has the shape "
                f"{tuple(array.shape)}"
            )
        order = [self.letters.index(letter) for letter in f"n{self.coords}"]
        if "c" not in self.letters:
            return array.transpose(order)[..., None]
        return array.transpose([*order, self.letters.index("c")])


def read_axes(text: str | None, shape: Sequence[int]) -> Axes:
    """Read the axes of an array as a user states them; without a statement (n, *grid, c).

    Raises ValueError for a text that does not fit the shape, and for a last axis that is too long
    to pass for channels.
    """
    if text is not None:
        axes = Axes(letters=text.lower().translate(_SYNONYMS))
        if len(axes.letters) != len(shape):
            raise ValueError(f"axes {text!r} names {len(text)} axes; the array has {len(shape)}")
        return axes
    num_coords = len(shape) - 2
    if num_coords not in USUAL_COORDS or shape[-1] > _FEW_CHANNELS:
        raise ValueError(
            "axes must be stated for an array of the shape "
            f"{tuple(shape)}: a letter an axis, n for items, c for channels, any other for a "
            "coordinate, such as nyx (gray images), nyxc, ncyx, ntc (sound) or nzyxc (volumes)"
        )
    return Axes(letters=f"n{USUAL_COORDS[num_coords]}c")
