"""Sources from objects of the caller's: arrays, tensors, data sets of torch, lists of signals."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from inrgen.core.own_code import call_own, own_failure, own_place
from inrgen.sources.axes import USUAL_COORDS, Axes, read_axes
from inrgen.sources.base import BadSignal, Signal, Source, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import NumberedItems
from inrgen.sources.pictures import decode, is_gray, picture_signal
from inrgen.sources.signal_array import (
    finite_range,
    kind_of_values,
    make_signal_array,
    numbered_items,
)

_IMAGE_ORDER = "xy"
# Pictures in memory have no options of a command; the default bounds hold for them.
_LIMITS = SourceConfig(name="given")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SignalList:
    """A Source over signals in memory; items[i] is signals[positions[i]]."""

    facts: SourceFacts
    items: NumberedItems
    positions: Int[np.ndarray, " n"]
    signals: tuple[Signal, ...]

    @property
    def data_sha256(self) -> str:
        """Digest of all signals, in order."""
        digests = "".join(signal.sha256() for signal in self.signals)
        return hashlib.sha256(digests.encode()).hexdigest()

    def load(self, index: int) -> Signal:
        """The signal of items[index]. Raises BadSignal where it is not like the first one."""
        return _checked(self.signals[int(self.positions[index])], self.facts)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DatasetSignals:
    """A Source over a map-style data set of torch, whose samples are read anew by each load.

    Attributes:
        axes: the axes of a sample that is an array, with one for items; None for other samples.
        peak: the value of an array that counts as intensity 1.
    """

    facts: SourceFacts
    items: NumberedItems
    positions: Int[np.ndarray, " n"]
    dataset: Any
    axes: Axes | None
    peak: float
    data_sha256: str

    def load(self, index: int) -> Signal:
        """Read the sample of items[index]. Raises BadSignal where it is not like the first one."""
        value, _ = _read_sample(self.dataset, int(self.positions[index]))
        signal = _to_signal(value, self.axes, self.facts.d_out)
        if self.peak != 1.0:
            signal = Signal(values=signal.values / self.peak, grid=signal.grid)
        return _checked(signal, self.facts)


def _num_coords(signal: Signal) -> int:
    return len(signal.grid) if signal.coords is None else signal.coords.shape[1]


def _usual_order(signal: Signal) -> str:
    """The names of a signal's coordinates; those of points lie in the order of their columns."""
    d_in = _num_coords(signal)
    if d_in not in USUAL_COORDS:
        raise ValueError(f"signals need 1 to 4 coordinates; got {d_in}")
    if signal.coords is not None:
        return "xyzt"[:d_in]
    return _IMAGE_ORDER if d_in == 2 else USUAL_COORDS[d_in]


def _checked(signal: Signal, facts: SourceFacts) -> Signal:
    """The signal, if it is finite and has the source's dimensions. Raises BadSignal otherwise."""
    found = _num_coords(signal), signal.values.shape[1]
    if found != (facts.d_in, facts.d_out):
        raise BadSignal(
            f"has {found[0]} coordinates and {found[1]} outputs, where the first signal has "
            f"{facts.d_in} and {facts.d_out}"
        )
    if not bool(signal.values.isfinite().all()):
        raise BadSignal("has values that are not finite")
    return signal


def _read_sample(dataset: Any, index: int) -> tuple[Any, Any]:
    """A sample's value and label, -1 for none. Raises BadSignal if it cannot be read."""
    try:
        sample = dataset[index]
    except Exception as error:  # a data set may raise anything
        said = f"{type(error).__name__}: {error}{own_place(error)}"
        raise BadSignal(f"cannot be read: {said}") from error
    value, label = (sample[0], sample[1]) if isinstance(sample, tuple | list) else (sample, -1)
    return value, label.item() if isinstance(label, Tensor | np.generic) else label


def _to_signal(value: Any, axes: Axes | None, d_out: int) -> Signal:
    """A sample as a signal, in the units that it has. Raises BadSignal for other axes."""
    if isinstance(value, Signal):
        return value
    if isinstance(value, Image.Image):
        return picture_signal(decode(value, _LIMITS), d_out)
    assert axes is not None, "the first sample was no array"
    try:
        array = axes.arrange(np.asarray(value)[None])[0]
    except ValueError as error:
        raise BadSignal(str(error)) from error
    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return Signal(values=values.flatten(0, -2), grid=tuple(values.shape[:-1]))


def _facts(
    name: str, first: Signal, dtype: np.dtype, low_high: tuple[float, float], order: str
) -> tuple[SourceFacts, float]:
    """Facts of a source, and the value that counts as intensity 1."""
    d_in, d_out = _num_coords(first), first.values.shape[1]
    on_grid = d_in if first.coords is None else 0
    kind, value_range, peak = kind_of_values(dtype, on_grid, d_out, low_high)
    facts = SourceFacts(
        name=name,
        value_kind=kind,
        d_in=d_in,
        d_out=d_out,
        value_range=value_range,
        coord_order=order,
        weighted=first.weights is not None,
    )
    return facts, peak


def _each(signals: Iterable[Any]) -> Iterator[Any]:
    """The same signals. Raises ValueError that says which one the user's iterable fails to give."""
    given, at = call_own("the source's iterable", iter, signals), 0
    while True:
        try:
            signal = next(given)
        except StopIteration:
            return
        except Exception as error:  # the user's code may raise anything
            raise own_failure(f"signal {at} of the source's iterable", error) from error
        yield signal
        at += 1


