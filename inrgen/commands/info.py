"""`inrgen info`: the contents of a store, or of a START file, in a few lines."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from inrgen.core.arguments import StoreArgument
from inrgen.core.escape import one_line
from inrgen.core.summary import Summary

if TYPE_CHECKING:
    from inrgen.fit.crumbs import CrumbSurvey
    from inrgen.store.lineage import LineageStep
    from inrgen.store.quality import Quality
    from inrgen.store.reader import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class InfoConfig:
    """Print what a store or a START file holds: networks, conventions, origin, counts and PSNR.

    Attributes:
        store: the store's folder, or a START file that ends in .safetensors.
        lineage: list the ancestors of a derived store back to the source, and check whether each
            is still in its place.
        crumbs: evaluate so many INRs of shapes, spread over the store, and count crumbs: pieces
            of their surfaces beside the largest.
    """

    store: tyro.conf.Positional[StoreArgument]
    lineage: bool = False
    crumbs: int = 0

    def __post_init__(self) -> None:
        if self.crumbs < 0:
            raise ValueError(f"crumbs must not be negative; got {self.crumbs}")


def _in_words(value: object) -> str:
    """A recorded value without the punctuation of Python, on one line."""
    if isinstance(value, dict):
        inner = {
            k: f"({_in_words(v)})" if isinstance(v, dict) else _in_words(v)
            for k, v in value.items()
        }
        return ", ".join(f"{key} {text}" for key, text in inner.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_in_words, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    # Measurements have digits that nobody reads; settings, such as 0.0005, are short.
    if isinstance(value, float) and len(repr(value)) > 10:
        return f"{value:.6g}"
    return one_line(value)


def _short(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec with the number of its frequencies in place of them all."""
    if "encoding" not in spec:
        return spec
    num = len(spec["encoding"]["frequencies"])
    return spec | {"encoding": f"{spec['encoding']['kind']}, {num} frequencies"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreInfo(Summary):
    """Facts of a store.

    Attributes:
        rows_planned: rows of the finished store.
        grown: items that the build and each append added; empty for a store that never grew.
        lineage: the store and its ancestors, if they were asked for.
        crumbs: the crumbs of some shapes, if they were asked for.
    """

    store: str
    rows_planned: int
    specs: dict[str, dict[str, Any]]
    identity: dict[str, Any]
    about: dict[str, Any]
    quality: "Quality"
    grown: tuple[int, ...] = ()
    lineage: "tuple[LineageStep, ...]" = ()
    crumbs: "CrumbSurvey | None" = None

    def text(self) -> str:
        """The facts, a line each."""
        from inrgen.store.lineage import describe_start

        lines = [self.store]
        for spec_id, spec in self.specs.items():
            lines.append(f"networks {spec_id}")
            lines += [f"  {key}: {_in_words(value)}" for key, value in _short(spec).items()]
        facts = self.identity | self.about
        if isinstance(facts.get("start"), dict):
            facts["start"] = describe_start(facts["start"])
        lines += [f"{key}: {_in_words(value)}" for key, value in facts.items()]
        if self.grown:
            first, *later = (f"{count:,}" for count in self.grown)
            lines.append(f"grown: {first} items, then {' and '.join(later)} more")
        lines += self.quality.lines()
        if self.crumbs is not None:
            lines.append(self.crumbs.text())
        if self.quality.rows < self.rows_planned:
            lines.append(f"unfinished: {self.rows_planned - self.quality.rows:,} INRs to go")
        if self.lineage:
            lines += ["lineage, the youngest first:", *(f"  {s.text()}" for s in self.lineage)]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class StartInfo(Summary):
    """Facts of a START file.

    Attributes:
        views: number of starts.
        facts: origin of the starts; LearnedStart documents them.
    """

    start: str
    views: int
    inner_steps: int
    spec: dict[str, Any]
    facts: dict[str, Any]
    size_bytes: int
    sha256: str

    def text(self) -> str:
        """A line for each fact."""
        return "\n".join(
            [
                self.start,
                f"starts: {self.views}, for {self.inner_steps} gradient steps",
                "networks",
                *(f"  {key}: {_in_words(value)}" for key, value in _short(self.spec).items()),
                *(f"{key}: {_in_words(value)}" for key, value in self.facts.items()),
                f"{self.size_bytes:,} bytes, sha256 {self.sha256}",
            ]
        )


def info(config: InfoConfig) -> StoreInfo | StartInfo:
    """Read a store's metadata and records, and weights for crumbs; or read a whole START file.

    Raises:
        ValueError: a START file is damaged, or was asked for lineage or crumbs; or a store of
            other signals than shapes was asked for crumbs.
    """
    path = config.store
    # Stores are folders, so a file with this ending can only be a START file.
    if isinstance(path, Path) and path.suffix == ".safetensors" and path.is_file():
        if config.lineage or config.crumbs:
            raise ValueError(f"lineage and crumbs are for stores; {path} is a START file")
        return _describe_start(path)
    return _describe_store(config)


def _describe_start(path: Path) -> StartInfo:
    from inrgen.fit.starts.start import load_start

    start = load_start(path)
    return StartInfo(
        start=str(path),
        views=start.num_views,
        inner_steps=start.inner_steps,
        spec=start.spec.to_dict(),
        facts=start.facts,
        size_bytes=path.stat().st_size,
        sha256=start.sha256,
    )


def _grown(store: "Store") -> tuple[int, ...]:
    """Items that the build and each append added; () for a store that never grew."""
    if not store.versions:
        return ()
    layout = store.layouts[store.spec.spec_id]
    rows = [0, *(version.rows for version in store.versions), layout.rows]
    return tuple((b - a) // layout.views for a, b in pairwise(rows))


def _describe_store(config: InfoConfig) -> StoreInfo:
    from inrgen.store.lineage import walk_back
    from inrgen.store.quality import measure_quality
    from inrgen.store.reader import open_store

    store, crumbs = open_store(config.store), None
    if config.crumbs:
        # marching cubes and trees take a second to import
        from inrgen.fit.crumbs import survey_crumbs

        crumbs = survey_crumbs(store, config.crumbs)
    return StoreInfo(
        store=str(config.store),
        rows_planned=sum(layout.rows for layout in store.layouts.values()),
        specs={spec_id: spec.to_dict() for spec_id, spec in store.specs.items()},
        identity={k: v for k, v in store.identity.items() if k != "spec"},
        about=store.about,
        quality=measure_quality(store),
        grown=_grown(store),
        lineage=tuple(walk_back(store)) if config.lineage else (),
        crumbs=crumbs,
    )
