"""A folder of films as a source: folders of frames, and picture files with several frames."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.folder_layout import choose_pairs, read_layout
from inrgen.sources.folders import Parts, folder_root, list_files
from inrgen.sources.image_folder import (
    FOREIGN_SUFFIXES,
    IMAGE_SUFFIXES,
    native_channels,
    open_picture,
)
from inrgen.sources.listing import counted
from inrgen.sources.pictures import decode, match_channels, one_bad_picture

# Video codecs would be a new dependency; such files become items that are refused, never skipped.
VIDEO_SUFFIXES = frozenset(".avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .webm .wmv".split())
# Not .png and .jpg: a folder of frames may hold those with a preview as their second picture.
ANIMATED_SUFFIXES = frozenset((".gif", ".tif", ".tiff", ".webp"))
_FRAME_SUFFIXES = IMAGE_SUFFIXES | FOREIGN_SUFFIXES
# Memory of a pixel of a film: frames and their one array in float32, and coordinates.
_PIXEL_BYTES = 48


def _suffix(parts: Parts) -> str:
    return Path(parts[-1]).suffix.lower()


def _by_number(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts 2.png before 10.png."""
    # The split alternates texts and digits, so equal places hold equal types.
    return [int(one) if one.isdigit() else one for one in re.split(r"([0-9]+)", name)], name


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let the reason of a bad frame name it."""
    try:
        yield
    except BadSignal as reason:
        raise BadSignal(f"frame {name}: {reason}") from reason


def _check_number(num_frames: int) -> None:
    if num_frames < 2:
        raise BadSignal(f"has {num_frames} frame{'' if num_frames else 's'}; a film needs two")


def _check_memory(num_frames: int, rows: int, columns: int, config: SourceConfig) -> None:
    """Judge a film by its first frame, before any other is decoded. Raises BadSignal."""
    num_bytes = num_frames * columns * rows * _PIXEL_BYTES
    if num_bytes > config.memory_bytes:
        raise BadSignal(
            f"has {num_frames:,} frames of {columns:,} x {rows:,} pixels, which take "
            f"{num_bytes / 1e9:.1f} GB: more than the {config.memory_limit:g} GB of "
            "--memory-limit (--max-side shrinks)"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """A decoded frame of a film, its number or its file's name, and the number of all frames."""

    name: str
    values: Float[np.ndarray, "rows columns d_out"]
    num_frames: int

    @property
    def size(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFolder:
    """A Source over films; paths[i], in parts below root, is the folder or file of items[i].

    num_frames holds the frames of each folder as they were listed, by path.
    """

    facts: SourceFacts
    items: tuple[Item, ...]
    root: Path
    paths: tuple[Parts, ...]
    num_frames: Mapping[Parts, int]
    config: SourceConfig

    def load(self, index: int) -> Signal:
        """Decode the frames of items[index], all of one size, in the order of their numbers.

        Raises BadSignal if a frame, which it names, cannot be read or has another size, and if a
        folder has lost or gained frames since it was listed.
        """
        parts, frames = self.paths[index], list[_Frame]()
        suffix = _suffix(parts)
        if self.root.joinpath(*parts).is_dir():
            films = self._frames_of_folder(parts)
        elif suffix in VIDEO_SUFFIXES:
            raise BadSignal(
                f"is a {suffix} file, which inrgen does not read; make a folder of its frames, as "
                "ffmpeg does"
            )
        else:
            films = self._frames_of_file(parts)
        for frame in films:
            first = frames[0] if frames else frame
            if frame.size != first.size:
                raise BadSignal(
                    f"frame {frame.name} has {frame.size[1]} x {frame.size[0]} pixels, where frame "
                    f"{first.name} has {first.size[1]} x {first.size[0]}"
                )
            _check_memory(frame.num_frames, *frame.size, self.config)
            frames.append(frame)
        film = torch.from_numpy(np.stack([frame.values for frame in frames]))
        return Signal(values=film.flatten(0, 2), grid=tuple(film.shape[:3]))

    def _frames_of_folder(self, parts: Parts) -> Iterator[_Frame]:
        names = (path.name for path in self.root.joinpath(*parts).iterdir())
        frames = [n for n in names if not n.startswith(".") and _suffix((n,)) in _FRAME_SUFFIXES]
        _check_number(len(frames))
        for name in sorted(frames, key=_by_number):
            with _naming(name), open_picture(self.root, (*parts, name), self.config) as image:
                values = self._outputs(decode(image, self.config))
            yield _Frame(name=name, values=values, num_frames=len(frames))
        # last, since the reason of a bad frame says more
        if len(frames) != (listed := self.num_frames[parts]):
            raise BadSignal(f"has {len(frames)} frames now, and had {listed} when it was listed")

    def _frames_of_file(self, parts: Parts) -> Iterator[_Frame]:
        with open_picture(self.root, parts, self.config) as image:
            num_frames = getattr(image, "n_frames", 1)
            _check_number(num_frames)
            for at in range(num_frames):
                with _naming(str(at)), one_bad_picture():
                    image.seek(at)
                    values = self._outputs(decode(image, self.config))
                yield _Frame(name=str(at), values=values, num_frames=num_frames)

    def _outputs(
        self, values: Float[np.ndarray, "rows columns c"]
    ) -> Float[np.ndarray, "rows columns d_out"]:
        """A frame with d_out channels. Raises BadSignal for colour that no option let go."""
        if self.facts.d_out == 1 and bool((values == values[:, :, :1]).all()):
            return values[:, :, :1]
        if self.facts.d_out == 1 and self.config.channels == "auto":
            # The header of an animation describes its first frame alone.
            raise BadSignal("is coloured, where gray is fitted (--channels rgb fits colour)")
        return match_channels(values, self.facts.d_out)


def _is_animated(root: Path, parts: Parts, config: SourceConfig) -> bool:
    """Tell whether a picture file holds several frames. An unreadable one does not."""
    if _suffix(parts) not in ANIMATED_SUFFIXES:
        return False
    try:
        with open_picture(root, parts, config) as image:
            return getattr(image, "is_animated", False)
    except BadSignal:
        return False


def _find_films(root: Path, files: Sequence[Parts], config: SourceConfig) -> dict[Parts, int]:
    """The films that files make: a folder of pictures is one, a file with several frames another.

    A folder that holds an animation holds films, so its still pictures are bad films.

    Returns each film, in order, with the number of frames in its folder; 0 for a file.

    Raises ValueError for pictures beside folders of frames, which belong to no film.
    """
    folders, films = defaultdict[Parts, list[Parts]](list), dict[Parts, int]()
    for parts in counted(files, "files sorted into films"):
        if _suffix(parts) in VIDEO_SUFFIXES:
            films[parts] = 0
        else:
            folders[parts[:-1]].append(parts)
    above = {folder[:depth] for folder in folders for depth in range(len(folder))}
    for folder, frames in folders.items():
        if any(_is_animated(root, parts, config) for parts in frames):
            films |= dict.fromkeys(frames, 0)
        elif folder in above or not folder:
            raise ValueError(
                f"{root.joinpath(*folder)} holds loose pictures, such as {frames[0][-1]}: a film "
                "is a folder of its own with frames, or a file with several frames"
            )
        else:
            films[folder] = len(frames)
    return dict(sorted(films.items()))


def open_video_folder(config: SourceConfig) -> VideoFolder:
    """Open the films below a folder, ordered by id within each split.

    A film is a folder of pictures, its frames by number, or a GIF, TIFF or WebP file of several
    frames. Layouts and names of splits are those of image-folder, with films in the place of
    files. Coordinates are t, y and x, evenly spaced; values are intensities. channels "auto" looks
    at the headers of all frames in folders, and of the first frame in files.
    """
    root = folder_root(config, "the films")
    suffixes = _FRAME_SUFFIXES | VIDEO_SUFFIXES
    files, left_out = list_files(root, suffixes, config.name, config.follow_links)
    pictures = [parts for parts in files if _suffix(parts) not in VIDEO_SUFFIXES]
    if not pictures:
        raise ValueError(f"{root} holds no frames; those end in {' '.join(sorted(IMAGE_SUFFIXES))}")
    films = _find_films(root, files, config)
    layout = read_layout(root, list(films))
    native = native_channels(root, pictures, config) if config.channels == "auto" else 1
    items, chosen = choose_pairs(layout.pairs, config)
    num_files = len(films.keys() & set(files))
    found = f"films that are files: {num_files:,}, folders of frames: {len(films) - num_files:,}"
    facts = SourceFacts(
        name=config.name,
        value_kind="intensity",
        d_in=3,
        d_out=config.num_outputs(native),
        coord_order="tyx",
        notes=(f"{layout.describe(left_out)}; {found}",),
    )
    return VideoFolder(
        facts=facts, items=items, root=root, paths=chosen, num_frames=films, config=config
    )
