"""Fourier features: a fixed map of coordinates that the first layer reads in their place."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

EncodingKind = Literal["fourier"]
# Every store, identity and card repeats a spec, so its frequencies must stay a short text.
MAX_FREQUENCIES = 1024
# Far beyond any signal: float64 coordinates have no more digits.
_MOST_CYCLES = 1e15


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """Fourier features (arXiv 2006.10739, eq. 5): x -> (cos 2 pi B x, sin 2 pi B x).

    The rows of B are part of the spec as they are, so that any reader can evaluate the INR.

    Attributes:
        frequencies: the rows of B, (m, d_in), in cycles per coordinate unit.
        kind: of the map.
    """

    frequencies: tuple[tuple[float, ...], ...]
    kind: EncodingKind = "fourier"

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        _check_number(len(self.frequencies))
        if len({len(row) for row in self.frequencies}) != 1 or not self.frequencies[0]:
            raise ValueError("encoding needs frequencies with a number for each coordinate")
        numbers = [number for row in self.frequencies for number in row]
        # The comparison also refuses NaN.
        if not all(abs(number) < _MOST_CYCLES for number in numbers):
            raise ValueError(f"encoding needs frequencies below {_MOST_CYCLES:g} in size")

    @property
    def d_in(self) -> int:
        """Number of coordinates."""
        return len(self.frequencies[0])

    @property
    def width(self) -> int:
        """Number of features, two for each frequency."""
        return 2 * len(self.frequencies)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; from_dict is the inverse."""
        return {"kind": self.kind, "frequencies": [list(row) for row in self.frequencies]}

    @staticmethod
    def from_dict(facts: Any) -> "Encoding":
        """Rebuild an encoding from to_dict's values. Raises ValueError for any others."""
        if not isinstance(facts, dict) or set(facts) != {"kind", "frequencies"}:
            raise ValueError(f"an encoding needs the keys kind and frequencies; got {facts!r:.100}")
        kind, rows = facts["kind"], facts["frequencies"]
        _check_kind(kind)
        if not (isinstance(rows, list) and all(isinstance(row, list) for row in rows)):
            raise ValueError(f"an encoding needs lists of frequencies; got {rows!r:.100}")
        # Some writers of JSON leave out the point of a whole number. bool is a kind of int here.
        if not all(type(f) in (int, float) and abs(f) < _MOST_CYCLES for row in rows for f in row):
            raise ValueError(f"an encoding needs frequencies below {_MOST_CYCLES:g} in size")
        return Encoding(kind=kind, frequencies=tuple(tuple(map(float, row)) for row in rows))


def gaussian_encoding(d_in: int, number: int, scale: float, seed: int = 0) -> Encoding:
    """Random frequencies from a normal distribution with deviation scale (2006.10739, section 6).

    They are rounded to six decimals, so that the spec's text is short and the last bits of a
    library do not matter.
    """
    # Imported here, because a command line reads this file without torch.
    import torch

    from inrgen.core import rng

    _check_number(number)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"encoding needs a positive scale; got {scale}")
    keys = rng.keys(seed, "encoding", torch.arange(number))
    drawn = scale * rng.normal(keys, (d_in,), torch.float64)
    return Encoding(frequencies=tuple(tuple(round(f, 6) for f in row) for row in drawn.tolist()))


def octave_encoding(d_in: int, number: int) -> Encoding:
    """Doubling frequencies along each axis, from half a cycle (NeRF, arXiv 2003.08934, eq. 4)."""
    _check_number(number * d_in)
    # Beyond, a power would be no number that a spec may hold.
    if number > 50:
        raise ValueError(f"encoding needs at most 50 octaves; got {number}")
    rows = [
        tuple(2.0 ** (octave - 1) if axis == place else 0.0 for place in range(d_in))
        for axis in range(d_in)
        for octave in range(number)
    ]
    return Encoding(frequencies=tuple(rows))


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodingChoice:
    """An encoding as a user types it, for signals of any number of coordinates.

    Texts are none, octaves/N, gaussian/N/SCALE or gaussian/N/SCALE/SEED, and fourier/F/F/..., the
    rows of B one after the other. fourier alone is the usual Gaussian one.
    """

    name: str
    numbers: tuple[float, ...]

    def make(self, d_in: int) -> Encoding | None:
        """The encoding of d_in coordinates; None for none. Raises ValueError if it fits none."""
        if self.name == "none":
            return None
        if self.name == "octaves":
            return octave_encoding(d_in, int(self.numbers[0]))
        if self.name == "gaussian":
            number, scale, seed = (*self.numbers, 0.0)[:3]
            return gaussian_encoding(d_in, int(number), scale, int(seed))
        if len(self.numbers) % d_in:
            raise ValueError(
                f"encoding needs {d_in} numbers for each frequency; got {len(self.numbers)}"
            )
        rows = [self.numbers[at : at + d_in] for at in range(0, len(self.numbers), d_in)]
        return Encoding(frequencies=tuple(rows))


# Numbers that may follow each name, and the text that describes all.
_NUM_NUMBERS = {
    "none": (0,),
    "octaves": (1,),
    "gaussian": (2, 3),
    "fourier": range(1, 4 * MAX_FREQUENCIES + 1),
}
ENCODING_TEXTS = "none, fourier, octaves/NUMBER, gaussian/NUMBER/SCALE or fourier/FREQUENCY/..."
_USUAL = "gaussian/32/2"


def read_encoding(text: str) -> EncodingChoice:
    """Read an encoding from its text. Raises ValueError for any other text."""
    name, *parts = (_USUAL if text == "fourier" else text).split("/")
    try:
        numbers = tuple(map(float, parts))
    except ValueError:
        numbers = (math.nan,)
    counts = numbers[:1] + numbers[2:] if name in ("octaves", "gaussian") else ()
    are_right = all(map(math.isfinite, numbers)) and all(n.is_integer() for n in counts)
    if len(numbers) not in _NUM_NUMBERS.get(name, ()) or not are_right:
        raise ValueError(f"encoding needs {ENCODING_TEXTS}; got {text!r:.100}")
    return EncodingChoice(name=name, numbers=numbers)


def encoding_text(encoding: Encoding | None) -> str:
    """The text that read_encoding reads as this encoding, to the bit."""
    if encoding is None:
        return "none"
    numbers = [number for row in encoding.frequencies for number in row]
    return "/".join([encoding.kind, *map(repr, numbers)])


def _check_kind(kind: Any) -> None:
    if kind not in get_args(EncodingKind):
        kinds = ", ".join(get_args(EncodingKind))
        raise ValueError(f"an encoding needs the kind {kinds}; got {kind!r:.100}")


def _check_number(number: int) -> None:
    if not 1 <= number <= MAX_FREQUENCIES:
        raise ValueError(f"encoding needs 1 to {MAX_FREQUENCIES} frequencies; got {number}")
