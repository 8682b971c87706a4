"""Scales of the study: amount of data, recipe and number of updates."""

from dataclasses import dataclass, replace
from typing import Literal

from inrgen.fit.build_config import BuildRecipe
from inrgen.probes.config import ProbeTraining
from inrgen.training.config import TrainConfig
from inrgen.transforms.named import PUBLISHED, parse_links

ScaleName = Literal["tiny", "small", "whole", "full"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """All facts of a scale that decide a result.

    Attributes:
        name: name of the scale.
        source: source of the images, as in `inrgen build`.
        folder: folder of the stores, within the study's folder.
        train, val, test: items of each split; None takes all.
        views: fits of each training image; validation and test use one.
        recipe: recipe of all fits.
        steps: updates of a run on images; rows with more data make fewer passes.
        shape_steps: updates of a run on shapes.
        contrast_steps: updates of contrastive pre-training.
        batch: INRs per update.
        seeds: trainings of each row by default.
        models: networks that differ from the published ones at this scale, by their names in rows.
        probes: training, validation and test images of each row of the recipe study.
        seed: names the fits' randomness.
        lr: learning rate of all networks, instead of each family's.
    """

    name: ScaleName
    source: str
    folder: str
    train: int | None
    val: int | None
    test: int | None
    views: int
    recipe: BuildRecipe
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
        """Tag of results and reports, with the recipe, steps or lr that differ from the scale's."""
        usual, parts = scale(self.name), [str(self.name)]
        if self.recipe != usual.recipe:
            parts.append(self.recipe)
        if self.steps != usual.steps:
            parts.append(f"{self.steps}-updates")
        if self.lr is not None:
            parts.append(f"lr-{self.lr:g}")
        return "-".join(parts)

    def with_recipe(self, recipe: BuildRecipe) -> "Scale":
        """The same scale with another recipe, in separate stores."""
        if recipe == self.recipe:
            return self
        return replace(self, recipe=recipe, folder=f"{self.folder}-{recipe}")


def scale(name: ScaleName) -> Scale:
    """Return a scale by name."""
    return {"tiny": _tiny, "small": _small, "whole": _whole, "full": _full}[name]()


# Narrow, to save CPU time. Fields that say the default keep results of earlier versions, whose
# networks had other edges and heads, from passing as results of these.
_TINY_GNN = (
    "gnn,edges=all,node=8,edge=4,attention=8,heads=2,node_hidden=8,edge_hidden=4,features=8,"
    "frequencies=4"
)
_SMALL_GNN = (
    "gnn,edges=all,node=32,edge=8,attention=16,heads=2,node_hidden=64,edge_hidden=16,"
    "frequencies=16,dropout=0"
)
_ONE_HEAD = "dws,heads=1,heads_per=block"


def _tiny() -> Scale:
    """Handwritten digits of scikit-learn, to check in minutes that all rows run."""
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
        models={"dws": f"{_ONE_HEAD},channels=8", "gnn": _TINY_GNN},
        probes=(60, 20, 30),
    )


def _small() -> Scale:
    """A twentieth of the published training set, for two cores: 65 passes.

    Fewer passes show nothing about MixUp: after 16 no network overfits yet, and MixUp gains
    nothing. The weights of the fast recipe teach as much as the published ones at a quarter of the
    cost. Batches are small, because few images give few updates. One attention head takes a third
    of the time of eight and has as many weights; the graph network is narrow.
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
        models={"dws": _ONE_HEAD, "gnn": _SMALL_GNN},
        probes=(1500, 300, 1000),
    )


def _whole() -> Scale:
    """All images with one view each, for two cores: as many INRs as the published one-view rows.

    20 passes over fits of the fast recipe, which take a quarter of the time. Both differ from the
    published protocol.
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
        models={"dws": _ONE_HEAD, "gnn": _SMALL_GNN},
        probes=(7000, 1000, 2000),
    )


def _full() -> Scale:
    """Published protocol, for a GPU: about 100 passes over one view, and 10 over ten."""
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
        # The published networks as they are.
        models={},
        probes=(7000, 1000, 2000),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimising:
    """Optimisation of a family of networks, the same in all of its rows."""

    lr: float = 1e-3
    weight_decay: float = 5e-4
    warmup: int = 20


def optimising(model: str) -> Optimising:
    """AdamW settings that secondary sources report: lr 5e-3 for DWS and 1e-3 for the others.

    An MLP, which overfits at once, has a smaller learning rate and more weight decay.
    """
    if model.startswith("mlp"):
        return Optimising(lr=3e-4, weight_decay=0.05)
    return Optimising(lr=5e-3) if model.startswith("dws") else Optimising()


def model_text(scale: Scale, model: str) -> str:
    """Text of a row's network at this scale, as `inrgen train --model` takes it."""
    return scale.models.get(model, model)


def probe_configs() -> tuple[ProbeTraining, ProbeTraining]:
    """Training of the recipe study's MLP and unit-set network."""
    mlp = ProbeTraining(lr=3e-4, epochs=10)
    return mlp, ProbeTraining(hidden=64, dropout=0.2, lr=2e-3, batch=64, epochs=16)


def epochs_for(steps: int, num_rows: int, batch: int) -> int:
    """Number of passes that make about steps updates; incomplete batches are dropped."""
    return max(1, round(steps / max(1, num_rows // batch)))


def train_config(
    scale: Scale, model: str, seed: int, steps: int, num_rows: int, augment: str = "", **row: object
) -> TrainConfig:
    """Make the training config of a row; row holds what differs from TrainConfig's defaults."""
    how = optimising(model)
    links = parse_links(augment) if augment else ()
    return TrainConfig(
        model=model,
        augment=augment,
        # Only the paper's own augmentations have a published parametrisation.
        published=all(link.name in PUBLISHED for link in links),
        epochs=epochs_for(steps, num_rows, scale.batch),
        batch_size=scale.batch,
        lr=how.lr if scale.lr is None else scale.lr,
        weight_decay=how.weight_decay,
        warmup=how.warmup,
        schedule="cosine",
        seed=seed,
        **row,  # pyright: ignore[reportArgumentType]
    )
