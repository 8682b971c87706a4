"""Build settings, light enough for a command line's help: nothing here imports torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import tyro

from inrgen.core.activations import ActivationName
from inrgen.core.arguments import OptionalLocalPath, StoreArgument
from inrgen.core.config_text import check_name, split_one_name
from inrgen.core.encoding import read_encoding
from inrgen.executors.config import ExecutorConfig
from inrgen.sources.config import SourceConfig

RecipeName = Literal["published", "fast", "signed", "sharp", "teach", "inr2vec", "sound", "default"]
# A learned start is no recipe that varies: it brings its own networks and step sizes.
BuildRecipe = Literal[RecipeName, "learned"]
EngineChoice = Literal["auto", "torch", "cpu", "gpu"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """Fit many views of every item of a source into a store; the same command again resumes.

    The options under run decide how long the build takes; of them engine alone decides the result,
    too.

    Attributes:
        source: the data set, and the part of it to take.
        out: the store's folder, created if missing, or s3://BUCKET/PREFIX.
        append: add the items of source that are new to the finished store at out, by the settings
            that it records: networks, recipe, views, seed and engine. Its rows stay as they are,
            bit for bit. An item of the store that has changed or is gone is refused by name.
        views: fits of each item, each from its own random initialisation or learned start; the
            default is 10, or all starts of a START.
        recipe: a recipe, and fields that replace its own, such as published,steps=120,hidden=64-64;
            or FILE.toml, as `inrgen recipe show` writes it. The default is published (default for
            signals that it is not for), or learned with start. published follows the augmentation
            study. fast takes a quarter of the time, and its weights teach as well or better. signed
            is for images whose weights will be aligned with signs, or read by networks that know
            signs. sharp is for reconstruction; its weights teach a classifier little. teach is for
            shapes whose weights teach, at the cost of detail. inr2vec fits shapes with that study's
            large network. sound is for sounds of a second. default fits any other signal: series,
            volumes, films, vector fields. learned
            takes the start that inrgen ships for the source: a few steps, whose weights teach best.
        start: a START file of `inrgen learn-start`: view v of every item takes a few plain
            gradient steps from start v, with the step sizes learned for it. It settles the
            networks and the number of steps.
        engine: the program that fits; auto takes the fastest that can fit this network.
        seed: seed of all randomness of the build.
        stop_psnr: PSNR in dB at which a fit stops early, instead of the recipe's (40 dB, none for
            sharp); inf never stops early.
        num_steps: maximum number of updates, instead of the recipe's.
        points_per_step: points of each signal drawn anew for every update, instead of the
            recipe's or the start's; 0 takes all. Large pictures need a limit, and 2,048 points or
            more cost them little PSNR.
        curvature: take gradient steps divided by the curvature of the loss instead of the learned
            step sizes of start. Shapes gain by it where there are more steps than the start was
            learned for; very small pictures lose.
        lr: learning rate, instead of the recipe's.
        hidden: widths of the hidden layers, instead of the recipe's.
        omega: factor of the input z of every hidden layer's activation, instead of the recipe's;
            of sines, sin(omega z), it is the frequency.
        activation: activation of the hidden layers, instead of the recipe's (sine); it
            brings its usual omega and initial weights.
        encoding: Fourier features that the first layer reads in place of the coordinates, instead
            of the recipe's (none): none, octaves/NUMBER (doubling from half a cycle a unit, along
            each axis), gaussian/NUMBER/SCALE (random, with that deviation in cycles a unit),
            fourier/FREQUENCY/... (one number a coordinate and frequency), or fourier, which is
            gaussian/32/2.
        shared: start view v of every item from the same weights. Items then lie side by side
            without alignment, and their weights teach as they are. The views of an item differ.
        min_psnr: mark rows below this PSNR, in dB, as below_target; by default none are marked.
        workers: fits at a time, one core each; 0 is this process alone, without Ray. By default,
            quick builds run in this process, and others on every core that Ray has.
        address: address of a running Ray cluster, auto or HOST:PORT; the default starts Ray here.
        gpu_share: share of a GPU that each worker holds, for engine gpu. With a quarter, one
            worker fits while others read, measure and write; 1 needs the least memory.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "source": "source",
        "network": "hidden omega activation encoding",
        "fit": "start seed num_steps points_per_step curvature lr stop_psnr min_psnr shared",
        "run": "engine workers address gpu_share",
    }

    source: tyro.conf.OmitArgPrefixes[tyro.conf.PositionalRequiredArgs[SourceConfig]]
    out: StoreArgument
    append: bool = False
    views: int | None = None
    recipe: str | None = None
    start: OptionalLocalPath = None
    engine: EngineChoice = "auto"
    seed: int = 0
    stop_psnr: float | None = None
    num_steps: int | None = None
    points_per_step: int | None = None
    curvature: bool = False
    lr: float | None = None
    hidden: tuple[int, ...] | None = None
    omega: float | None = None
    activation: ActivationName | None = None
    encoding: str | None = None
    shared: bool = False
    min_psnr: float | None = None
    workers: int | None = None
    address: str | None = None
    gpu_share: float = 0.25

    def __post_init__(self) -> None:
        if self.append and self.source.limit is not None:
            raise ValueError("append takes all items that are new; leave out limit")
        if self.views is not None and self.views < 1:
            raise ValueError(f"views must be at least 1; got {self.views}")
        # 0 would store the initial weights, which no one can want from a whole build.
        if self.num_steps is not None and self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1; got {self.num_steps}")
        if self.points_per_step is not None and self.points_per_step < 0:
            raise ValueError(f"points_per_step must not be negative; got {self.points_per_step}")
        if self.hidden is not None and (not self.hidden or min(self.hidden) < 1):
            raise ValueError(f"hidden must be positive widths; got {self.hidden}")
        # "not > 0" also refuses NaN. Most fits are at 0 dB before their first step.
        if self.stop_psnr is not None and not self.stop_psnr > 0:
            raise ValueError(
                f"stop_psnr must be a positive number of dB, or inf; got {self.stop_psnr}"
            )
        for name in ("lr", "omega"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite; got {value}")
        # Made here for its checks, so that it is refused with the command line.
        _ = self.executor
        # Ray takes shares above 1 only as whole GPUs, and one fit uses one GPU.
        if not 0 < self.gpu_share <= 1:
            raise ValueError(f"gpu_share must be over 0 and at most 1; got {self.gpu_share}")
        # records store the seed in 64 bits
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed must fit into 64 bits with its sign; got {self.seed}")
        # NaN compares as false with everything, so it would mark no row.
        if self.min_psnr is not None and not math.isfinite(self.min_psnr):
            raise ValueError(f"min_psnr must be finite, or left out; got {self.min_psnr}")
        if self.recipe is not None and not self.recipe.endswith(".toml"):
            name = split_one_name(self.recipe, "recipe").name
            check_name(name or "published", get_args(BuildRecipe), "recipe")
        if self.encoding is not None:
            read_encoding(self.encoding)
        if self.start is not None or self.is_learned:
            self._check_learned()
        elif self.curvature:
            raise ValueError("curvature needs a learned start; give start, or recipe learned")

    def ignored(self) -> dict[str, str]:
        """Options without effect on this build, each with what it is for."""
        return {"gpu_share": "engine gpu"} if self.engine in ("torch", "cpu") else {}

    @property
    def is_learned(self) -> bool:
        """Tell whether recipe names a learned start."""
        return self.recipe is not None and self.recipe.split(",")[0] == "learned"

    def _check_learned(self) -> None:
        """Refuse options that a learned start settles, so that none is ignored silently."""
        if not (self.recipe is None or self.is_learned):
            raise ValueError(f"start needs recipe learned, or none; got {self.recipe}")
        others = (*("hidden", "omega", "activation", "encoding", "lr", "shared", "stop_psnr"),)
        values = {name: getattr(self, name) for name in others}
        # "is", because 0 equals False
        given = [name for name, v in values.items() if v is not None and v is not False]
        if given:
            raise ValueError(
                "a learned start brings its own networks and step sizes; leave out "
                + ", ".join(given)
            )

    @property
    def executor(self) -> ExecutorConfig:
        """The executor of the fits. They run on Ray: threads would share one interpreter."""
        return ExecutorConfig(scheduler="ray", workers=self.workers, address=self.address)
