"""What a loader is asked for that has to do with no store: checked once, before one is opened."""

from dataclasses import dataclass

from inrgen.loaders.order import Share
from inrgen.loaders.position import Position
from inrgen.loaders.shards import OnBadShard


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderConfig:
    """How epochs are shuffled, cut into batches and shared; StreamLoader says what each means."""

    batch_size: int
    drop_last: bool
    seed: int
    rank: int
    world_size: int
    pool_shards: int
    on_bad_shard: OnBadShard
    num_classes: int | None

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
        if self.on_bad_shard not in ("raise", "skip"):
            raise ValueError(f"on_bad_shard must be 'raise' or 'skip'; got {self.on_bad_shard!r}")
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, or None; got {self.num_classes}")

    def share(self, position: Position, num_samples: int) -> Share:
        """This rank's part of an epoch of so many samples, from a position on."""
        return Share(
            start=position.start,
            total=num_samples,
            rank=self.rank,
            world_size=self.world_size,
            batch_size=self.batch_size,
            drop_last=self.drop_last,
        )
