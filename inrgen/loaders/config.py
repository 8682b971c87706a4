"""Options of a loader: validated when they are given, before any store is opened."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from inrgen.core.config import Split
from inrgen.core.config_fields import check_field
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES

ViewChoice = Literal["all", "random", "pairs"]
OnBadShard = Literal["raise", "skip"]

_OBJECTS = ("transforms", "mixup", "normalise_by", "filter", "device")
# Names that a close match would not find.
_RENAMED = {"where": "filter", "transform": "transforms"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderConfig:
    """Rows to serve, their order, and their division into batches and ranks.

    Attributes:
        split: train, val, test or all.
        views: "all" serves every row as a sample; a sequence of view numbers serves those rows
            only. "random" makes each item a sample, and each epoch serves a random view of it.
            "pairs" serves two different views of each item, the other one as batch.second, and
            leaves out items with a single view.
        batch_size: samples in a batch on this rank.
        balance: serve all classes equally often. An epoch then has a part of each frequent class,
            another part every epoch, and repeats rare classes, each time with new draws.
        weights: the share of each store in an epoch; None is in proportion to their sizes.
        seed: seed of all randomness.
        rank, world_size: number of this process and of all processes; each serves its own share.
        drop_last: leave out the samples at an epoch's end that do not fill a batch on every rank.
        pool_shards: shards in each of the eight streams among which samples are shuffled.
        on_bad_shard: "raise" raises DamagedStore. "skip" serves the other rows, warns once for
            each bad shard, and counts in bad_shards and skipped_rows.
        num_classes: classes of the soft labels that MixUp makes; None is the largest label plus
            one.
        spec_id: the architecture to read, where stores hold several.
        cache_dir: folder for shards of stores on a server and for keys of large stores, which any
            number of processes may share; None is this user's own folder among the temporary
            files.
        cache_bytes: upper bound of that folder's size. With room for more than two pools, a shard
            is fetched once an epoch.
    """

    split: Split | Literal["all"] = "train"
    views: ViewChoice | Sequence[int] = "all"
    batch_size: int = 256
    balance: bool = False
    weights: Sequence[float] | None = None
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    pool_shards: int = 2
    on_bad_shard: OnBadShard = "raise"
    num_classes: int | None = None
    spec_id: str | None = None
    cache_dir: str | Path | None = None
    cache_bytes: int = DEFAULT_CACHE_BYTES

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.pool_shards < 1:
            raise ValueError(
                "batch_size and pool_shards must be at least 1; got "
                f"{self.batch_size}, {self.pool_shards}"
            )
        if not 0 <= self.rank < self.world_size:
            raise ValueError(
                f"rank must be in 0..world_size - 1; got {self.rank} of {self.world_size}"
            )
        if self.on_bad_shard not in get_args(OnBadShard):
            raise ValueError(f"on_bad_shard must be 'raise' or 'skip'; got {self.on_bad_shard!r}")
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, or None; got {self.num_classes}")
        if isinstance(self.views, str) and self.views not in get_args(ViewChoice):
            raise ValueError(
                f"views must be one of {list(get_args(ViewChoice))} or numbers; got {self.views!r}"
            )

    @property
    def view_choice(self) -> ViewChoice:
        """The kind of sample: "all" also where views is a sequence of numbers."""
        return self.views if isinstance(self.views, str) else "all"


def replace_fields(config: LoaderConfig, fields: Mapping[str, Any]) -> LoaderConfig:
    """Replace fields by keyword.

    Raises:
        TypeError: a field is unknown; the message names the nearest one.
        ValueError: a value is of another type than its field.
    """
    known = LoaderConfig.__dataclass_fields__
    for name in fields:
        if name not in known:
            nearest = [_RENAMED[name]] if name in _RENAMED else []
            nearest += difflib.get_close_matches(name, [*known, *_OBJECTS], 1)
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; it has {', '.join(known)}"
            raise TypeError(f"StreamLoader has no option {name!r}{hint}")
        check_field(name, get_type_hints(LoaderConfig)[name], fields[name])
    return replace(config, **fields)
