"""How a network is trained: everything that decides the result, but for the data and the device."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from inrgen.training.changes import MixName, make_chain
from inrgen.training.models.catalog import ModelConfig, parse_model, to_dict

Objective = Literal["classify", "contrastive"]
ViewMode = Literal["all", "random"]
Partners = Literal["clean", "leaky"]
Precision = Literal["float32", "bfloat16"]
Schedule = Literal["constant", "cosine"]
Pairs = Literal["views", "augment"]
StatisticsFrom = Literal["rows", "store"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Train a network on weights.

    Attributes:
        model: NAME or NAME,KEY=VALUE,...: dws, gnn, mlp, signed or values, and what they are made
            with.
        objective: classify by labels, or contrastive pre-training, which needs none.
        views: fits of each training item to learn from: the first so many. Validation and test
            use the first alone.
        view_mode: an epoch serves all of those views, or one random view of each item.
        fraction: share of the training items to learn from; a smaller share lies in a larger one.
        augment: random changes, one after another, as inrgen augment takes them; such as
            negation,rotation:bound_deg=20. Also by short names: negation, bias, noise.
        published: take augmentations in the parametrisation of the published code.
        mixup: mix each INR, and its label, with another one: as it is (direct), under a random
            permutation (permuted), or carried nearest by permutation (aligned), by permutation and
            sign (signed).
        mixup_beta: draw the share from Beta(b, b), b at most 1, which is even.
        partners: clean draws whom to mix with among the rows in use; leaky among all views that
            the store holds of the items in use, as published code does.
        epochs: passes over the training rows.
        batch_size: INRs of an update, on all devices together.
        lr: learning rate of AdamW, after warm-up.
        weight_decay: of AdamW, as torch has it.
        warmup: updates over which the learning rate rises from near 0.
        schedule: constant, or cosine falls to 0 at the last update.
        label_smoothing: share of each label that is spread over all classes.
        clip_norm: scale gradients down to this norm; 0 leaves them.
        precision: bfloat16 multiplies matrices in it and keeps weights in float32. On a CPU with
            such products (AVX-512 BF16) gnn took a quarter less time, dws a little more.
        compile: have torch.compile make the network faster, after a minute or two; on a CPU dws
            has compiled parts of its own and gets a quarter slower by it.
        freeze: train the last layer alone, on fixed features: a linear read-out.
        test_curve: evaluate test rows after every epoch, too; they choose nothing.
        statistics: what inputs are normalised by: measured on the rows in use, or those that the
            store keeps (inrgen stats).
        pairs: of contrastive training: two views of an item, or one INR changed in two ways.
        temperature: of contrastive training.
        projection: numbers an INR that contrastive training compares.
        seed: names all randomness of the training.
    """

    model: str = "dws"
    objective: Objective = "classify"
    views: int = 1
    view_mode: ViewMode = "all"
    fraction: float = 1.0
    augment: str = ""
    published: bool = False
    mixup: MixName = "none"
    mixup_beta: float = 1.0
    partners: Partners = "clean"
    epochs: int = 100
    batch_size: int = 256
    lr: float = 1e-3
    weight_decay: float = 5e-4
    warmup: int = 0
    schedule: Schedule = "constant"
    label_smoothing: float = 0.0
    clip_norm: float = 0.0
    precision: Precision = "float32"
    compile: bool = False
    freeze: bool = False
    test_curve: bool = True
    statistics: StatisticsFrom = "rows"
    pairs: Pairs = "augment"
    temperature: float = 0.1
    projection: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        parse_model(self.model)
        make_chain(self.augment, self.published)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(choices))}; "
                    f"got {getattr(self, name)!r}"
                )
        for name in ("views", "epochs", "batch_size", "projection"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("lr", "temperature", "fraction", "mixup_beta"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        for name in ("weight_decay", "warmup", "clip_norm", "label_smoothing"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")
        for name in ("fraction", "mixup_beta", "label_smoothing"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} must be at most 1; got {getattr(self, name)}")
        if self.objective == "contrastive":
            self._check_contrastive()

    def _check_contrastive(self) -> None:
        if self.mixup != "none" or self.freeze:
            raise ValueError("objective contrastive goes with neither mixup nor freeze")
        if self.pairs == "views" and self.views < 2:
            raise ValueError(f"pairs of views need views of at least 2; got {self.views}")
        if self.pairs == "augment" and not self.augment:
            raise ValueError("pairs augment needs augment: else both of a pair are the same")

    @property
    def model_config(self) -> ModelConfig:
        """The network's config, from its text."""
        return parse_model(self.model)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, with the network's config in full: what a run is held to."""
        return {**asdict(self), "model": to_dict(self.model_config)}


_CHOICES: dict[str, Any] = {
    "objective": Objective,
    "view_mode": ViewMode,
    "mixup": MixName,
    "partners": Partners,
    "schedule": Schedule,
    "precision": Precision,
    "statistics": StatisticsFrom,
    "pairs": Pairs,
}
