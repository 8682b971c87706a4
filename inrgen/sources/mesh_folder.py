"""Folders of meshes as a source, with classes and splits from the names of folders."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from inrgen.sources.base import Item, Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.folder_layout import choose_pairs, read_layout
from inrgen.sources.folders import Parts, folder_root, list_files, real_file
from inrgen.sources.mesh_files import FOREIGN_SUFFIXES, MESH_SUFFIXES
from inrgen.sources.shape_signal import load_shape


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
    config: SourceConfig
    # 2 cuts concave polygons by their ears and turns each body outwards.
    reading: int = 2

    def load(self, index: int) -> Signal:
        """Prepare the mesh of items[index]. Raises BadSignal if the file holds no usable mesh."""
        real = real_file(self.root, self.paths[index], self.config.follow_links)
        return load_shape(real, self.items[index].item_id, self.config.shape)


def open_mesh_folder(config: SourceConfig) -> MeshFolder:
    """Open the meshes below a folder, ordered by id within each split.

    Layouts: DIR/CLASS/train|test/* as in ModelNet, DIR/train|val|test/CLASS/*, DIR/CLASS/*, DIR/*;
    read_layout documents the names. "modelnet40" reads DIR/ModelNet40 if
    that exists, and takes the last tenth of each class's training meshes as val. Meshes are read
    when an item is loaded; an unreadable one raises BadSignal then.
    """
    root = folder_root(config, "the meshes")
    # Meshes in other formats become items, too, so that a record shows each.
    suffixes = MESH_SUFFIXES | FOREIGN_SUFFIXES
    paths, left_out = list_files(root, suffixes, config.name, config.follow_links)
    if not paths:
        raise ValueError(f"{root} holds no mesh; those end in {' '.join(sorted(MESH_SUFFIXES))}")
    layout = read_layout(root, paths)
    if config.name == "modelnet40":
        if layout.order != "class/split":
            raise ValueError(f"{root} is not laid out as ModelNet40 is: CLASS/train and CLASS/test")
        layout = replace(layout, pairs=tuple(tail_to_val(layout.pairs)))
    items, paths = choose_pairs(layout.pairs, config)
    facts = SourceFacts(
        name=config.name,
        value_kind=config.shape.value_kind,
        d_in=3,
        d_out=1,
        value_range=config.shape.value_range,
        notes=(layout.describe(left_out),),
    )
    return MeshFolder(facts=facts, items=items, root=root, paths=paths, config=config)
