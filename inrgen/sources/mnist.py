"""MNIST and Fashion-MNIST from their idx files, laid out as torchvision lays them out."""

from pathlib import Path

from inrgen.sources.arrays import (
    ArraySource,
    LabelledPixels,
    SplitPart,
    array_source,
    test_part,
    train_parts,
)
from inrgen.sources.config import SourceConfig
from inrgen.sources.idx import find_idx, read_idx

# Source name to torchvision's class, whose name is the folder's, too, and names of the labels.
_SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mnist": ("MNIST", tuple("0123456789")),
    "fashion-mnist": (
        "FashionMNIST",
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
}
# The last 5,000 of 60,000 validate; a shorter train file keeps the proportion.
_VAL_ONE_IN = 12


def _read_file_pair(folder: Path, stem: str, num_labels: int) -> LabelledPixels:
    """The images and the labels of one half of the data set."""
    images_path = find_idx(folder, f"{stem}-images-idx3-ubyte")
    labels_path = find_idx(folder, f"{stem}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path} needs one label for each of the {len(images)} images of "
            f"{images_path.name}; got {len(labels)}"
        )
    if len(labels) and labels.max() >= num_labels:
        raise ValueError(
            f"{labels_path} needs labels from 0 to {num_labels - 1}; got {labels.max()}"
        )
    return LabelledPixels(pixels=images[..., None], labels=labels)


def open_mnist(config: SourceConfig) -> ArraySource:
    """MNIST or Fashion-MNIST, by config.name; only the files of the splits asked for are read.

    Train is 0..54,999 of the train file and val its tail, 55,000..59,999; ids keep the file's own
    numbers (train/55000 is the first of val, test/00000 the first of test).
    """
    folder_name, names = _SETS[config.name]
    data = config.data_folder(f"{folder_name}/raw")
    if config.download:
        from inrgen.sources.torchvision_sets import download

        download(folder_name, data)
    folder = Path(data) / folder_name / "raw"
    parts: list[SplitPart] = []
    if config.split != "test":
        parts += train_parts(_read_file_pair(folder, "train", len(names)), _VAL_ONE_IN)
    if config.split in ("all", "test"):
        parts.append(test_part(_read_file_pair(folder, "t10k", len(names))))
    return array_source(config, parts, names)
