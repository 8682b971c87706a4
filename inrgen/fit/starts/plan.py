"""Learned starts in a build: the choice of a START, its checks, its fit, and its way to workers."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from inrgen.fit.build_config import BuildConfig
from inrgen.fit.config import FitConfig
from inrgen.fit.recipes import recipe
from inrgen.fit.starts.start import LearnedStart, find_shipped_start, load_start, shipped_starts
from inrgen.sources.base import SourceFacts

# Fields of a spec that the source's signals settle; the others are the START's choice.
_SIGNAL_FIELDS = (
    "d_in",
    "d_out",
    "value_kind",
    "value_range",
    "coord_order",
    "coord_range",
    "coord_center",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StartFile:
    """A START by its absolute path and its digest, as a task carries it to a worker."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StartChoice:
    """The learned start of a build, and the file that it came from."""

    file: StartFile
    start: LearnedStart

    @property
    def identity(self) -> dict[str, Any]:
        """The part of a store's identity that names the START."""
        return {
            "sha256": self.file.sha256,
            "inner_steps": self.start.inner_steps,
            "facts": self.start.facts,
        }

    def notes(self, fit: FitConfig) -> tuple[str, ...]:
        """Sentences for a build's summary, about updates other than the learned ones."""
        learned, said = self.start.inner_steps, []
        if fit.num_steps != learned:
            said = [f"{fit.num_steps} steps a fit, where the start was learned for {learned}"]
        if fit.curvature:
            said.append("steps by curvature, where the start has learned step sizes")
        return tuple(said)


def _read_choice(path: str | Path) -> StartChoice:
    start = load_start(path)
    file = StartFile(path=str(Path(path).absolute()), sha256=start.sha256)
    return StartChoice(file=file, start=start)


@lru_cache(maxsize=1)
def read_start(file: StartFile) -> LearnedStart:
    """Read a START in a worker, once. Its content must be that which the build began with."""
    start = load_start(file.path)
    if start.sha256 != file.sha256:
        raise ValueError(
            f"{file.path} has digest {start.sha256[:16]}, where the build began with "
            f"{file.sha256[:16]}: the file was replaced, or workers see another one"
        )
    return start


def choose_start(config: BuildConfig, facts: SourceFacts) -> StartChoice | None:
    """The learned start that a build asks for; None if it asks for none.

    Raises:
        ValueError: no start is shipped for the source, or the START does not fit its signals or
            the number of views.
        FileNotFoundError: there is no such START.
    """
    if config.recipe != "learned" and config.start is None:
        return None
    return open_choice(config.start, config.views or 1, facts)


def open_choice(path: str | Path | None, views: int, facts: SourceFacts) -> StartChoice:
    """Read a START, by default the shipped one, and check that it fits a source's signals.

    Raises ValueError and FileNotFoundError as choose_start does.
    """
    usual = recipe("published", facts).spec
    path = path or find_shipped_start(facts.name, usual.architecture, views)
    if path is None:
        raise ValueError(
            f"recipe learned needs start for {facts.name}, because none is shipped for it; "
            "`inrgen learn-start` makes one"
        )
    choice = _read_choice(path)
    spec = choice.start.spec
    differing = [
        f"{name} {getattr(spec, name)!r}, not {getattr(usual, name)!r}"
        for name in _SIGNAL_FIELDS
        if getattr(spec, name) != getattr(usual, name)
    ]
    if differing:
        raise ValueError(f"{path} does not fit {facts.name}: it has {'; '.join(differing)}")
    if views > choice.start.num_views:
        raise ValueError(
            f"views must be at most {choice.start.num_views}, the starts in {path}; got {views}"
        )
    return choice


def find_recorded_start(
    recorded: dict[str, Any] | None, source_name: str, architecture: str, path: str | Path | None
) -> StartChoice | None:
    """The START that a store was built from; None for a store without one.

    Args:
        recorded: the identity's entry, as StartChoice.identity gives it; None without a start.
        path: a START file; without one, the start that is shipped for the source.

    Raises:
        ValueError: the START is another one, or none is at hand.
        FileNotFoundError: there is no such file.
    """
    if recorded is None:
        if path is not None:
            raise ValueError("this store was built without a learned start; leave out start")
        return None
    digest = recorded["sha256"]
    found = [path] if path is not None else shipped_starts(source_name, architecture)
    choices = [_read_choice(one) for one in found]
    for choice in choices:
        if choice.file.sha256 == digest:
            return choice
    if path is not None:
        raise ValueError(
            f"this store needs the START of digest {digest}; {path} has {choices[0].file.sha256}"
        )
    raise ValueError(
        f"this store was built from a learned start; give start, the START file of digest {digest}"
    )


def learned_fit(num_steps: int, points_per_step: int, curvature: bool = False) -> FitConfig:
    """The fit from a learned start: no early stop, and no field of Adam in use."""
    return FitConfig(
        num_steps=num_steps,
        points_per_step=points_per_step,
        curvature=curvature,
        stop_psnr_db=None,
    )


def fit_of_start(
    start: LearnedStart,
    num_steps: int | None,
    points_per_step: int | None = None,
    curvature: bool = False,
) -> FitConfig:
    """The fit that a start was learned for, or the same with other updates or points of each."""
    steps = start.inner_steps if num_steps is None else num_steps
    learned = start.facts.get("settings", {}).get("points_per_step", 0)
    return learned_fit(steps, learned if points_per_step is None else points_per_step, curvature)


def learned_fit_facts(fit: FitConfig) -> dict[str, int | bool]:
    """The fields of learned_fit as plain JSON; the others decide nothing, so no store has them."""
    facts: dict[str, int | bool] = {
        "num_steps": fit.num_steps,
        "points_per_step": fit.points_per_step,
    }
    # Stores without it keep their identity.
    return facts | {"curvature": True} if fit.curvature else facts
