"""Config of a training run: everything that decides its result, except the data and the device.

This module imports no torch, so that command lines stay quick.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

from inrgen.training.models.catalog import parse_model, to_dict
from inrgen.training.models.config import ModelConfig

Objective = Literal["classify", "contrastive"]
ViewMode = Literal["all", "random"]
MixName = Literal["none", "direct", "permuted", "aligned", "signed"]
Partners = Literal["clean", "leaky"]
Precision = Literal["float32", "bfloat16"]
Schedule = Literal["constant", "cosine"]
Pairs = Literal["views", "augment"]
StatisticsFrom = Literal["rows", "store"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Train a network on weights.

    Attributes:
        model: NAME or NAME,FIELD=VALUE,... of a network: dws, gnn, mlp, signed or values; or your
            own MODULE:CLASS, whose code is then run: an nn.Module built from spec and num_classes.
        objective: classify by labels, or contrastive pre-training, which needs no labels.
        views: number of fits of each training item to learn from, the first ones. Validation and
            test use the first alone.
        view_mode: all serves those views in every epoch; random serves one of them for each item.
        fraction: share of the training items to learn from; a larger share contains a smaller one.
        augment: random changes, applied in order, as inrgen augment takes them; such as
            negation,rotation:bound_deg=20.
        published: use the parametrisation of the published code for augmentations.
        mixup: mix each INR, and its label, with another one: as it is (direct), randomly permuted
            (permuted), aligned by permutation (aligned), or by permutation and sign (signed).
        mixup_beta: draw the mixing share from Beta(b, b), b at most 1, which is uniform.
        partners: clean draws MixUp partners among the rows in use; leaky draws them among all
            views that the store holds of the items in use, as published code does.
        epochs: passes over the training rows.
        batch_size: INRs in an update, on all devices together.
        lr: learning rate of AdamW, after warm-up.
        weight_decay: weight decay of AdamW, as torch defines it.
        warmup: updates over which the learning rate rises from near 0.
        schedule: constant, or cosine, which falls to 0 at the last update.
        label_smoothing: share of each label that is spread over all classes.
        clip_norm: scale gradients down to this norm; 0 leaves them.
        precision: bfloat16 multiplies matrices in that type and keeps weights in float32. On a CPU
            with such products (AVX-512 BF16) gnn took a quarter less time, dws a little more.
        compile: run the network through torch.compile, after a minute or more of compilation. On
            a CPU dws gains nothing, because its attention is compiled already.
        freeze: train the last layer alone, on fixed features: a linear read-out.
        test_curve: also evaluate test rows after every epoch; they never choose the epoch.
        statistics: source of the statistics that inputs are normalised by: measured on the rows in
            use, or kept in the store (inrgen stats).
        pairs: pairs of contrastive training: two views of an item, or one INR changed in two ways.
        temperature: temperature of contrastive training.
        projection: numbers for each INR that contrastive training compares.
        seed: seed of all randomness in the training.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "network": "model freeze",
        "data": "objective views view_mode fraction statistics",
        "augmentation": "augment published mixup mixup_beta partners",
        "contrastive": "pairs temperature projection",
        "optimiser": (
            "epochs batch_size lr weight_decay warmup schedule label_smoothing clip_norm "
            "precision seed"
        ),
        "run": "compile test_curve",
    }

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
        if self.augment.strip():
            # Transforms need torch, which a command line without them should not wait for.
            from inrgen.transforms import named

            try:
                named.parse_links(self.augment, self.published)
            except ValueError as error:
                raise ValueError(f"augment {self.augment!r}: {error}") from error
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(choices))}; "
                    f"got {getattr(self, name)!r}"
                )
        for name in ("views", "epochs", "batch_size", "projection"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        # The comparison is false for NaN, which is refused with the rest.
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
            raise ValueError("objective contrastive excludes mixup and freeze")
        if self.pairs == "views" and self.views < 2:
            raise ValueError(f"pairs of views need views of at least 2; got {self.views}")
        if self.pairs == "augment" and not self.augment:
            raise ValueError("pairs augment needs augment, or the INRs of a pair would be equal")

    def ignored(self) -> dict[str, str]:
        """Options without effect on this training, each with what it is for."""
        found: dict[str, str] = {}
        if self.objective != "contrastive":
            found |= dict.fromkeys(("pairs", "temperature", "projection"), "objective contrastive")
        else:
            found["label_smoothing"] = "objective classify"
        if self.mixup == "none":
            found |= dict.fromkeys(("mixup_beta", "partners"), "mixup")
        return found if self.augment.strip() else {**found, "published": "augment"}

    @property
    def model_config(self) -> ModelConfig:
        """The config of the network."""
        return parse_model(self.model)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the network's config in full, which a resumed run must match."""
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
