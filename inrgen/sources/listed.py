"""Items of a source by their ids, in the order, splits and classes of a list from before.

A store that grows keeps its items' order. Splits and class numbers of a folder may follow from all
its files, so new files would change those of old ones; the list decides instead.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inrgen.sources.audio_folder import AudioFolder
from inrgen.sources.base import Item, Source
from inrgen.sources.image_folder import ImageFolder
from inrgen.sources.mesh_folder import MeshFolder
from inrgen.sources.selection import ChosenItems, ChosenPart
from inrgen.sources.video_folder import VideoFolder

# Sentences name at most so many items.
_MOST_NAMED = 5


def name_items(ids: Sequence[str]) -> str:
    """The first of some items by name, and the number of the others."""
    more = f" and {len(ids) - _MOST_NAMED:,} more" if len(ids) > _MOST_NAMED else ""
    return ", ".join(ids[:_MOST_NAMED]) + more


def item_positions(source: Source, ids: Sequence[str], name: str) -> list[int]:
    """The position of each item in a source. Raises ValueError that names those that are gone.

    Args:
        name: of the source, for the message.
    """
    places = {item.item_id: place for place, item in enumerate(source.items)}
    gone = [item_id for item_id in ids if item_id not in places]
    if gone:
        raise ValueError(
            f"{name} lacks items that the store was built from: {name_items(gone)}; put them back, "
            "or build a new store"
        )
    return [places[item_id] for item_id in ids]


def choose_listed(source: Source, items: Sequence[Item], name: str) -> Source:
    """A source with exactly these items, which differ from its own in order, split and label only.

    Raises as item_positions.
    """
    chosen = item_positions(source, [item.item_id for item in items], name)
    if isinstance(source, ImageFolder | MeshFolder | AudioFolder | VideoFolder):
        paths = tuple(source.paths[place] for place in chosen)
        return replace(source, items=tuple(items), paths=paths)
    whole, index = source, np.array(chosen)
    if isinstance(source, ChosenPart):
        whole, index = source.source, source.items.chosen[index]
    held = list(whole.items)
    for place, item in zip(index.tolist(), items, strict=True):
        held[place] = item
    return ChosenPart(source=whole, items=ChosenItems(items=held, chosen=index))


def keep_labels(old: Sequence[Item], new: Sequence[Item]) -> list[Item]:
    """New items with the class numbers that classes of their names have among the old ones.

    A class that is new takes its own number if that is free, or the next free one.
    """
    known = {item.label_name: item.label for item in old if item.label_name}
    if not known:
        return list(new)
    kept = list[Item]()
    for item in new:
        if item.label_name and item.label_name not in known:
            taken = set(known.values())
            free = item.label not in taken
            known[item.label_name] = item.label if free else max(taken) + 1
        label = known[item.label_name] if item.label_name else item.label
        kept.append(replace(item, label=label))
    return kept
