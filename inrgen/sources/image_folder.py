"""A folder of pictures that Pillow opens, of any sizes, by class and split where it says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from inrgen.core.splits import SPLITS, Split
from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.folders import Parts, item_id_of, list_files, real_file
from inrgen.sources.items import bucket_split
from inrgen.sources.pictures import decode, is_gray, one_bad_picture
from inrgen.sources.pixels import picture_signal

# Fixed rather than asked of Pillow, so that a folder holds the same items for every version of it.
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .pbm .pcx .pgm .png .pnm "
    ".ppm .sgi .tga .tif .tiff .webp".split()
)


@contextmanager
def _opened(root: Path, parts: Parts) -> Iterator[Image.Image]:
    """A picture with its header read. Raises BadSignal where that cannot or must not be done."""
    real = real_file(root, parts)
    with one_bad_picture(), Image.open(real) as image:
        yield image


def _has_split_folders(root: Path, paths: list[Parts]) -> bool:
    """Whether the folders at the top are splits. ValueError where only some of what is there is."""
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
    """A Source over files; paths[i], as parts below root, is the file of items[i]."""

    facts: SourceFacts
    items: tuple[Item, ...]
    root: Path
    paths: tuple[Parts, ...]

    def load(self, index: int) -> Signal:
        """The picture of items[index] at its own size; BadSignal where it cannot be read."""
        with _opened(self.root, self.paths[index]) as image:
            return picture_signal(decode(image), self.facts.d_out)


def _native_channels(root: Path, paths: list[Parts]) -> int:
    """1 if the header of every readable picture says gray, 3 as soon as one does not."""
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
    """The pictures below a folder, in the order of their ids within each split.

    Layouts: DIR/train|val|test/CLASS/*, DIR/CLASS/*, DIR/*, at any depth. A class is the first
    folder (below the split), its label the place of its name among all classes, sorted, whichever
    splits are asked for; loose pictures have no label. Without split folders an item falls into
    train, val or test by a hash of its id. Files without an image's suffix, and hidden ones, are
    no items; files with one that cannot be decoded are items whose load raises BadSignal.

    channels "auto" looks at the headers of all pictures, of all splits, so that train and test
    taken apart agree: all gray gives one output, else three. Multi-frame files give their first.
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
