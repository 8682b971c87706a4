"""Settings of learn-start, light enough for a command line's help: nothing here imports torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import tyro

from inrgen.core.arguments import LocalPath
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import MESH_SOURCES

StepSizes = Literal["parameter", "layer", "one"]
Order = Literal[1, 2]
Guide = Literal["none", "labels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnStartConfig:
    """Learn starts and step sizes, so that a few gradient steps fit an item; resumes when rerun.

    Only the training split is read, and no labels unless guide asks for them. A part of its items
    is held out to choose the best start. The options under run decide how long it takes; device
    decides the last bits, too.

    Attributes:
        source: the data set, images of one size or shapes; only its training split is read.
        out: the START file, which ends in .safetensors.
        views: starts to learn. View v of every item then begins at start v; more views do not
            change the ones before.
        hidden: widths of the hidden layers, instead of 32 32, and 64 64 for meshes.
        omega: frequency of every sine layer, instead of 30, and 20 for meshes.
        inner_steps: gradient steps that fit an item; by default 6, and 24 for meshes.
        step_sizes: learn a step size for each parameter, for each layer, or one for each start.
        order: 2 differentiates through the gradient steps; 1 treats their gradients as constants,
            in half the time.
        outer_steps: updates of every start.
        batch: items in an update of one start.
        momentum: share of each gradient step that the next one repeats; by default 0, and 0.9 for
            meshes.
        lr: learning rate of the starts, falling to zero along a cosine; by default 3e-4,
            and 3e-3 for meshes.
        step_lr: learning rate of the logarithms of the step sizes, falling likewise.
        points_per_step: pixels drawn anew for each update and image, where 0 takes all of them;
            or points drawn anew for each inner step and shape, where 0 takes 512.
        guide: labels lets the training labels shape the starts, through a small classifier of the
            fitted weights. Weights then teach their classes better, and other tasks perhaps not.
        guide_weight: factor of the classifier's cross entropy beside the mean squared error.
        seed: seed of all randomness.
        device: cpu, cuda or cuda:N; the last bits of a start depend on it.
        threads: cores to use, which change no bit of the result; the default is all of them.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "source": "source",
        "network": "hidden omega",
        "learning": (
            "inner_steps momentum step_sizes order outer_steps batch lr step_lr points_per_step "
            "seed"
        ),
        "guide": "guide guide_weight",
        "run": "device threads",
    }

    source: tyro.conf.OmitArgPrefixes[tyro.conf.PositionalRequiredArgs[SourceConfig]]
    out: LocalPath
    views: int = 10
    hidden: tuple[int, ...] | None = None
    omega: float | None = None
    inner_steps: int | None = None
    step_sizes: StepSizes = "parameter"
    order: Order = 2
    outer_steps: int = 800
    batch: int = 32
    momentum: float | None = None
    lr: float | None = None
    step_lr: float = 2e-2
    points_per_step: int = 0
    guide: Guide = "none"
    guide_weight: float = 0.01
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        # Learning from images that later test a network would leak them into its training data.
        if self.source.split not in ("all", "train"):
            raise ValueError(f"split must be train; starts learn from no {self.source.split} items")
        # A copy that teaches beside its held-out original would choose the start by training items.
        if self.source.copies:
            raise ValueError(
                f"copies are for builds, and starts learn without them; got {self.source.copies}"
            )
        if self.out.suffix != ".safetensors":
            raise ValueError(f"out must end in .safetensors; got {self.out}")
        for name, number in (("views", self.views), ("inner_steps", self.num_inner_steps)):
            if not 1 <= number <= 1000:
                raise ValueError(f"{name} must be from 1 to 1000; got {number}")
        if any(width < 1 for width in self.hidden or ()):
            raise ValueError(f"hidden must be positive widths; got {self.hidden}")
        if self.omega is not None and not 0 < self.omega < math.inf:
            raise ValueError(f"omega must be positive and finite; got {self.omega}")
        for name in ("outer_steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.points_per_step < 0:
            raise ValueError(f"points_per_step must not be negative; got {self.points_per_step}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1; got {self.threads}")
        rates = {"lr": self.start_lr, "step_lr": self.step_lr, "guide_weight": self.guide_weight}
        for name, value in rates.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite; got {value}")
        if not 0 <= self.inner_momentum < 1:
            raise ValueError(f"momentum must be in [0, 1); got {self.inner_momentum}")
        if self.step_sizes not in get_args(StepSizes):
            raise ValueError(
                f"step_sizes must be one of {get_args(StepSizes)}; got {self.step_sizes!r}"
            )
        if self.guide not in get_args(Guide):
            raise ValueError(f"guide must be one of {get_args(Guide)}; got {self.guide!r}")
        if self.order not in get_args(Order):
            raise ValueError(f"order must be 1 or 2; got {self.order}")

    def ignored(self) -> dict[str, str]:
        """Options without effect on these starts, each with what it is for."""
        return {"guide_weight": "guide labels"} if self.guide == "none" else {}

    @property
    def start_lr(self) -> float:
        """lr, or its default for the source."""
        if self.lr is not None:
            return self.lr
        return 3e-3 if self._of_meshes else 3e-4

    @property
    def num_inner_steps(self) -> int:
        """inner_steps, or its default for the source."""
        if self.inner_steps is not None:
            return self.inner_steps
        return 24 if self._of_meshes else 6

    @property
    def inner_momentum(self) -> float:
        """momentum, or its default for the source."""
        if self.momentum is not None:
            return self.momentum
        return 0.9 if self._of_meshes else 0.0

    @property
    def _of_meshes(self) -> bool:
        return self.source.name in MESH_SOURCES

    @property
    def training_source(self) -> SourceConfig:
        """The source with its training split alone."""
        return replace(self.source, split="train")

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the outer loop, as the START file records them."""
        names = ("step_sizes", "order", "outer_steps", "batch", "lr", "step_lr", "points_per_step")
        # A start without labels keeps the facts that it had before guides were known.
        names += ("guide_weight",) if self.guide == "labels" else ()
        # Starts of images without momentum keep theirs, too.
        has_momentum = self.inner_momentum > 0 or self._of_meshes
        shown = {"momentum": self.inner_momentum} if has_momentum else {}
        # lr keeps its place, so that files of the same settings keep their bytes.
        values = {n: self.start_lr if n == "lr" else getattr(self, n) for n in names}
        # Kinds of devices differ in their last bits, their numbers do not.
        return values | shown | {"views": self.views, "device": self.device.split(":")[0]}