def _no_source(found: str) -> ValueError:
    return ValueError(
        "source must be a name, a Source, an array or tensor, a data set of torch, or an iterable "
        f"of Signals; got {found}"
    )


def from_signals(
    signals: Iterable[Signal],
    *,
    labels: Any = None,
    splits: Any = None,
    axes: str | None = None,
    label_names: Sequence[str] = (),
) -> SignalList:
    """A source of signals in memory; the first one settles the dimensions.

    Args:
        axes: the names of the coordinates, such as t or txy.
    """
    held = tuple(_each(signals))
    others = [type(signal).__name__ for signal in held if not isinstance(signal, Signal)]
    if held and isinstance(held[0], np.ndarray | Tensor):
        stack = "np" if isinstance(held[0], np.ndarray) else "torch"
        raise ValueError(
            f"source must be one array for all signals; got {others[0]}s one by one: "
            f"{stack}.stack joins those of one shape, and a Signal holds one of any shape"
        )
    if others or not held:
        raise _no_source(f"an iterable of {others[0]}" if held else "an empty iterable")
    low_high = finite_range([signal.values.numpy() for signal in held])
    order = axes or _usual_order(held[0])
    facts, _ = _facts("signals", held[0], np.dtype(np.float32), low_high, order)
    items, positions = numbered_items("signal", len(held), labels, splits, label_names)
    return SignalList(facts=facts, items=items, positions=positions, signals=held)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Survey:
    """Facts of all samples of a data set, from one pass over it."""

    labels: list[Any]
    low_high: tuple[float, float]
    sha256: str


def _survey(dataset: Any, axes: Axes | None, d_out: int) -> _Survey:
    digest, labels, extremes = hashlib.sha256(), list[Any](), list[float]()
    for index in range(len(dataset)):
        try:
            value, label = _read_sample(dataset, index)
            signal = _to_signal(value, axes, d_out)
        except BadSignal as reason:  # load says so again, for the record of the item
            digest.update(str(reason).encode())
            labels.append(-1)
            continue
        digest.update(signal.sha256().encode())
        labels.append(label)
        finite = signal.values[signal.values.isfinite()]
        if len(finite):
            extremes += [float(finite.min()), float(finite.max())]
    low_high = finite_range([np.array(extremes)])
    return _Survey(labels=labels, low_high=low_high, sha256=digest.hexdigest())


def from_dataset(
    dataset: Any,
    *,
    labels: Any = None,
    splits: Any = None,
    axes: str | None = None,
    label_names: Sequence[str] = (),
) -> DatasetSignals:
    """A source of the samples of a data set: a picture of Pillow, an array or a Signal, or a pair.

    Every sample is read once for labels, range and digest, and again when it is fitted. So a
    data set must not change its samples at random.

    Args:
        labels: in place of the second part of each sample.
        axes: a letter for each axis of a sample that is an array, such as cyx.

    Raises ValueError if the first sample cannot be read, or axes do not fit it.
    """
    name, known, dtype = type(dataset).__name__, None, np.dtype(np.float32)
    try:
        first, _ = _read_sample(dataset, 0)
        if isinstance(first, Image.Image):
            example = _to_signal(first, None, 1 if is_gray(first) else 3)
            order = _IMAGE_ORDER
        elif isinstance(first, Signal):
            example, order = first, axes or _usual_order(first)
        else:
            array = np.asarray(first)
            text = None if axes is None else f"n{axes.lower().replace('n', '')}"
            known, dtype = read_axes(text, (1, *array.shape)), array.dtype
            example, order = _to_signal(first, known, 0), known.coord_order
    except BadSignal as reason:
        raise ValueError(f"sample 0 of {name} {reason}") from reason
    found = _survey(dataset, known, example.values.shape[1])
    facts, peak = _facts(name, example, dtype, found.low_high, order)
    items, positions = numbered_items(
        "sample", len(dataset), found.labels if labels is None else labels, splits, label_names
    )
    return DatasetSignals(
        facts=facts,
        items=items,
        positions=positions,
        dataset=dataset,
        axes=known,
        peak=peak,
        data_sha256=found.sha256,
    )


def as_source(source: Any, **about: Any) -> Source:
    """A source from an object: a Source, an array or tensor, a data set of torch, or Signals.

    Args:
        about: labels, splits, coords, weights, axes and label_names, as the makers of sources
            take them.

    Raises ValueError for an object of another kind, or one that does not fit its labels.
    """
    about = {name: value for name, value in about.items() if value is not None}
    if all(hasattr(source, name) for name in ("facts", "items", "load")):
        if about:
            raise ValueError(f"a Source says itself what it holds; leave out {', '.join(about)}")
        return source
    if isinstance(source, Tensor):
        source = source.detach().cpu().numpy()
    if isinstance(source, np.ndarray):
        return make_signal_array(source, **about)
    if stray := {"coords", "weights"} & about.keys():
        raise ValueError(f"{', '.join(sorted(stray))} are for arrays; a Signal brings its own")
    # The keys of a mapping need not be the numbers by which samples are read.
    if isinstance(source, Mapping):
        raise _no_source(f"{type(source).__name__}, whose values may be one")
    is_listed = isinstance(source, list | tuple | IterableDataset)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not is_listed:
        return from_dataset(source, **about)
    if not isinstance(source, Iterable):
        raise _no_source(type(source).__name__)
    return from_signals(source, **about)
