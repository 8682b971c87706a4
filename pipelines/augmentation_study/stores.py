"""The stores that the study reads: built where they are missing, aligned and cut as rows need."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inrgen.commands.align import AlignConfig, align
from inrgen.commands.build import build
from inrgen.core.splits import SPLITS, Split
from inrgen.core.symmetry import Kind
from inrgen.executors.config import ExecutorConfig
from inrgen.fit.build_config import BuildConfig
from inrgen.jobs.derive import ensure_store, fill, plan_derivation
from inrgen.jobs.operations import ALIGN, align_parameters, read_template, record_templates
from inrgen.sources.config import SourceConfig
from inrgen.store.content import content_sha256
from inrgen.store.files.protocol import open_files
from inrgen.store.metadata import read_facts
from inrgen.store.quality import served_values
from inrgen.store.reader import open_store
from inrgen.training.data import TrainData
from pipelines.augmentation_study.rows import Row
from pipelines.augmentation_study.scales import Scale
from pipelines.val_split import is_whole, with_val

_SHAPE_FOLDERS = {"modelnet_like": "modelnet_like", "watertight_shapes": "watertight"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where everything is.

    out: the study's folder, in which it makes its stores.
    data: the folder that holds the image data set; digits need none.
    shapes: the folder that holds the stores of the shapes at hand, modelnet_like and watertight.
    modelnet40: the folder that holds train, val and test stores of the real set, where it is given.
    """

    out: Path
    data: Path | None = None
    shapes: Path | None = None
    modelnet40: Path | None = None


def image_store(places: Places, scale: Scale, split: Split) -> Path:
    """The folder of a split's store."""
    return places.out / scale.folder / split


def build_images(places: Places, scale: Scale, workers: int | None) -> None:
    """Build what is missing of the three image stores, or go on with it.

    Raises ValueError where a store there was built from something else, naming what differs.
    """
    limits = {"train": scale.train, "val": scale.val, "test": scale.test}
    data = None if places.data is None else str(places.data)
    for split in SPLITS:
        source = SourceConfig(name=scale.source, data=data, split=split, limit=limits[split])
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
    """The store of shapes at hand as it was given; None where it is not there."""
    if places.shapes is None:
        return None
    path = places.shapes / _SHAPE_FOLDERS[corpus]
    return path if (path / "zarr.json").exists() else None


def shapes_words(places: Places) -> list[str]:
    """How the shapes at hand that rows were run on were fitted, as their stores note it."""
    said = []
    for corpus in _SHAPE_FOLDERS:
        path = _with_val_path(places, corpus)
        if not (path / "zarr.json").exists():
            continue
        store = open_store(path)
        # stores of before note what was given in the place of a parent
        given, spec = store.about.get("given", store.built_identity), store.spec
        overlap = served_values(store.records.to_table(columns=["status", "iou"]), "iou")
        widths = "-".join(map(str, spec.widths))
        said.append(
            f"{corpus}: recipe {given.get('recipe', 'unknown')} on {spec.value_kind}, {widths}, "
            f"{store.layouts[spec.spec_id].views} views of a shape"
            + (f", median IoU {np.median(overlap):.2f}." if len(overlap) else ".")
        )
    return said


def _with_val_path(places: Places, corpus: str) -> Path:
    """The store of shapes as rows are run on it, with a validation split."""
    return places.out / "shapes" / corpus


def why_not(places: Places, row: Row) -> str:
    """Why a row cannot be run here; "" where it can."""
    if row.corpus == "images" or row.recipe:
        return ""
    if row.corpus == "modelnet40":
        if places.modelnet40 is None:
            return "data not at hand"
        return _unfinished(*(places.modelnet40 / split for split in SPLITS))
    path = shapes_store(places, row.corpus)
    if path is None:
        return "no store was given"
    most = open_store(path).layouts[open_store(path).spec.spec_id].views
    return _unfinished(path) or ("" if row.views <= most else f"the store holds {most} views")


def _unfinished(*given: Path) -> str:
    """Which stores that were given cannot be read yet; "" where all can."""
    missing = [str(path) for path in given if not is_whole(path)]
    return f"not there, or not finished: {', '.join(missing)}" if missing else ""


def row_data(places: Places, scale: Scale, row: Row) -> TrainData:
    """The stores of a row, made where they are missing."""
    if row.corpus == "images":
        paths: dict[Split, Path] = {s: image_store(places, scale, s) for s in SPLITS}
    elif row.corpus == "modelnet40":
        assert places.modelnet40 is not None, "why_not says that it is there"
        paths = {split: places.modelnet40 / split for split in SPLITS}
    else:
        given = shapes_store(places, row.corpus)
        assert given is not None, "why_not says that it is there"
        whole = with_val(given, _with_val_path(places, row.corpus))
        paths = dict.fromkeys(SPLITS, whole)
    if row.aligned != "no":
        paths = aligned_like_train(paths, row.aligned)
    return TrainData(**paths)


def aligned_like_train(paths: dict[Split, Path], kind: Kind) -> dict[Split, Path]:
    """All splits carried nearest to one template: the iterated mean of training rows alone.

    What is finished is only checked to be what is asked for, so that whoever reads locks nothing.
    Raises StoreBusy where another process is making one of them.
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
    made, facts = open_store(found["train"]), read_facts(open_files(found["train"]), found["train"])
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
