"""Read somebody else's data set into a store: a plan, and one block of rows after the other."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.splits import SPLITS
from inrgen.exchange.conventions import standardisation, unstandardise
from inrgen.exchange.files import BadEntry, read_json
from inrgen.exchange.formats.base import SIDECAR, Entry, Format, Loaded, Survey
from inrgen.exchange.formats.catalog import FormatName, format_named
from inrgen.exchange.stated import Stated, stated_from
from inrgen.store.layout import Layout
from inrgen.store.records import FitRecord, FitStatus

# Files looked at to learn the widths; the commonest among them are the data set's.
_PROBES = 16
# A table of items and views with more holes than this is no data set but a mistake, or worse.
_MOST_HOLES = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One signal: an entry for each view, None where the source has none."""

    item_id: str
    views: tuple[Entry | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportPlan:
    """What a folder becomes: item i, view v is row i * views + v."""

    folder: Path
    format: FormatName
    stated: Stated
    spec: InrSpec
    layout: Layout
    items: Sequence[Item]
    grid: tuple[int, ...]
    label_names: dict[int, str]
    digest: str

    @property
    def identity(self) -> dict[str, Any]:
        """What the store notes of it, and what an import that resumes is held to."""
        return {
            "imported": {
                "format": self.format,
                "conventions": self.stated.to_dict(),
                "entries": sum(entry is not None for item in self.items for entry in item.views),
                "entries_sha256": self.digest,
                **({"grid": list(self.grid)} if self.grid else {}),
            },
            "spec": self.spec.to_dict(),
            "views": self.layout.views,
        }


def _sidecar(folder: Path) -> tuple[Stated, tuple[int, ...] | None, dict[int, str]]:
    """What an export of inrgen's says of itself; nothing where there is no such file."""
    try:
        said = read_json(folder, SIDECAR)
    except FileNotFoundError:
        return Stated(), None, {}
    try:
        stated = stated_from(said["conventions"])
        names = {int(k): str(v) for k, v in said["label_names"].items()}
        return stated, _checked_widths(said["widths"]), names
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder / SIDECAR} is damaged: {error!s:.200}") from error


def _checked_widths(widths: Sequence[int]) -> tuple[int, ...]:
    if not all(type(w) is int and 0 < w < 2**20 for w in widths) or len(widths) < 3:
        raise ValueError(f"widths must be three or more positive numbers; got {widths!r:.100}")
    return tuple(widths)


def _probe(made: Format, folder: Path, entries: Sequence[Entry]) -> tuple[int, ...]:
    """The widths that most of a few entries have, or the first that can be read at all."""
    step = max(1, len(entries) // _PROBES)
    reason, seen = "", Counter()
    for some in (entries[::step], entries):
        for loaded in made.load(folder, some, None):
            if isinstance(loaded, BadEntry):
                reason = reason or str(loaded)
                continue
            seen[loaded.widths] += 1
            if some is entries:
                break
        if seen:
            return seen.most_common(1)[0][0]
    raise ValueError(f"no INR of {folder} can be read: {reason}")


def _text(name: str) -> str:
    """A name that can be stored. Raises ValueError for what is no text in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"names must be UTF-8; got {name!r:.100}") from error
    return name


def _items(folder: Path, survey: Survey) -> list[Item]:
    """Entries by item, in the order of splits and names, with views counted from 0."""
    views = sorted({entry.view for entry in survey.entries})
    place = {view: index for index, view in enumerate(views)}
    found: dict[tuple[int, str], list[Entry | None]] = {}
    for entry in survey.entries:
        key = (SPLITS.index(entry.split), _text(entry.item_id))
        row = found.setdefault(key, [None] * len(views))
        if row[place[entry.view]] is not None:
            raise ValueError(f"{folder} has view {entry.view} of {entry.item_id} twice")
        row[place[entry.view]] = entry
        holes = 1.0 - len(survey.entries) / (len(found) * len(views))
        if len(found) > 1000 and holes > _MOST_HOLES:
            raise ValueError(f"{folder} has {len(views)} views, and of most items only a few")
    return [Item(item_id=key[1], views=tuple(found[key])) for key in sorted(found)]


def _digest(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        for e in item.views:
            facts = None if e is None else (e.item_id, e.view, e.split, e.path, e.row, e.label)
            digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def plan_import(
    folder: Path,
    format: FormatName,
    stated: Stated,
    widths: tuple[int, ...] | None = None,
    *,
    family: Stated | None = None,
    grid: tuple[int, ...] = (),
) -> ImportPlan:
    """List what a folder holds and settle what it means.

    Args:
        stated: what the user says of the weights; it goes over what the files say.
        widths: of the networks; None has the files tell.
        family: what holds where neither says anything.
        grid: samples along each side of the signals, noted in the records; () where not known.

    Raises:
        ValueError: conventions are not known, or the folder does not hold that format.
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    made = format_named(format)
    said, noted_widths, names = _sidecar(folder)
    survey = made.survey(folder)
    if not survey.entries:
        raise ValueError(f"{folder} holds no INRs in the format {format}")
    items = _items(folder, survey)
    known = stated.over(said).over(survey.stated).over(family or Stated())
    if widths is None:
        widths = noted_widths or survey.widths or _probe(made, folder, survey.entries)
    spec = known.spec(_checked_widths(widths), folder)
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
        stated=known,
        spec=spec,
        layout=Layout(rows=len(items) * num_views, views=num_views),
        items=items,
        grid=grid,
        label_names={**survey.label_names, **names},
        digest=_digest(items),
    )


