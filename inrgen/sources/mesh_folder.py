"""Folders of meshes as a source, with classes and splits from the names of folders."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from inrgen.core.config import SPLITS, Split
from inrgen.sources.base import Item, Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.folders import Parts, item_id_of, list_files, real_file
from inrgen.sources.items import bucket_split
from inrgen.sources.mesh_files import FOREIGN_SUFFIXES, MESH_SUFFIXES
from inrgen.sources.shape_config import ShapeConfig
from inrgen.sources.shape_signal import load_shape

# Position of the split in a path: first, after the class, or absent.
Order = Literal["split/class", "class/split", "class"]


def folder_order(root: Path, paths: Iterable[Parts]) -> Order:
    """Find the folders that name splits. Raises ValueError if only some of them do."""
    firsts = {parts[0] if len(parts) > 1 else "" for parts in paths}
    seconds = {parts[1] if len(parts) > 2 else "" for parts in paths}
    choices: tuple[tuple[Order, set[str]], ...] = (
        ("split/class", firsts),
        ("class/split", seconds),
    )
    for order, names in choices:
        if names <= set(SPLITS):
            return order
        if names & set(SPLITS):
            stray = sorted(names - set(SPLITS))[0] or "loose meshes"
            raise ValueError(
                f"{root} has {stray} beside {', '.join(sorted(names & set(SPLITS)))}: folders must "
                "name the split of every mesh (DIR/CLASS/train or DIR/train/CLASS) or of none"
            )
    return "class"


def _split_and_class(parts: Parts, order: Order) -> tuple[Split | None, str]:
    if order == "class":
        return None, parts[0] if len(parts) > 1 else ""
    place = 0 if order == "split/class" else 1
    split: Split = next(s for s in SPLITS if s == parts[place])
    return split, "/".join(parts[1 - place : 2 - place]) if len(parts) > 2 else ""


def list_items(paths: Sequence[Parts], order: Order) -> Iterator[tuple[Item, Parts]]:
    """Make an item of each path; labels number the sorted class names, -1 for loose meshes."""
    found = [(parts, *_split_and_class(parts, order)) for parts in paths]
    labels = {name: label for label, name in enumerate(sorted({name for *_, name in found} - {""}))}
    for parts, split, name in found:
        item_id = item_id_of(parts)
        item = Item(
            item_id=item_id,
            split=split or bucket_split(item_id),
            label=labels.get(name, -1),
            label_name=item_id_of((name,)),
        )
        yield item, parts


def tail_to_val(items: Iterable[tuple[Item, Parts]]) -> Iterator[tuple[Item, Parts]]:
    """Move the last tenth of each class's training items to val."""
    pairs = sorted(items, key=lambda pair: (pair[0].label, pair[0].split, pair[0].item_id))
    for (_, split), group in groupby(pairs, key=lambda pair: (pair[0].label, pair[0].split)):
        held = list(group)
        num_kept = len(held) - (len(held) // 10 if split == "train" else 0)
        for place, (item, parts) in enumerate(held):
            yield (item if place < num_kept else replace(item, split="val")), parts


@dataclass(frozen=True, kw_only=True, slots=True)
class MeshFolder:
    """A Source over mesh files; paths[i], in parts below root, is the file of items[i]."""

    facts: SourceFacts
    items: tuple[Item, ...]
    root: Path
    paths: tuple[Parts, ...]
    shape: ShapeConfig

    def load(self, index: int) -> Signal:
        """Prepare the mesh of items[index]. Raises BadSignal if the file holds no usable mesh."""
        real = real_file(self.root, self.paths[index])
        return load_shape(real, self.items[index].item_id, self.shape)


def open_mesh_folder(config: SourceConfig) -> MeshFolder:
    """Open the meshes below a folder, ordered by id within each split.

    Layouts: DIR/CLASS/train|test/* as in ModelNet, DIR/train|val|test/CLASS/*, DIR/CLASS/*, DIR/*.
    Without split folders a hash of the id decides the split. "modelnet40" reads DIR/ModelNet40 if
    that exists, and takes the last tenth of each class's training meshes as val. Meshes are read
    when an item is loaded; an unreadable one raises BadSignal then.
    """
    if config.download:
        raise ValueError(f"download cannot fetch {config.name}; name the folder you have it in")
    root = Path(config.data_folder("the meshes"))
    if config.name == "modelnet40" and (root / "ModelNet40").is_dir():
        root = root / "ModelNet40"
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    root = root.resolve()
    # Meshes in other formats become items, too, so that a record shows each.
    paths = list_files(root, MESH_SUFFIXES | FOREIGN_SUFFIXES, config.name)
    if not paths:
        raise ValueError(f"{root} holds no mesh; those end in {' '.join(sorted(MESH_SUFFIXES))}")
    order = folder_order(root, paths)
    pairs = list(list_items(paths, order))
    if config.name == "modelnet40":
        if order != "class/split":
            raise ValueError(f"{root} is not laid out as ModelNet40 is: CLASS/train and CLASS/test")
        pairs = list(tail_to_val(pairs))
    by_id = sorted(pairs, key=lambda pair: pair[0].item_id)
    chosen = [
        pair
        for split in config.splits
        for pair in [pair for pair in by_id if pair[0].split == split][: config.limit]
    ]
    facts = SourceFacts(
        name=config.name,
        value_kind=config.shape.value_kind,
        d_in=3,
        d_out=1,
        value_range=config.shape.value_range,
    )
    return MeshFolder(
        facts=facts,
        items=tuple(item for item, _ in chosen),
        root=root,
        paths=tuple(parts for _, parts in chosen),
        shape=config.shape,
    )
