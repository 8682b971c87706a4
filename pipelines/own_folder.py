"""Your own folder of images or meshes, from files to a network that classifies them by weights.

    python -m pipelines.own_folder --data DIR --kind images --out OUT

DIR holds train|val|test/CLASS/*, or CLASS/*, which is then cut into splits by hashes of the names.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inrgen.sources.config import SourceConfig
from pipelines.journey import SHAPE, Size, main


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnFolder:
    """Build, align and train on a folder of your own.

    Attributes:
        data: the folder.
        kind: what its files are.
        out: where stores and the run go.
        size: how much is fitted and trained; --size.limit None takes all files.
    """

    data: Path
    kind: Literal["images", "meshes"] = "images"
    out: Path = Path("own-folder")
    size: Size = field(default_factory=lambda: Size(limit=1000, views=3, epochs=40))

    def source(self) -> SourceConfig:
        """All splits there are."""
        name = {"images": "image-folder", "meshes": "mesh-folder"}[self.kind]
        return SourceConfig(name=name, data=str(self.data), limit=self.size.limit, shape=SHAPE)


if __name__ == "__main__":
    sys.exit(main(OwnFolder))
