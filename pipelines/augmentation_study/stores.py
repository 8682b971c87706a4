"""Stores of the study: built where missing, then aligned and split as rows need."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from inrgen.commands.align import AlignConfig, align
from inrgen.commands.build import build
from inrgen.core.config import SPLITS, Kind, Split
from inrgen.executors.config import ExecutorConfig
from inrgen.fit.build_config import BuildConfig
from inrgen.jobs.derive import ensure_store, fill, plan_derivation
from inrgen.jobs.operations import ALIGN, align_parameters, read_template, record_templates
from inrgen.sources.config import SourceConfig
from inrgen.store.content import content_sha256
from inrgen.store.errors import StoreBusy
from inrgen.store.files.opening import open_files
from inrgen.store.metadata import read_facts
from inrgen.store.queries import usable_values
from inrgen.store.reader import open_store
from inrgen.training.data import TrainData
from pipelines.augmentation_study.results import Run
from pipelines.augmentation_study.rows import Row
from pipelines.augmentation_study.scales import Scale
from pipelines.folds import with_fold
from pipelines.resplit import is_whole
from pipelines.val_split import with_val

Made = TypeVar("Made")
# Seconds between two tries, and between two reports, of a process that waits for a store.
_LOOK_S, _UNTOLD_S = 2.0, 60.0
_SHAPE_FOLDERS = {"modelnet_like": "modelnet_like", "watertight_shapes": "watertight"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Folders of a study.

    Attributes:
        out: the study's folder, which holds its own stores.
        data: the folder that holds the image data set; digits need none.
        shapes: the folder that holds the stores of available shapes, modelnet_like and watertight.
        modelnet40: the folder that holds train, val and test stores of the real set, or None.
    """

    out: Path
    data: Path | None = None
    shapes: Path | None = None
    modelnet40: Path | None = None


def wait_for_store(make: Callable[[], Made]) -> Made:
    """Call make until no other process holds the store that it must write; return its value.

    Studies that share a folder build its stores together: one writes, the others wait. make is
    called again and again, so it must resume. The wait is reported on stderr once a minute.
    """
    told: float | None = None
    while True:
        try:
            return make()
        except StoreBusy as busy:
            if told is None or time.monotonic() - told >= _UNTOLD_S:
                told = time.monotonic()
                sys.stderr.write(f"waiting: {busy}\n")
                sys.stderr.flush()
            time.sleep(_LOOK_S)


def image_store(places: Places, scale: Scale, split: Split) -> Path:
    """Folder of a split's store."""
    return places.out / scale.folder / split


def build_images(places: Places, scale: Scale, workers: int | None) -> None:
    """Build or resume the three image stores.

    Raises ValueError, naming the differences, where an existing store was built otherwise.
    """
    limits = {"train": scale.train, "val": scale.val, "test": scale.test}
    data = None if places.data is None else str(places.data)
    for split in SPLITS:
        source = SourceConfig(
            name=scale.source,
            data=data,
            split=split,
            limit=limits[split],
            # All results so far are of these items.
            limit_order="first",
        )
        build(
            BuildConfig(
                source=source,
                out=image_store(places, scale, split),
                views=scale.views if split == "train" else 1,
                recipe=scale.recipe,
                seed=scale.seed,
                workers=workers,
            )
        )


def shapes_store(places: Places, corpus: str) -> Path | None:
    """Given store of shapes; None where it does not exist."""
    if places.shapes is None:
        return None
    path = places.shapes / _SHAPE_FOLDERS[corpus]
    return path if (path / "zarr.json").exists() else None


def shapes_words(places: Places) -> list[str]:
    """Describe the fits of the shapes that rows were run on, as their stores record them."""
    said = []
    for corpus in _SHAPE_FOLDERS:
        whole = _with_val_path(places, corpus)
        copies = [whole, *sorted(whole.parent.glob(f"{corpus}-*of*"))]
        path = next((copy for copy in copies if (copy / "zarr.json").exists()), None)
        if path is None:
            continue
        store = open_store(path)
        # Early stores recorded the facts of a build as "given", without a parent.
        given, spec = store.about.get("given", store.built_identity), store.spec
        overlap = usable_values(store.records.to_table(columns=["status", "iou"]), "iou")
        widths = "-".join(map(str, spec.widths))
        said.append(
            f"{corpus}: recipe {given.get('recipe', 'unknown')} on {spec.value_kind}, {widths}, "
            f"{store.layouts[spec.spec_id].views} views of a shape"
            + (f", median IoU {np.median(overlap):.2f}." if len(overlap) else ".")
        )
    return said


