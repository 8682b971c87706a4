"""At what scale the study runs: how much data, which recipe, how many updates."""

from dataclasses import dataclass, replace
from typing import Literal

from inrgen.fit.build_config import RecipeName
from inrgen.probes.config import ProbeTraining
from inrgen.training.config import TrainConfig

ScaleName = Literal["tiny", "small", "whole", "full"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Everything about a scale that decides a result.

    source: where images come from, by its name in inrgen build.
    folder: of the stores, within the study's folder.
    train, val, test: items of each split; None takes all.
    views: fits of each training image; validation and test use one.
    recipe: of all fits. seed: names the fits' randomness.
    steps: updates of a run on images; rows with more data make fewer passes.
    shape_steps: updates of a run on shapes, and contrast_steps of contrastive pre-training.
    batch: INRs of an update.
    seeds: trainings of each row, unless told otherwise.
    models: networks that are not the published ones at this scale, by their names in rows.
    probes: images to learn from, to validate and to test of each row of the recipe study.
    lr: what all networks are optimised from, instead of what each family is by default.
    """

    name: ScaleName
    source: str
    folder: str
    train: int | None
    val: int | None
    test: int | None
    views: int
    recipe: RecipeName
    steps: int
    shape_steps: int
    contrast_steps: int
    batch: int
    seeds: int
    models: dict[str, str]
    probes: tuple[int, int, int]
    seed: int = 0
    lr: float | None = None

    @property
    def tag(self) -> str:
        """What results and reports are filed under; another recipe, steps or lr stand apart."""
        usual, parts = scale(self.name), [str(self.name)]
        if self.recipe != usual.recipe:
            parts.append(self.recipe)
        if self.steps != usual.steps:
            parts.append(f"{self.steps}-updates")
        if self.lr is not None:
            parts.append(f"lr-{self.lr:g}")
        return "-".join(parts)

    def of_recipe(self, recipe: RecipeName) -> "Scale":
        """The same on fits by another recipe, in stores of their own."""
        if recipe == self.recipe:
            return self
        return replace(self, recipe=recipe, folder=f"{self.folder}-{recipe}")


def scale(name: ScaleName) -> Scale:
    """A scale by its name."""
    return {"tiny": _tiny, "small": _small, "whole": _whole, "full": _full}[name]()


# All four rounds: with fewer it would not see every weight. Narrow, for a CPU's time.
_TINY_GNN = (
    "gnn,node=8,edge=4,attention=8,heads=2,node_hidden=8,edge_hidden=4,features=8,frequencies=4"
)
_SMALL_GNN = (
    "gnn,node=32,edge=8,attention=16,heads=2,node_hidden=64,edge_hidden=16,frequencies=16,dropout=0"
)


def _tiny() -> Scale:
    """Handwritten digits that ship with scikit-learn: it shows that all rows run, in minutes."""
    return Scale(
        name="tiny",
        source="digits",
        folder="digits",
        train=120,
        val=40,
        test=60,
        views=3,
        recipe="fast",
        steps=12,
        shape_steps=6,
        contrast_steps=6,
        batch=32,
        seeds=1,
        models={"dws": "dws,heads=1,channels=8", "gnn": _TINY_GNN},
        probes=(60, 20, 30),
    )


def _small() -> Scale:
    """A twentieth of the published training set, for two cores: 65 passes.

    Fewer teach nothing about MixUp: after 16 passes no network overfits yet, and it gains nothing.
    The fast recipe: its weights teach as much as the published ones and cost a quarter. Batches
    are small, since so few images give few updates; one attention head takes a third of the time
    of eight and has as many weights; the graph network is a narrow one.
    """
    return Scale(
        name="small",
        source="fashion-mnist",
        folder="fmnist",
        train=3000,
        val=500,
        test=2000,
        views=10,
        recipe="fast",
        steps=3000,
        shape_steps=300,
        contrast_steps=1500,
        batch=64,
        seeds=1,
        models={"dws": "dws,heads=1", "gnn": _SMALL_GNN},
        probes=(1500, 300, 1000),
    )


def _whole() -> Scale:
    """All images with one view each, for two cores: as many INRs as the published one-view rows.

    20 passes. Of the fast recipe, which is fitted in a quarter of the time; that and the passes
    are what keeps its figures apart from published ones.
    """
    return Scale(
        name="whole",
        source="fashion-mnist",
        folder="fmnist-whole",
        train=None,
        val=None,
        test=None,
        views=1,
        recipe="fast",
        steps=8_580,
        shape_steps=300,
        contrast_steps=4_290,
        batch=128,
        seeds=1,
        models={"dws": "dws,heads=1", "gnn": _SMALL_GNN},
        probes=(7000, 1000, 2000),
    )


def _full() -> Scale:
    """The published protocol, for a GPU: about 100 passes over one view, and 10 over ten."""
    return Scale(
        name="full",
        source="fashion-mnist",
        folder="fmnist-full",
        train=None,
        val=None,
        test=None,
        views=10,
        recipe="published",
        steps=21_400,
        shape_steps=2_000,
        contrast_steps=10_000,
        batch=256,
        seeds=3,
        models={},
        probes=(7000, 1000, 2000),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimising:
    """How a family of networks is optimised, the same in all of its rows."""

    lr: float = 1e-3
    weight_decay: float = 5e-4
    warmup: int = 20


def optimising(model: str) -> Optimising:
    """AdamW as second-hand sources have it for the study, 5e-3 for DWS and 1e-3 for the others.

    An MLP, which overfits at once, is trained more gently.
    """
    if model.startswith("mlp"):
        return Optimising(lr=3e-4, weight_decay=0.05)
    return Optimising(lr=5e-3) if model.startswith("dws") else Optimising()


def model_text(scale: Scale, model: str) -> str:
    """What `inrgen train` would be told for a row's network at this scale."""
    return scale.models.get(model, model)


def probe_configs() -> tuple[ProbeTraining, ProbeTraining]:
    """How the recipe study's MLP and set model are trained."""
    mlp = ProbeTraining(lr=3e-4, epochs=10)
    return mlp, ProbeTraining(hidden=64, dropout=0.2, lr=2e-3, batch=64, epochs=16)


def epochs_for(steps: int, num_rows: int, batch: int) -> int:
    """Passes that make about so many updates; the last batch of a pass is left out if not full."""
    return max(1, round(steps / max(1, num_rows // batch)))


def train_config(
    scale: Scale, model: str, seed: int, steps: int, num_rows: int, **row: object
) -> TrainConfig:
    """The run of a row at a scale; row says what differs from TrainConfig's defaults."""
    how = optimising(model)
    return TrainConfig(
        model=model,
        published=True,
        epochs=epochs_for(steps, num_rows, scale.batch),
        batch_size=scale.batch,
        lr=how.lr if scale.lr is None else scale.lr,
        weight_decay=how.weight_decay,
        warmup=how.warmup,
        schedule="cosine",
        seed=seed,
        **row,  # pyright: ignore[reportArgumentType]
    )
