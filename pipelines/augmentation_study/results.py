"""One JSON file a run: written once and whole, so a study that is stopped goes on where it was."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from inrgen.training.result import TrainResult
from pipelines.augmentation_study.rows import Row
from pipelines.augmentation_study.scales import Scale

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A row with the seed of one training."""

    row: Row
    seed: int

    @property
    def run_id(self) -> str:
        return f"{self.row.row_id}.s{self.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run found.

    result: of a training; None for a row of the recipe study, whose figures are in recipe.
    config: of the training, as plain values.
    recipe: accuracies and costs of a recipe, as `inrgen bench recipe` has them.
    error: why the run failed; "" where it did not.
    passing: whether the error is of the machine or of a store, and not of the row: the run is left
        to be tried again.
    notes: when, where and how long: plain values that decide nothing.
    """

    run: Run
    result: TrainResult | None
    config: dict[str, Any]
    recipe: dict[str, Any]
    error: str
    notes: dict[str, Any]
    passing: bool = False

    @property
    def hits(self) -> Bool[Tensor, " items"]:
        """Which test items were right, in the order of their ids."""
        assert self.result is not None, "only trainings answer for items"
        right = [
            (item, label == said)
            for item, label, said in zip(
                self.result.items, self.result.labels, self.result.predicted, strict=True
            )
        ]
        return torch.tensor([hit for _, hit in sorted(right)])


def results_folder(out: Path, scale: Scale) -> Path:
    """Where the results of a scale are kept."""
    return out / f"results-{scale.tag}"


def is_done(out: Path, scale: Scale, run: Run) -> bool:
    """Whether a run has a result already, be it an error of its own."""
    return _is_kept(results_folder(out, scale) / f"{run.run_id}.json")


def is_own(error: BaseException) -> bool:
    """Whether an error is of the row, so that it would come again: what does not fit together.

    Others are of the machine, such as memory or a disk that is full, or of a store that is damaged
    or another process's (kinds of ValueError), and may be gone the next time.
    """
    return type(error) is ValueError


def said_of(error: BaseException) -> str:
    """An error as outcomes note it."""
    return f"{type(error).__name__}: {error}"


def _is_kept(path: Path) -> bool:
    """Whether a result is there that stands; earlier versions also kept errors that pass."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    error = facts.get("error", "")
    own = not error or error.startswith(f"{ValueError.__name__}: ")
    return own or facts.get("result") is not None


def write_outcome(out: Path, scale: Scale, outcome: Outcome) -> None:
    """Keep a result: all of it or nothing, and never in the place of another one that stands."""
    assert not outcome.passing, "an error that passes is no result"
    folder = results_folder(out, scale)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "augmentation_study": _FORMAT,
        "scale": _json(asdict(scale)),
        "row": asdict(outcome.run.row),
        "seed": outcome.run.seed,
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
        os.link(half, folder / name)
    except FileExistsError:
        pass  # another process was first with the same run
    finally:
        half.unlink()


def read_outcomes(out: Path, scale: Scale) -> list[Outcome]:
    """All results of a scale that stand, by name.

    Raises ValueError for results that another setting of the scale gave.
    """
    paths = sorted(results_folder(out, scale).glob("[!_]*.json"))
    return [_read(path, scale) for path in paths if _is_kept(path)]


def _deciding(scale: dict[str, Any], model: str) -> dict[str, Any]:
    """What of a scale decides a result: of the networks that stand for others the row's alone."""
    return _json({**scale, "models": scale.get("models", {}).get(model)})


def _json(facts: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON, where tuples are lists."""
    return json.loads(json.dumps(facts))


def _read(path: Path, scale: Scale) -> Outcome:
    facts = json.loads(path.read_text(encoding="utf-8"))
    if facts.get("augmentation_study") != _FORMAT:
        raise ValueError(f"{path} is no result of this study, or of another version of it")
    there, here = (_deciding(s, facts["row"]["model"]) for s in (facts["scale"], asdict(scale)))
    differing = [name for name in here if there.get(name) != here[name]]
    if differing:
        raise ValueError(
            f"{path} was run at another scale, which differs in {', '.join(differing)}; "
            "take another out, or remove those results"
        )
    result = facts["result"]
    return Outcome(
        run=Run(row=Row(**facts["row"]), seed=facts["seed"]),
        result=None if result is None else TrainResult.from_dict(result),
        config=facts["config"],
        recipe=facts["recipe"],
        error=facts["error"],
        notes=facts["notes"],
    )