def _load(plan: ImportPlan, entries: Sequence[Entry | None]) -> list[Loaded | BadEntry]:
    """What each entry holds, in order."""
    there = [entry for entry in entries if entry is not None]
    made = format_named(plan.format)
    loaded = iter(made.load(plan.folder, there, plan.spec.widths))
    missing = BadEntry("the source has no such view of this item")
    return [missing if entry is None else next(loaded) for entry in entries]


def _judge(
    plan: ImportPlan, loaded: Loaded | BadEntry
) -> tuple[Float32[Tensor, " p"] | None, FitStatus, str]:
    """The row to store, or why there is none."""
    if isinstance(loaded, BadEntry):
        return None, "bad_input", str(loaded)
    if loaded.flat is None:
        has = "-".join(map(str, loaded.widths))
        return None, "bad_input", f"its layers are {has:.100}, not {plan.spec.architecture}"
    flat = loaded.flat[None]
    if plan.stated.value_mean is not None and plan.stated.value_std is not None:
        params = Params.from_flat(plan.spec, flat.double())
        mean, std = plan.stated.value_mean, plan.stated.value_std
        flat = unstandardise(params, plan.spec, mean, std).flat().float()
    if not bool(torch.isfinite(flat).all()):
        return None, "non_finite", "it holds numbers that are not finite"
    return flat[0], "ok", ""


def import_block(
    plan: ImportPlan, block: int
) -> tuple[Float32[np.ndarray, "r p"], list[FitRecord]]:
    """The rows and records of one block of the plan's layout, ready to be staged."""
    rows = plan.layout.block_rows(block)
    views = plan.layout.views
    items = plan.items[rows.start // views : rows.stop // views]
    entries = [entry for item in items for entry in item.views]
    flat = np.full((len(rows), plan.spec.num_params), np.nan, dtype=np.float32)
    records = []
    for place, loaded in enumerate(_load(plan, entries)):
        item, entry = items[place // views], entries[place]
        row, status, reason = _judge(plan, loaded)
        if row is not None:
            flat[place] = row.numpy()
        first = next(e for e in item.views if e is not None)
        label = entry.label if entry is not None else first.label
        if isinstance(loaded, Loaded) and label < 0:
            label = loaded.label
        records.append(
            FitRecord(
                item_id=item.item_id,
                view=place % views,
                row=rows.start + place,
                spec_id=plan.spec.spec_id,
                split=first.split,
                label=label,
                label_name=plan.label_names.get(label, str(label)) if label >= 0 else "",
                source_sha256="",
                seed=0,
                engine="imported",
                num_steps=0,
                final_loss=math.nan,
                psnr_db=math.nan,
                iou=math.nan,
                status=status,
                reason=reason,
                duration_s=0.0,
                grid=plan.grid,
            )
        )
    return flat, records
