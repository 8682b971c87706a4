"""What a store holds, in a few lines."""

from dataclasses import asdict, dataclass
from typing import Any

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.store.lineage import LineageStep, walk_back
from inrgen.store.quality import Quality, measure_quality
from inrgen.store.reader import open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class InfoConfig:
    """Say what a store holds: networks, conventions, recipe, counts and PSNR.

    Attributes:
        store: the store's folder.
        lineage: walk back from a derived store to its source, and look whether the stores on the
            way are still where they were.
    """

    store: tyro.conf.Positional[StoreArgument]
    lineage: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreInfo:
    """The facts of a store. rows_planned is what the finished store will hold.

    lineage: the store and its ancestors, where they were asked for.
    """

    store: str
    rows_planned: int
    specs: dict[str, dict[str, Any]]
    identity: dict[str, Any]
    about: dict[str, Any]
    quality: Quality
    lineage: tuple[LineageStep, ...] = ()

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """The facts a line each."""
        lines = [self.store]
        for spec_id, spec in self.specs.items():
            lines.append(f"networks {spec_id}")
            lines += [f"  {key}: {value}" for key, value in spec.items()]
        lines += [f"{key}: {value}" for key, value in (self.identity | self.about).items()]
        lines += self.quality.lines()
        if self.quality.rows < self.rows_planned:
            lines.append(f"unfinished: {self.rows_planned - self.quality.rows:,} INRs to go")
        if self.lineage:
            lines += ["lineage, the youngest first:", *(f"  {s.text()}" for s in self.lineage)]
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def info(config: InfoConfig) -> StoreInfo:
    """Read a store's metadata and records; no weights."""
    store = open_store(config.store)
    return StoreInfo(
        store=str(config.store),
        rows_planned=sum(layout.rows for layout in store.layouts.values()),
        specs={spec_id: spec.to_dict() for spec_id, spec in store.specs.items()},
        identity={k: v for k, v in store.identity.items() if k != "spec"},
        about=store.about,
        quality=measure_quality(store),
        lineage=tuple(walk_back(store)) if config.lineage else (),
    )
