"""CIFAR-10: from coloured images to a network that classifies them by their INRs' weights.

    python -m pipelines.cifar10 --data DIR --out OUT --size.limit 1000

DIR holds CIFAR-10's binary version, or cifar10_small.npz. The same command resumes a stopped run.
Expect low accuracy: published networks that read weights alone reach 34 to 39 % with all 50,000
images.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from inrgen.sources.config import SourceConfig
from pipelines.journey import Size, main


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar10:
    """Build, align and train on CIFAR-10, with INRs of three outputs.

    Attributes:
        data: the folder that holds the binary version, or cifar10_small.npz.
        out: folder for the stores and the run.
        size: amount of fitting and training; --size.limit None takes all images.
    """

    data: Path
    out: Path = Path("cifar10")
    size: Size = field(default_factory=lambda: Size(limit=1000, views=3, epochs=20))

    def source(self) -> SourceConfig:
        """Source of train, val (the tail of train) and test images."""
        return SourceConfig(name="cifar10", data=str(self.data), limit=self.size.limit)


if __name__ == "__main__":
    sys.exit(main(Cifar10))
