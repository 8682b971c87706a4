"""A folder of WAV files as a source, with classes and splits from the names of folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.folder_layout import choose_pairs, read_layout
from inrgen.sources.folders import Parts, folder_root, list_files, real_file
from inrgen.sources.mesh import Placement
from inrgen.sources.wave_file import read_header, read_wave

AUDIO_SUFFIXES = frozenset((".wav", ".wave"))
# Other sounds become items that are refused: passing over them would look like success.
FOREIGN_SUFFIXES = frozenset(
    ".aac .aif .aiff .au .caf .flac .m4a .mp3 .oga .ogg .opus .w64 .wma".split()
)


def _wave_path(root: Path, parts: Parts, config: SourceConfig) -> Path:
    """The file of an item. Raises BadSignal if it cannot or must not be read."""
    suffix = Path(parts[-1]).suffix.lower()
    if suffix in FOREIGN_SUFFIXES:
        raise BadSignal(f"is a {suffix} file, which inrgen does not read; convert it to .wav")
    return real_file(root, parts, config.follow_links)


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioFolder:
    """A Source over WAV files; paths[i], in parts below root, is the file of items[i]."""

    facts: SourceFacts
    items: tuple[Item, ...]
    root: Path
    paths: tuple[Parts, ...]
    config: SourceConfig

    def load(self, index: int) -> Signal:
        """Decode the sound of items[index] at its own rate; a mono one is repeated for stereo.

        Its placement says which second of the file a coordinate is. Raises BadSignal for a file
        that cannot be read or has other channels.
        """
        path = _wave_path(self.root, self.paths[index], self.config)
        values, header = read_wave(path, self.config.memory_bytes)
        if header.channels not in (1, self.facts.d_out):
            raise BadSignal(f"has {header.channels} channels, where {self.facts.d_out} are fitted")
        values = np.repeat(values, self.facts.d_out // header.channels, axis=1)
        seconds = (len(values) - 1) / header.rate_hz
        return Signal(
            values=torch.from_numpy(values),
            grid=(len(values),),
            placement=Placement(center=(seconds / 2,), scale=2 / seconds),
        )


def _num_channels(root: Path, paths: Sequence[Parts], config: SourceConfig) -> int:
    """Return 1 if every readable sound is mono by its header, else 2."""
    first_reason, found = "", set[int]()
    for parts in paths:
        try:
            path = _wave_path(root, parts, config)
            with path.open("rb") as file:
                found.add(read_header(file, path.stat().st_size).channels)
        except BadSignal as reason:
            first_reason = first_reason or f"{'/'.join(parts)} {reason}"
    if not found:
        raise ValueError(f"{root} holds no sound that can be read; the first: {first_reason}")
    return 1 if found == {1} else 2


def open_audio_folder(config: SourceConfig) -> AudioFolder:
    """Open the WAV files below a folder, ordered by id within each split.

    Layouts and names of splits are those of image-folder. The only coordinate, t, runs from -1 to
    1 over a sound; values are in [-1, 1]. The headers of the sounds of all splits decide the
    outputs, so that train and test agree when they are built apart: one if all are mono, else two.
    """
    root = folder_root(config, "the sounds")
    suffixes = AUDIO_SUFFIXES | FOREIGN_SUFFIXES
    paths, left_out = list_files(root, suffixes, config.name, config.follow_links)
    if not paths:
        raise ValueError(f"{root} holds no sound; those end in {' '.join(sorted(AUDIO_SUFFIXES))}")
    layout = read_layout(root, paths)
    items, chosen = choose_pairs(layout.pairs, config)
    facts = SourceFacts(
        name=config.name,
        value_kind="quantity",
        d_in=1,
        d_out=_num_channels(root, paths, config),
        value_range=(-1.0, 1.0),
        notes=(layout.describe(left_out),),
        coord_order="t",
        usual_recipe="sound",
    )
    return AudioFolder(facts=facts, items=items, root=root, paths=chosen, config=config)
