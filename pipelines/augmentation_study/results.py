"""Results on disk: one JSON file per run, written once and whole, so that a study resumes."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inrgen.training.result import TrainResult
from pipelines.augmentation_study.rows import Row
from pipelines.augmentation_study.scales import Scale

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A row with a seed, and the fold that it tests where the row has folds."""

    row: Row
    seed: int
    fold: int = 0

    @property
    def run_id(self) -> str:
        fold = f".f{self.fold}" if self.row.folds else ""
        return f"{self.row.row_id}.s{self.seed}{fold}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Outcome of a run.

    Attributes:
        run: the run.
        result: result of a training; None for a row of the recipe study.
        config: config of the training, as plain values.
        recipe: figures of a recipe, as `inrgen probe-recipes` has them.
        error: the reason why the run failed, or "".
        transient: the error comes from the machine or a store, not from the row, so the run is
            tried again.
        notes: date, device and duration, which decide nothing.
    """

    run: Run
    result: TrainResult | None
    config: dict[str, Any]
    recipe: dict[str, Any]
    error: str
    notes: dict[str, Any]
    transient: bool = False


def results_folder(out: Path, scale: Scale) -> Path:
    """Folder of the results of a scale."""
    return out / f"results-{scale.tag}"


def is_done(out: Path, scale: Scale, run: Run) -> bool:
    """Tell whether a run has a result, which may be a final error."""
    return _is_kept(results_folder(out, scale) / f"{run.run_id}.json")


def is_final(error: BaseException) -> bool:
    """Tell whether an error belongs to the row, such as options that do not fit together.

    Other errors belong to the machine, such as a full disk, or to a store that is damaged or
    locked (subclasses of ValueError), and may be gone the next time.
    """
    return type(error) is ValueError


def error_text(error: BaseException) -> str:
    """Text of an error as results record it."""
    return f"{type(error).__name__}: {error}"


def _is_kept(path: Path) -> bool:
    """Tell whether a valid result exists; earlier versions also kept transient errors."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    error = facts.get("error", "")
    own = not error or error.startswith(f"{ValueError.__name__}: ")
    return own or facts.get("result") is not None


def write_outcome(out: Path, scale: Scale, outcome: Outcome) -> None:
    """Write a result as a whole, and never over another valid one."""
    assert not outcome.transient, "a transient error is no result"
    folder = results_folder(out, scale)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "augmentation_study": _FORMAT,
        "scale": _json(asdict(scale)),
        "row": asdict(outcome.run.row),
        "seed": outcome.run.seed,
        "fold": outcome.run.fold,
        "config": outcome.config,
        "recipe": outcome.recipe,
        "error": outcome.error,
        "notes": outcome.notes,
        "result": None if outcome.result is None else outcome.result.to_dict(),
    }
    name = f"{outcome.run.run_id}.json"
    half = folder / f"_{os.getpid()}.{name}"
    half.write_text(json.dumps(facts, allow_nan=False) + "\n", encoding="utf-8")
    if not _is_kept(folder / name):
        (folder / name).unlink(missing_ok=True)
    try:
        # A link fails where the name exists, so two processes cannot replace each other's result.
        os.link(half, folder / name)
    except FileExistsError:
        pass  # another process wrote the same run first
    finally:
        half.unlink()


def read_outcomes(out: Path, scale: Scale) -> list[Outcome]:
    """Read all valid results of a scale, by name.

    Raises ValueError for results of another setting of the scale.
    """
    paths = sorted(results_folder(out, scale).glob("[!_]*.json"))
    return [_read(path, scale) for path in paths if _is_kept(path)]


def read_scales(out: Path) -> dict[str, tuple[int, list[Outcome]]]:
    """Views and results of every scale in a folder, by tag."""
    found = {}
    for folder in sorted(out.glob("results-*")):
        paths = [path for path in sorted(folder.glob("[!_]*.json")) if _is_kept(path)]
        facts = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        if facts:
            views = facts[0]["scale"]["views"]
            found[folder.name.removeprefix("results-")] = (views, list(map(_outcome, facts)))
    return found


def _deciding(scale: dict[str, Any], model: str) -> dict[str, Any]:
    """Reduce a scale to the facts that decide a result: of its networks only the row's."""
    return _json({**scale, "models": scale.get("models", {}).get(model)})


def _json(facts: dict[str, Any]) -> dict[str, Any]:
    """Pass facts through JSON, which turns tuples into lists."""
    return json.loads(json.dumps(facts))


def _read(path: Path, scale: Scale) -> Outcome:
    facts = json.loads(path.read_text(encoding="utf-8"))
    if facts.get("augmentation_study") != _FORMAT:
        raise ValueError(f"{path} is not a result of this version of the study")
    there, here = (_deciding(s, facts["row"]["model"]) for s in (facts["scale"], asdict(scale)))
    # A fact that an earlier version did not record reads as None, the default of lr.
    differing = [name for name in here if there.get(name) != here[name]]
    if differing:
        raise ValueError(
            f"{path} was run at another scale, which differs in {', '.join(differing)}; "
            "choose another out, or remove those results"
        )
    return _outcome(facts)


def _outcome(facts: dict[str, Any]) -> Outcome:
    result = facts["result"]
    return Outcome(
        # Earlier versions had no folds.
        run=Run(row=Row(**facts["row"]), seed=facts["seed"], fold=facts.get("fold", 0)),
        result=None if result is None else TrainResult.from_dict(result),
        config=facts["config"],
        recipe=facts["recipe"],
        error=facts["error"],
        notes=facts["notes"],
    )
