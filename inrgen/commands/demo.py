"""`inrgen demo`: the whole journey on a small scale."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inrgen.core.arguments import LocalPath

if TYPE_CHECKING:
    from inrgen.fit.build import BuildSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """Run the whole journey on handwritten digits of scikit-learn, offline, in about a minute.

    Fits, verifies, reads back, draws and describes a store.

    Attributes:
        out: folder for the store, its pictures and its card.
        images: number of images of each split.
        views: fits of each image.
        workers: fits at a time, one core each; the default is every core, and 0 runs without Ray.
    """

    out: LocalPath = Path("demo")
    images: int = 150
    views: int = 3
    workers: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSummary:
    """Paths of everything that was made, and what was measured on the way."""

    store: Path
    reconstructions: Path
    quality: Path
    card: Path
    croissant: Path
    built: "BuildSummary"
    verified_rows: int
    loaded_rows: int
    loaded_rows_per_s: float
    failed: bool

    def text(self) -> str:
        """The journey in a few lines."""
        return "\n".join(
            [
                self.built.text(),
                f"verified {self.verified_rows:,} rows: "
                + ("something is damaged" if self.failed else "every byte is as written"),
                f"read {self.loaded_rows:,} training rows an epoch back through the loader, "
                f"{self.loaded_rows_per_s:,.0f} rows/s",
                f"originals beside reconstructions: {self.reconstructions}",
                f"quality: {self.quality}",
                f"data card: {self.card}",
            ]
        )

    def document(self) -> dict[str, Any]:
        """The summary as plain values."""
        return asdict(self)


def _read_epochs(store: Path) -> tuple[int, float]:
    """Count the rows of a training epoch, and time a second one, in seconds.

    The first epoch also loads compiled code and checks checksums, so it is not timed.
    """
    from inrgen.loaders.stream import StreamLoader
    from inrgen.store.reader import open_store

    loader = StreamLoader(open_store(store), split="train", batch_size=64)
    first = sum(len(batch.params) for batch in loader)
    began = time.perf_counter()
    second = sum(len(batch.params) for batch in loader)
    assert first == second, "epochs serve the same rows"
    return second, time.perf_counter() - began


def demo(config: DemoConfig) -> DemoSummary:
    """Build, verify, load, draw and describe; a second call goes on where the first stopped."""
    from inrgen.commands.build import build
    from inrgen.commands.card import CardConfig, card
    from inrgen.commands.render import RenderConfig, render
    from inrgen.commands.verify import VerifyConfig, verify
    from inrgen.fit.build_config import BuildConfig
    from inrgen.sources.config import SourceConfig

    store = config.out / "digits"
    source = SourceConfig(name="digits", limit=config.images)
    built = build(BuildConfig(source=source, out=store, views=config.views, workers=config.workers))
    checked = verify(VerifyConfig(store=store))
    rows, seconds = _read_epochs(store)
    pictures = render(RenderConfig(store=store, out=config.out))
    described = card(CardConfig(store=store))
    return DemoSummary(
        store=store,
        reconstructions=pictures.reconstructions,
        quality=pictures.quality,
        card=Path(described.card),
        croissant=Path(described.croissant),
        built=built,
        verified_rows=checked.report.num_rows,
        loaded_rows=rows,
        loaded_rows_per_s=rows / seconds,
        failed=checked.failed,
    )
