"""The plan of an import: which files become which rows, under which conventions."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inrgen.core.config import SPLITS
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import FAMILIES, Conventions, FormatName
from inrgen.exchange.conversion import standardisation
from inrgen.exchange.files import BadEntry, read_json
from inrgen.exchange.formats.base import SIDECAR, Entry, Format, Listing, load_entries, load_format
from inrgen.store.layout import Layout

# Number of files to read for the widths; the data set's are the commonest among them.
_SAMPLES = 16
# A large table of items and views with more holes than this is a mistake or an attack.
_MAX_HOLES = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A signal: an entry for each view, None for a view that the source lacks."""

    item_id: str
    views: tuple[Entry | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportPlan:
    """Rows that a folder becomes: item i, view v is row i * views + v.

    Attributes:
        conventions: all that is known of the weights; spec follows from it.
        grid: samples along each side of the signals, which the records note; () if unknown.
        label_names: name of each label.
        digest: SHA-256 of all entries.
    """

    folder: Path
    format: FormatName
    conventions: Conventions
    spec: InrSpec
    layout: Layout
    items: Sequence[Item]
    grid: tuple[int, ...]
    label_names: dict[int, str]
    digest: str

    @property
    def identity(self) -> dict[str, Any]:
        """The store's note of its origin, which a resumed import must match."""
        return {
            "imported": {
                "format": self.format,
                "conventions": self.conventions.to_dict(),
                "entries": sum(entry is not None for item in self.items for entry in item.views),
                "entries_sha256": self.digest,
                **({"grid": list(self.grid)} if self.grid else {}),
            },
            "spec": self.spec.to_dict(),
            "views": self.layout.views,
        }


def plan_import(
    folder: Path,
    format: FormatName,
    conventions: Conventions | None = None,
    widths: tuple[int, ...] | None = None,
    *,
    family: Conventions | None = None,
    grid: tuple[int, ...] = (),
) -> ImportPlan:
    """List a folder and decide what its weights mean; writes nothing.

    Args:
        conventions: conventions that the user states; they override what the files say.
        widths: sizes of all layers; None reads them from the files.
        family: conventions to assume if neither the user nor the files state them.
        grid: samples along each side of the signals; () if unknown.

    Raises:
        ValueError: conventions are unknown, or the folder does not hold the format.
        OSError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    layout = load_format(format)
    stated, stated_widths, names = _read_sidecar(folder)
    listing = layout.list_entries(folder)
    if not listing.entries:
        raise ValueError(f"{folder} holds no INRs in the format {format}")
    items = _group_items(folder, listing)
    known = conventions or Conventions()
    for less_certain in (stated, listing.conventions, family or Conventions()):
        known = known.with_defaults(less_certain)
    if widths is None:
        widths = stated_widths or listing.widths or _sample_widths(layout, folder, listing.entries)
    if family == FAMILIES["fit-a-nef"] and known.value_mean is None:
        raise ValueError(
            f"{folder} does not say how its values are standardised: state --value-mean and "
            "--value-std of the pixels (0 and 1 if they are not)"
        )
    spec = known.make_spec(_check_widths(widths), folder)
    if known.value_mean is not None and known.value_std is not None:
        standardisation(spec, known.value_mean, known.value_std)
    if grid and (len(grid) != spec.d_in or min(grid) < 1):
        raise ValueError(
            f"grid needs {spec.d_in} positive sides for {spec.architecture}; got {grid}"
        )
    num_views = len(items[0].views)
    return ImportPlan(
        folder=folder,
        format=format,
        conventions=known,
        spec=spec,
        layout=Layout(rows=len(items) * num_views, views=num_views),
        items=items,
        grid=grid,
        label_names={**listing.label_names, **names},
        digest=_digest(items),
    )


def _read_sidecar(folder: Path) -> tuple[Conventions, tuple[int, ...] | None, dict[int, str]]:
    """Conventions, widths and label names that an inrgen export noted; nothing without a note."""
    try:
        document = read_json(folder, SIDECAR)
    except FileNotFoundError:
        return Conventions(), None, {}
    try:
        conventions = Conventions.from_dict(document["conventions"])
        names = {int(k): str(v) for k, v in document["label_names"].items()}
        return conventions, _check_widths(document["widths"]), names
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder / SIDECAR} is damaged: {error!s:.200}") from error


def _check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    if not all(type(w) is int and 0 < w < 2**20 for w in widths) or len(widths) < 3:
        raise ValueError(f"widths must be three or more positive numbers; got {widths!r:.100}")
    return tuple(widths)


def _sample_widths(layout: Format, folder: Path, entries: Sequence[Entry]) -> tuple[int, ...]:
    """The commonest widths of a sample of entries, or those of the first readable entry."""
    # spread over the folder, since damaged or odd files tend to lie together
    step = max(1, len(entries) // _SAMPLES)
    reason, seen = "", Counter()
    for some in (entries[::step], entries):
        for loaded in load_entries(layout, folder, some, None):
            if isinstance(loaded, BadEntry):
                reason = reason or str(loaded)
                continue
            seen[loaded.widths] += 1
            if some is entries:
                break
        if seen:
            return seen.most_common(1)[0][0]
    raise ValueError(f"no INR of {folder} can be read: {reason}")


def _check_text(name: str) -> str:
    # a file name that is no UTF-8 holds surrogates, which Parquet cannot store
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"names must be UTF-8; got {name!r:.100}") from error
    return name


def _group_items(folder: Path, listing: Listing) -> list[Item]:
    """Group entries by item, in the order of splits and names, with views counted from 0."""
    views = sorted({entry.view for entry in listing.entries})
    column = {view: index for index, view in enumerate(views)}
    found: dict[tuple[int, str], list[Entry | None]] = {}
    for entry in listing.entries:
        key = (SPLITS.index(entry.split), _check_text(entry.item_id))
        row = found.setdefault(key, [None] * len(views))
        if row[column[entry.view]] is not None:
            raise ValueError(f"{folder} has view {entry.view} of {entry.item_id:.200} twice")
        row[column[entry.view]] = entry
        # checked while the table grows: its size is items times views
        holes = 1.0 - len(listing.entries) / (len(found) * len(views))
        if len(found) > 1000 and holes > _MAX_HOLES:
            raise ValueError(f"{folder} has {len(views)} views, and of most items only a few")
    return [Item(item_id=key[1], views=tuple(found[key])) for key in sorted(found)]


def _digest(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        for e in item.views:
            facts = None if e is None else (e.item_id, e.view, e.split, e.path, e.row, e.label)
            digest.update(json.dumps(facts).encode())
    return digest.hexdigest()
