"""A folder of pictures as a source, with classes and splits from the names of folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from inrgen.core.config import SPLITS, Split
from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.folders import Parts, item_id_of, list_files, real_file
from inrgen.sources.items import bucket_split
from inrgen.sources.pictures import decode, is_gray, one_bad_picture, picture_signal

# A fixed list, so that a folder holds the same items with every version of Pillow.
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .pbm .pcx .pgm .png .pnm "
    ".ppm .sgi .tga .tif .tiff .webp".split()
)


@contextmanager
def _opened(root: Path, parts: Parts) -> Iterator[Image.Image]:
    """Open a picture and read its header. Raises BadSignal if it cannot or must not be read."""
    real = real_file(root, parts)
    with one_bad_picture(), Image.open(real) as image:
        yield image


def _has_split_folders(root: Path, paths: list[Parts]) -> bool:
    """Whether the top folders are splits. Raises ValueError if only some of them are."""
    tops = {parts[0] if len(parts) > 1 else "" for parts in paths}
    splits, others = tops & set(SPLITS), sorted(tops - set(SPLITS))
    if splits and others:
        stray = others[0] or "loose images"
        raise ValueError(
            f"{root} holds {stray} beside {', '.join(sorted(splits))}: it needs either nothing "
            "but split folders at its top, or none of them (rename a class called train, val or "
            "test)"
        )
    return bool(splits)


def _split_of(folder: str) -> Split:
    return next(split for split in SPLITS if split == folder)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFolder:
    """A Source over picture files; paths[i], in parts below root, is the file of items[i]."""

    facts: SourceFacts
    items: tuple[Item, ...]
    root: Path
    paths: tuple[Parts, ...]

    def load(self, index: int) -> Signal:
        """Decode the picture of items[index] at its own size. Raises BadSignal if that fails."""
        with _opened(self.root, self.paths[index]) as image:
            return picture_signal(decode(image), self.facts.d_out)


def _native_channels(root: Path, paths: list[Parts]) -> int:
    """Return 1 if every readable picture is gray by its header, else 3."""
    first_reason, num_read = "", 0
    for parts in paths:
        try:
            with _opened(root, parts) as image:
                num_read += 1
                if not is_gray(image):
                    return 3
        except BadSignal as reason:
            first_reason = first_reason or f"{'/'.join(parts)} {reason}"
    if not num_read:
        raise ValueError(f"{root} holds no image that can be read; the first: {first_reason}")
    return 1


def open_image_folder(config: SourceConfig) -> ImageFolder:
    """Open the pictures below a folder, ordered by id within each split.

    Layouts: DIR/train|val|test/CLASS/*, DIR/CLASS/*, DIR/*, at any depth. The first folder below
    the split names the class. Labels number the sorted names of all classes of all splits; loose
    pictures have none. Without split folders a hash of the id decides the split. Hidden files and
    files without an image's suffix are skipped; a picture that cannot be decoded is an item whose
    load raises BadSignal.

    channels "auto" looks at the headers of the pictures of all splits, so that train and test
    agree when they are built apart: one output if all are gray, else three.
    """
    if config.download:
        raise ValueError("download cannot fetch an image-folder; it is a folder of your own")
    root = Path(config.data_folder("the images"))
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    root = root.resolve()
    paths = list_files(root, IMAGE_SUFFIXES, config.name)
    if not paths:
        raise ValueError(f"{root} holds no image; those end in {' '.join(sorted(IMAGE_SUFFIXES))}")
    depth = 1 if _has_split_folders(root, paths) else 0
    classes = sorted({parts[depth] for parts in paths if len(parts) > depth + 1})
    labels = {name: label for label, name in enumerate(classes)}
    by_split: dict[Split, list[tuple[Item, Parts]]] = {split: [] for split in SPLITS}
    for parts in paths:
        item_id = item_id_of(parts)
        name = parts[depth] if len(parts) > depth + 1 else ""
        split = _split_of(parts[0]) if depth else bucket_split(item_id)
        item = Item(
            item_id=item_id, split=split, label=labels.get(name, -1), label_name=item_id_of((name,))
        )
        by_split[split].append((item, parts))
    chosen = [
        pair
        for split in config.splits
        for pair in sorted(by_split[split], key=lambda pair: pair[0].item_id)[: config.limit]
    ]
    native = _native_channels(root, paths) if config.channels == "auto" else 1
    facts = SourceFacts(
        name=config.name, value_kind="intensity", d_in=2, d_out=config.num_outputs(native)
    )
    return ImageFolder(
        facts=facts,
        items=tuple(item for item, _ in chosen),
        root=root,
        paths=tuple(parts for _, parts in chosen),
    )
