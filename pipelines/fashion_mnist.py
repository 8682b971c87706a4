"""Fashion-MNIST: from images to a network that classifies them by their INRs' weights.

    python -m pipelines.fashion_mnist --data DIR --out OUT --size.limit 3000

DIR holds FashionMNIST/raw. The same command resumes a stopped run.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from inrgen.sources.config import SourceConfig
from pipelines.journey import Size, main


@dataclass(frozen=True, kw_only=True, slots=True)
class FashionMnist:
    """Build, align and train on Fashion-MNIST.

    Attributes:
        data: the folder that holds FashionMNIST/raw.
        out: folder for the stores and the run.
        size: amount of fitting and training; --size.limit None takes all 70,000 images.
    """

    data: Path
    out: Path = Path("fashion-mnist")
    size: Size = field(default_factory=lambda: Size(limit=3000, views=3, epochs=20))

    def source(self) -> SourceConfig:
        """Source of train, val (the tail of train) and test images."""
        return SourceConfig(name="fashion-mnist", data=str(self.data), limit=self.size.limit)


if __name__ == "__main__":
    sys.exit(main(FashionMnist))