def _with_val_path(places: Places, corpus: str) -> Path:
    """Path of the store of shapes with a validation split, which rows use."""
    return places.out / "shapes" / corpus


def obstacle(places: Places, row: Row) -> str:
    """Reason why a row cannot be run here; "" where it can."""
    if row.corpus == "images" or row.recipe:
        return ""
    if row.corpus == "modelnet40":
        if places.modelnet40 is None:
            return "the data set is not available"
        return _unfinished(*(places.modelnet40 / split for split in SPLITS))
    path = shapes_store(places, row.corpus)
    if path is None:
        return "no store was given"
    most = open_store(path).layouts[open_store(path).spec.spec_id].views
    return _unfinished(path) or ("" if row.views <= most else f"the store holds {most} views")


def _unfinished(*given: Path) -> str:
    """Name the given stores that cannot be read yet; "" where all can."""
    missing = [str(path) for path in given if not is_whole(path)]
    return f"missing or not finished: {', '.join(missing)}" if missing else ""


def run_data(places: Places, scale: Scale, run: Run) -> TrainData:
    """Return the stores of a run, made where missing."""
    row = run.row
    if row.corpus == "images":
        paths: dict[Split, Path] = {s: image_store(places, scale, s) for s in SPLITS}
    elif row.corpus == "modelnet40":
        assert places.modelnet40 is not None, "obstacle() has checked that it exists"
        paths = {split: places.modelnet40 / split for split in SPLITS}
    else:
        given = shapes_store(places, row.corpus)
        assert given is not None, "obstacle() has checked that it exists"
        paths = dict.fromkeys(SPLITS, _divided_shapes(places, given, run))
    if row.aligned != "no":
        paths = align_like_train(paths, row.aligned)
    return TrainData(**paths)


def _divided_shapes(places: Places, given: Path, run: Run) -> Path:
    """Store of shapes with train, val and test items: its own splits, or those of a fold."""
    row, copy = run.row, _with_val_path(places, run.row.corpus)
    if not row.folds:
        return with_val(given, copy)
    out = copy.with_name(f"{copy.name}-{run.fold}of{row.folds}")
    return with_fold(given, out, fold=run.fold, num_folds=row.folds)


def align_like_train(paths: dict[Split, Path], kind: Kind) -> dict[Split, Path]:
    """Align all splits to one template, the iterated mean of training rows alone.

    A finished store is only checked against the request, so that readers lock nothing. Raises
    StoreBusy where another process is writing one of the stores.
    """
    found: dict[Split, Path] = {
        split: path.parent / f"{path.name}-{kind}" for split, path in paths.items()
    }
    how = ExecutorConfig(workers=1)
    asked = AlignConfig(store=paths["train"], out=found["train"], match=kind, how=how)
    if is_whole(found["train"]):
        noted = align_parameters(asked.template, asked.search, asked.reference.sampling)
        ensure_store(plan_derivation(asked.store, asked.out, ALIGN, 1, noted), dict)
    else:
        align(asked)
    made, facts = open_store(found["train"]), read_facts(open_files(found["train"]))
    template = read_template(facts.about, made.spec)
    assert template is not None, "an alignment to a mean notes its template"
    parameters = align_parameters(
        "template of train", asked.search, {"sha256": content_sha256(made.path)}
    )
    for split in ("val", "test"):
        if found[split] != found["train"]:
            plan = plan_derivation(paths[split], found[split], ALIGN, 1, parameters)
            ensure_store(plan, lambda: record_templates({made.spec.spec_id: template}))
            if not is_whole(found[split]):
                fill(plan, how)
    return found
