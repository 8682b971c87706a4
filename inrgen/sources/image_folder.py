"""A folder of pictures as a source, with classes and splits from the names of folders."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.folder_layout import choose_pairs, read_layout
from inrgen.sources.folders import Parts, folder_root, list_files, real_file
from inrgen.sources.listing import counted
from inrgen.sources.pictures import decode, is_gray, one_bad_picture, picture_signal

# A fixed list, so that a folder holds the same items with every version of Pillow.
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .pbm .pcx .pgm .png .pnm "
    ".ppm .sgi .tga .tif .tiff .webp".split()
)
# Other pictures become items that are refused: passing over them would look like success.
FOREIGN_SUFFIXES = frozenset(
    ".arw .cr2 .cr3 .dng .eps .exr .hdr .heic .heif .jxl .nef .orf .psd .raf .rw2 .svg .xcf".split()
)


@contextmanager
def open_picture(root: Path, parts: Parts, config: SourceConfig) -> Iterator[Image.Image]:
    """Open a picture and read its header. Raises BadSignal if it cannot or must not be read."""
    suffix = Path(parts[-1]).suffix.lower()
    if suffix in FOREIGN_SUFFIXES:
        raise BadSignal(f"is a {suffix} file, which inrgen does not read")
    real = real_file(root, parts, config.follow_links)
    with one_bad_picture(), Image.open(real) as image:
        yield image


def _is_deep_and_clear(path: Path) -> bool:
    """Tell whether a file is a PNG of 16 bits with a transparent value, by its first bytes."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with path.open("rb") as file:
            head = file.read(26)
            # IHDR holds the bit depth, then the type of colour: 0 for gray, 2 for RGB.
            return head[24:26] in (b"\x10\x00", b"\x10\x02") and b"tRNS" in file.read(4096)
    except OSError:
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFolder:
    """A Source over picture files; paths[i], in parts below root, is the file of items[i]."""

    facts: SourceFacts
    items: tuple[Item, ...]
    root: Path
    paths: tuple[Parts, ...]
    config: SourceConfig

    @property
    def reading(self) -> int:
        """2 where the files' headers now decide brightness and transparency as they did not."""
        paths = counted(self.paths, "first bytes read")
        deep = (_is_deep_and_clear(self.root.joinpath(*parts)) for parts in paths)
        tiff = any(parts[-1].lower().endswith((".tif", ".tiff")) for parts in self.paths)
        return 2 if tiff or any(deep) else 1

    def load(self, index: int) -> Signal:
        """Decode the picture of items[index] at its own size. Raises BadSignal if that fails."""
        with open_picture(self.root, self.paths[index], self.config) as image:
            return picture_signal(decode(image, self.config), self.facts.d_out)


def native_channels(root: Path, paths: Sequence[Parts], config: SourceConfig) -> int:
    """Return 1 if every readable picture is gray by its header, else 3."""
    first_reason, num_read = "", 0
    for parts in counted(paths, "headers read"):
        try:
            with open_picture(root, parts, config) as image:
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

    Layouts: DIR/train|val|test/CLASS/*, DIR/CLASS/train|val|test/*, DIR/CLASS/*, DIR/*, at any
    depth; read_layout documents the names. Hidden files and files without an image's suffix are
    skipped; a picture that cannot be decoded is an item whose load raises BadSignal.

    channels "auto" looks at the headers of the pictures of all splits, so that train and test
    agree when they are built apart: one output if all are gray, else three.
    """
    root = folder_root(config, "the images")
    suffixes = IMAGE_SUFFIXES | FOREIGN_SUFFIXES
    paths, left_out = list_files(root, suffixes, config.name, config.follow_links)
    if not paths:
        raise ValueError(f"{root} holds no image; those end in {' '.join(sorted(IMAGE_SUFFIXES))}")
    layout = read_layout(root, paths)
    native = native_channels(root, paths, config) if config.channels == "auto" else 1
    items, chosen = choose_pairs(layout.pairs, config)
    facts = SourceFacts(
        name=config.name,
        value_kind="intensity",
        d_in=2,
        d_out=config.num_outputs(native),
        notes=(layout.describe(left_out),),
    )
    return ImageFolder(facts=facts, items=items, root=root, paths=chosen, config=config)
