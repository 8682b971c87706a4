"""Execution of one run: a training, perhaps after pre-training, or the probes of a recipe."""

import hashlib
import json
import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from inrgen.probes.config import ProbeRecipesConfig
from inrgen.probes.recipes import compare_recipes
from inrgen.store.queries import read_items
from inrgen.store.reader import open_store
from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.loop import OnEpoch, run_training
from inrgen.training.result import EpochLog, TrainResult
from pipelines.augmentation_study.results import Outcome, Run, error_text, is_final
from pipelines.augmentation_study.rows import Row, curve_rows
from pipelines.augmentation_study.scales import Scale, model_text, probe_configs, train_config
from pipelines.augmentation_study.stores import Places, run_data, wait_for_store

_SECONDS_UNTOLD = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Setting that all runs share; threads is per run, 0 for torch's own choice."""

    scale: Scale
    places: Places
    device: str
    threads: int


def execute(setting: Setting, run: Run, folder: Path) -> Outcome:
    """Execute one run; an error becomes its outcome, so that the others go on.

    Args:
        folder: the run's folder, where a training is kept from epoch to epoch.
    """
    if setting.threads:
        torch.set_num_threads(setting.threads)
    began, worked = time.perf_counter(), time.process_time()
    error, transient = "", False
    result, config, recipe = None, {}, {}
    try:
        if run.row.recipe:
            recipe = _probe(setting, run)
        else:
            result, config = _train(setting, run, folder)
            error = result.reason
    except (ValueError, OSError, RuntimeError, MemoryError) as failure:
        error, transient = error_text(failure), not is_final(failure)
        traceback.print_exc()
    return Outcome(
        run=run,
        result=result,
        config=config,
        recipe=recipe,
        error=error,
        transient=transient,
        notes={
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "seconds": round(time.perf_counter() - began, 1),
            "processor_seconds": round(time.process_time() - worked, 1),
            "load": round(os.getloadavg()[0], 1),
            "device": _device_name(setting.device),
            "torch": torch.__version__,
        },
    )


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _num_rows(data: TrainData, fraction: float) -> int:
    """Rows of an epoch: one view of each training item."""
    store = open_store(data.train)  # pyright: ignore[reportArgumentType]
    return max(1, round(fraction * len(read_items(store, store.spec.spec_id, "train"))))


def _train(setting: Setting, run: Run, folder: Path) -> tuple[TrainResult, dict[str, Any]]:
    row, scale = run.row, setting.scale
    data = wait_for_store(lambda: run_data(setting.places, scale, run))
    steps = scale.steps if row.corpus == "images" else scale.shape_steps
    config = train_config(
        scale,
        model_text(scale, row.model),
        run.seed,
        steps,
        _num_rows(data, row.fraction),
        augment=row.augment,
        mixup=row.mixup,
        mixup_beta=row.mixup_beta,
        partners=row.partners,
        views=row.views,
        # A pass then has the same number of updates for any number of views.
        view_mode="random" if row.views > 1 else "all",
        fraction=row.fraction,
        freeze=row.pretrained == "linear",
        test_curve=row in curve_rows(scale.views),
    )
    init = None if row.pretrained == "no" else _pretrained(setting, run, data, folder)
    # One folder per config, so that a training that an older version began is not resumed.
    kept = folder / hashlib.sha256(json.dumps(config.to_dict()).encode()).hexdigest()[:16]
    tell = _progress_teller(run.run_id, config.epochs)
    result = run_training(config, data, out=kept, device=setting.device, init=init, on_epoch=tell)
    return result, config.to_dict()


def _progress_teller(name: str, epochs: int) -> OnEpoch:
    """Make a callback that prints progress on stderr, at most once a minute."""
    last = time.monotonic()

    def tell(done: EpochLog) -> None:
        nonlocal last
        if time.monotonic() - last < _SECONDS_UNTOLD:
            return
        last = time.monotonic()
        sys.stderr.write(f"{name}: epoch {done.epoch + 1} of {epochs}\n")
        sys.stderr.flush()

    return tell


def _pretrained(setting: Setting, run: Run, data: TrainData, own: Path) -> Path:
    """Pre-train a network by contrast on all training items without labels; return its folder.

    A pair is two views where there are several, each changed by the published noise and negation,
    else two such changes of one INR. Rows share the network, so it is kept by row and seed.
    """
    row, scale = run.row, setting.scale
    name = f"{Row(model=row.model, views=row.views).row_id}.s{run.seed}"
    folder = setting.places.out / f"pretrained-{scale.tag}"
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / name).exists():
        return folder / name
    config: TrainConfig = train_config(
        scale,
        model_text(scale, row.model),
        run.seed,
        scale.contrast_steps,
        _num_rows(data, 1.0),
        objective="contrastive",
        augment="siren-negation,gaussian-noise",
        pairs="views" if row.views > 1 else "augment",
        views=row.views,
    )
    making, tell = own / "pretraining", _progress_teller(f"{name}, pre-training", config.epochs)
    run_training(config, data, out=making, device=setting.device, on_epoch=tell)
    try:
        # Renamed when whole; another run may have made the same network meanwhile.
        making.rename(folder / name)
    except OSError:
        if not (folder / name).exists():
            raise
    return folder / name


def _probe(setting: Setting, run: Run) -> dict[str, Any]:
    """Probe a recipe on a part of the same images; figures of shapes, NaN here, are left out."""
    scale, data = setting.scale, setting.places.data
    num_train, num_val, num_test = scale.probes
    mlp, set_model = probe_configs()
    bench = ProbeRecipesConfig(
        limit_order="first",  # the items of the stores beside it
        source=scale.source,
        data=None if data is None else str(data),
        recipes=(run.row.recipe,),
        train=num_train,
        val=num_val,
        test=num_test,
        mlp=mlp,
        set_model=set_model,
        # One training per seed of the study; Run.seed names it.
        repeats=1,
        seed=run.seed,
    )
    figures = asdict(compare_recipes(bench)[0])
    of_shapes = ("iou", "chamfer", "crumbed", "crumb_area")
    return {name: figure for name, figure in figures.items() if name not in of_shapes}
