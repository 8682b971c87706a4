"""Options of the training bench."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBench:
    """Time updates of each network (forward, backward, AdamW) on random weights.

    "gnn, literal" has the weights of gnn and gives its logits, computed over all pairs of units as
    relational transformers have been published. "launches" counts the operations of one forward
    and backward pass, and "peak" the memory of their results, both before torch.compile. On a busy
    machine compare CPU time, which does not count waiting.

    Attributes:
        models: NAME or NAME,FIELD=VALUE,... of each network.
        literal: time each gnn beside its literal version.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        batch_size: INRs per update.
        repeats: timed updates, after one untimed; figures are medians.
        device: cpu, cuda, or auto for a GPU where there is one.
        threads: threads on the CPU; on batches this small, more of them wait for each other.
        compile: time the networks compiled by torch.compile.
        precision: bfloat16 multiplies matrices in bfloat16.
        seed: names the networks' first weights and the INRs.
    """

    models: tuple[str, ...] = ("mlp", "dws", "signed", "gnn")
    literal: bool = True
    hidden: tuple[int, ...] = (32, 32)
    batch_size: int = 16
    repeats: int = 3
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    compile: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "repeats", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden needs at least one positive width; got {self.hidden}")
        if not self.models:
            raise ValueError("models needs at least one network; got none")
        from inrgen.training.models.catalog import parse_model

        for text in self.models:
            parse_model(text)
