"""Splits and classes from the names of folders, and a sentence that says what was understood."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inrgen.core.config import SPLITS, Split
from inrgen.core.escape import one_line
from inrgen.sources.base import BadSignal, Item
from inrgen.sources.config import SourceConfig
from inrgen.sources.folders import Parts, item_id_of, real_file
from inrgen.sources.items import bucket_splits
from inrgen.sources.selection import choose_positions

# Position of the split in a path: first, after the class, or absent.
Order = Literal["split/class", "class/split", "class"]

# Names of splits in use, in lower case: torchvision, mnist_png, Keras, Kaggle, Hugging Face.
_SPLIT_NAMES: dict[str, Split] = {
    **dict[str, Split].fromkeys(("train", "training", "train_set", "trainset"), "train"),
    **dict[str, Split].fromkeys(
        ("val", "valid", "validation", "validate", "dev", "val_set"), "val"
    ),
    **dict[str, Split].fromkeys(("test", "testing", "test_set", "testset"), "test"),
}
# Folders that only hold files, as in Tiny-ImageNet's train/n01443537/images and val/images.
_HOLDERS = frozenset({"images", "image", "imgs", "img", "jpegimages", "pictures", "photos"})
# Names of classes in a sentence; the rest is a number.
_MOST_NAMES = 8


def _named_split(folder: str) -> Split | None:
    return _SPLIT_NAMES.get(folder.lower())


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderLayout:
    """The items of a folder, each with its path, and what its folders were taken for.

    annotations names the files that gave classes where folders do not.
    """

    order: Order
    pairs: tuple[tuple[Item, Parts], ...]
    annotations: tuple[str, ...] = ()

    def describe(self, left_out: Mapping[str, int]) -> str:
        """Splits, classes and counts in a sentence, for a person to check before any work.

        Args:
            left_out: how many files of which suffix are no items.
        """
        items = [item for item, _ in self.pairs]
        num = f"{len(items):,} item{'' if len(items) == 1 else 's'}"
        counts = Counter(item.split for item in items)
        said = {
            "split/class": "top folders name splits",
            "class/split": "folders below the classes name splits",
            "class": "no folder names a split, so a hash of each name chose it (80/10/10; classes "
            "with enough items have one in val and test)",
        }[self.order]
        parts = [num, f"{said}: {', '.join(f'{s} {counts[s]:,}' for s in SPLITS if counts[s])}"]
        parts += _describe_classes(items)
        parts += [f"classes read from {one_line(name)}" for name in self.annotations]
        if left_out:
            kinds = ", ".join(f"{n:,} {suffix}" for suffix, n in sorted(left_out.items()))
            parts.append(f"left out: {kinds}")
        return "; ".join(parts)


def _short(names: Iterable[str]) -> str:
    names = sorted(names)
    shown = [one_line(name) for name in names]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(shown[:_MOST_NAMES]) + more


def _describe_classes(items: Sequence[Item]) -> list[str]:
    """Phrases about classes: their names, and those that only one split has."""
    classes: defaultdict[str, set[Split]] = defaultdict(set)
    for item in items:
        if item.label >= 0:
            classes[item.label_name].add(item.split)
    if not classes:
        return ["no classes"]
    parts = [f"{len(classes):,} {'class' if len(classes) == 1 else 'classes'}: {_short(classes)}"]
    splits = {split for found in classes.values() for split in found}
    for split in SPLITS:
        only = [name for name, found in classes.items() if found == {split}]
        if only and len(splits) > 1:
            parts.append(f"only in {split}: {_short(only)}")
    num_bare = sum(item.label < 0 for item in items)
    return parts + ([f"{num_bare:,} items without a class"] if num_bare else [])


def _find_order(root: Path, paths: Sequence[Parts]) -> Order:
    """Find the folders that name splits. Raises ValueError if only some of them do."""
    firsts = {parts[0] if len(parts) > 1 else "" for parts in paths}
    seconds = {parts[1] if len(parts) > 2 else "" for parts in paths}
    choices: tuple[tuple[Order, set[str]], ...] = (
        ("split/class", firsts),
        ("class/split", seconds),
    )
    for order, names in choices:
        if all(map(_named_split, names)):
            return order
    for _, names in choices:
        splits = [name for name in names if _named_split(name)]
        if splits:
            stray = sorted(names - set(splits))[0] or "loose files"
            raise ValueError(
                f"{root} holds {_short([stray])} beside {_short(splits)}: folders must name the "
                "split of every file (DIR/train/CLASS or DIR/CLASS/train) or of none; move the "
                "others, or rename a class that is called like a split"
            )
    return "class"


def _without_wrapper(paths: Sequence[Parts]) -> list[Parts]:
    """Drop a top folder that wraps a whole data set, as mnist_png/training/0/1.png does.

    A lone class with splits (chair/train/1.off) has no further folder below them.
    """
    inner = [parts[1:] for parts in paths]
    tops = {parts[0] for parts in paths}
    if len(tops) == 1 and not _named_split(next(iter(tops))):
        wrapped = all(len(parts) > 2 and _named_split(parts[0]) for parts in inner)
        holds = next(iter(tops)).lower() in _HOLDERS and all(len(parts) > 1 for parts in inner)
        if wrapped or holds:
            return inner
    return list(paths)


def _class_of(parts: Parts, order: Order, alone: set[Parts]) -> str:
    """The first folder that names neither a split nor just holds the files; "" for none."""
    place = {"split/class": 0, "class/split": 1, "class": -1}[order]
    for at, folder in enumerate(parts[:-1]):
        holder = folder.lower() in _HOLDERS and parts[: at + 1] in alone
        if at != place and not holder:
            return folder
    return ""


def _lone_folders(paths: Iterable[Parts]) -> set[Parts]:
    """Folders that are the only one in their parent folder."""
    children: defaultdict[Parts, set[str]] = defaultdict(set)
    for parts in paths:
        for at in range(len(parts) - 1):
            children[parts[:at]].add(parts[at])
    return {(*parent, next(iter(names))) for parent, names in children.items() if len(names) == 1}


def _read_annotations(root: Path, folder: Parts) -> dict[str, str] | None:
    """The class of each file that Tiny-ImageNet's val/val_annotations.txt names; None without one.

    A line holds a file's name, its class and a box, with tabs between them.
    """
    file = (*folder, f"{folder[-1]}_annotations.txt")
    if not root.joinpath(*file).is_file():
        return None
    try:
        text = real_file(root, file).read_text("utf-8", "strict")
        pairs = [line.split("\t")[:2] for line in text.splitlines() if line]
        return {name: kind for name, kind in pairs if kind}
    except (BadSignal, ValueError) as error:
        raise ValueError(
            f"{root.joinpath(*file)} must name a file and its class on each line, with a tab "
            f"between them: {error}"
        ) from error


def _annotated(root: Path, paths: Iterable[Parts]) -> tuple[dict[Parts, str], list[str]]:
    """Classes by path, of files whose split has annotations, and the names of those files."""
    found, named = dict[Parts, str](), list[str]()
    tables: dict[Parts, dict[str, str] | None] = {}
    for parts in paths:
        # the split's folder holds the pictures, or a folder that only holds them
        above = parts[:-1]
        folder = above[:-1] if above and above[-1].lower() in _HOLDERS else above
        if not folder or not _named_split(folder[-1]):
            continue
        if folder not in tables:
            tables[folder] = _read_annotations(root, folder)
            if tables[folder] is not None:
                named.append("/".join((*folder, f"{folder[-1]}_annotations.txt")))
        kind = (tables[folder] or {}).get(parts[-1])
        if kind is not None:
            found[parts] = kind
    return found, named


def read_layout(root: Path, paths: Sequence[Parts]) -> FolderLayout:
    """Find splits and classes in the names of folders.

    The usual names of splits count in any case, before the class or after it; the first other
    folder names the class, or Tiny-ImageNet's val/val_annotations.txt. Labels number the sorted
    classes of all splits; a file without a class has -1. Where no folder names a split, a hash of
    the item's id decides.

    Raises ValueError if folders name the split of some files and not of others, and for
    annotations that cannot be read.
    """
    bare = _without_wrapper(paths)
    annotated, annotations = _annotated(root, paths)
    order, alone = _find_order(root, bare), _lone_folders(bare)
    names = [
        annotated.get(path) or _class_of(parts, order, alone)
        for path, parts in zip(paths, bare, strict=True)
    ]
    labels = {name: label for label, name in enumerate(sorted(set(names) - {""}))}
    ids = [item_id_of(parts) for parts in paths]
    if order == "class":
        splits: list[Split] = bucket_splits(ids, names)
    else:
        place = 0 if order == "split/class" else 1
        splits = [_SPLIT_NAMES[parts[place].lower()] for parts in bare]
    pairs = tuple(
        (
            Item(
                item_id=item_id,
                split=split,
                label=labels.get(name, -1),
                label_name=item_id_of((name,)),
            ),
            parts,
        )
        for item_id, split, name, parts in zip(ids, splits, names, paths, strict=True)
    )
    return FolderLayout(order=order, pairs=pairs, annotations=tuple(annotations))


def choose_pairs(
    pairs: Iterable[tuple[Item, Parts]], config: SourceConfig
) -> tuple[tuple[Item, ...], tuple[Parts, ...]]:
    """The items that config asks for and their paths, by id within a split."""
    by_id = sorted(pairs, key=lambda pair: pair[0].item_id)
    chosen = [by_id[at] for at in choose_positions([item for item, _ in by_id], config)]
    return tuple(item for item, _ in chosen), tuple(parts for _, parts in chosen)
