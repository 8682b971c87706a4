"""Some items of a source, opened in a process that has not listed it."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from inrgen.sources.array_file import open_array_part
from inrgen.sources.audio_folder import AudioFolder
from inrgen.sources.base import Source
from inrgen.sources.catalog import open_whole
from inrgen.sources.config import SourceConfig
from inrgen.sources.copies import CopiedSource, copy_items
from inrgen.sources.folders import check_mounted, folder_root
from inrgen.sources.image_folder import ImageFolder
from inrgen.sources.manifest import Places, SourceSlice
from inrgen.sources.mesh_folder import MeshFolder
from inrgen.sources.selection import ChosenItems, ChosenPart
from inrgen.sources.signal_array import SignalArray
from inrgen.sources.video_folder import VideoFolder

_FOLDERS: dict[str, Any] = {
    "image-folder": ImageFolder,
    "mesh-folder": MeshFolder,
    "modelnet40": MeshFolder,
    "audio-folder": AudioFolder,
    "video-folder": VideoFolder,
}
# The files of any other source are read once in a process, however many parts it opens.
_opened_before = lru_cache(maxsize=1)(open_whole)


def item_places(source: Source, config: SourceConfig) -> Places:
    """The place of each item's data, without its copies, for make_slice."""
    if isinstance(source, CopiedSource):
        source = source.source
    if config.name in _FOLDERS:
        assert isinstance(source, ImageFolder | MeshFolder | AudioFolder | VideoFolder), (
            "opened by its name"
        )
        return source.paths
    whole, chosen = source, np.arange(len(source.items))
    if isinstance(source, ChosenPart):
        whole, chosen = source.source, source.items.chosen
    if config.name == "array":
        assert isinstance(whole, SignalArray), "opened by its name"
        return whole.positions[chosen]
    return chosen


def make_slice(source: Source, places: Places, run: slice) -> SourceSlice:
    """A run of a source's items, for open_part in another process; places come from item_places."""
    if not isinstance(source, CopiedSource):
        made = SourceSlice(facts=source.facts, items=source.items[run], places=places[run])
        return _with_frames(made, source)
    chosen = source.items.chosen[run]
    made = SourceSlice(
        facts=source.facts,
        items=[source.items.items[at] for at in chosen.tolist()],
        places=places[chosen]
        if isinstance(places, np.ndarray)
        else [places[at] for at in chosen.tolist()],
        copies=source.items.numbers[run],
    )
    return _with_frames(made, source.source)


def _with_frames(made: SourceSlice, source: Source) -> SourceSlice:
    """The slice with the listed frames of each film, where its source has films."""
    if not isinstance(source, VideoFolder):
        return made
    paths = [tuple(parts) for parts in made.places]
    return replace(made, num_frames=np.array([source.num_frames[parts] for parts in paths]))


def open_part(config: SourceConfig, part: SourceSlice) -> Source:
    """Open some items of a source that another process has listed, in the order of the slice.

    Folders and arrays are opened for these items alone. Other sources are opened once a process.

    Raises:
        ValueError: the items of the source are others than those that were listed.
        FileNotFoundError: a file of the source is missing, or its folder.
    """
    source = _open_originals(config, part)
    if part.copies is None:
        return source
    return copy_items(source, config, np.arange(len(part.copies)), part.copies)


def _open_originals(config: SourceConfig, part: SourceSlice) -> Source:
    if config.name in _FOLDERS:
        root, paths = folder_root(config, "the files"), tuple(part.places)
        check_mounted(root, paths, config.name)
        known: dict[str, Any] = {"facts": part.facts, "items": tuple(part.items), "paths": paths}
        if part.num_frames is not None:
            known["num_frames"] = dict(zip(paths, part.num_frames.tolist(), strict=True))
        return _FOLDERS[config.name](root=root, config=config, **known)
    if config.name == "array":
        return open_array_part(config, part)
    source, places = _opened_before(config), np.asarray(part.places)
    items = ChosenItems(items=source.items, chosen=places)
    if places.max() >= len(source.items) or list(items) != list(part.items):
        raise ValueError(
            f"the items of {config.name} at {config.data} are not those that the build began with: "
            "files were added or removed meanwhile, or workers see another folder"
        )
    return ChosenPart(source=source, items=items)
