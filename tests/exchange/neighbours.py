"""Small readers that treat files as the neighbours' public loaders do, step by step.

They follow the observed behaviour of those loaders, which are no dependencies of ours. If a loader
guesses from a path, so does its reader here.
"""

import glob
import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import torch


def _load(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def _layers(state):
    """Every loader of the DWSNets family: by "weight" and "bias" in the key, in order."""
    weights = [v for k, v in state.items() if "weight" in k]
    biases = [v for k, v in state.items() if "bias" in k]
    return weights, biases


def deep_weight_space_augmentations(splits_path, split):
    """Cuts paths at the first part named as the folder of splits.json; the label is inside."""
    root, samples = Path(splits_path).parent, []
    for listed in json.loads(Path(splits_path).read_text())[split]:
        parts = list(Path(listed).parts)
        path = root / "/".join(parts[parts.index(root.name) + 1 :])
        state = _load(path)
        label = state.pop("label")
        assert list(state) == [
            f"seq.{i}.{kind}" for i in range(len(state) // 2) for kind in ("weight", "bias")
        ]
        samples.append((path, path.parts[-3], label, *_layers(state)))
    return samples


def dwsnets(splits_path, split):
    """Opens paths as given and turns labels into whole numbers."""
    data = json.loads(Path(splits_path).read_text())[split]
    return [
        (path, int(label), *_layers(_load(path)))
        for path, label in zip(data["path"], data["label"], strict=True)
    ]


def neural_graphs(dataset_dir, splits_path, split):
    """Paths are relative to the data set's folder."""
    data = json.loads((Path(dataset_dir) / splits_path).read_text())[split]
    return [
        (Path(dataset_dir) / path, int(label), *_layers(_load(Path(dataset_dir) / path)))
        for path, label in zip(data["path"], data["label"], strict=True)
    ]


def scalegmn_fashion(dataset_path, split_path, split):
    """The last two parts of a path, put behind the folder's name as text; label inside."""
    samples = []
    for listed in json.loads(Path(split_path).read_text())[split]:
        path = dataset_path + "/".join(listed.split("/")[-2:])
        state = _load(path)
        label = int(state.pop("label"))
        samples.append((path, label, *_layers(state)))
    return samples


def nfn(data_path, prefix="randinit_smaller"):
    """Number and class from the path; keys alternate; numbers have no gap."""
    paths, labels = {}, {}
    for path in glob.glob(os.path.join(data_path, f"{prefix}_[0-9]s/*.pth")):  # noqa: PTH118, PTH207
        index = int(re.search(r"net(\d+)\.pth", path).group(1))
        paths[index] = path
        labels[index] = int(re.search(r"_(\d)s", path).group(1))
    assert sorted(paths) == list(range(len(paths)))
    samples = []
    for index in range(len(paths)):
        state = _load(paths[index])
        keys = list(state)
        assert all(key.endswith("bias") for key in keys[1::2])
        samples.append(
            (index, labels[index], [state[k] for k in keys[0::2]], [state[k] for k in keys[1::2]])
        )
    return samples


def neural_field_arena(path, start, stop):
    """Files by the number after "_"; a range of rows over all of them; kernels as (in, out)."""
    files = sorted(
        Path(path).glob("*.hdf5"), key=lambda f: int(Path(f).stem.split("_")[1].split("-")[0])
    )
    params, labels = [], []
    for file in files:
        with h5py.File(file, "r") as data:
            structure = json.loads(data["param_config"][0])
            params.append(data["params"][:])
            labels.append(data["labels"][:])
            assert len(params[-1]) == len(labels[-1])
    params, labels = np.concatenate(params)[start:stop], np.concatenate(labels)[start:stop]
    cut, at = {}, 0
    for name, shape in structure:
        size = int(np.prod(shape))
        cut[name] = torch.from_numpy(params[:, at : at + size].reshape(-1, *shape))
        at += size
    assert at == params.shape[1]
    return cut, labels.tolist()


def inr2vec(root, split):
    """Files sorted by their number; W and b of each layer one after the other."""
    samples = []
    for path in sorted((Path(root) / split).glob("*.h5"), key=lambda x: int(x.stem)):
        with h5py.File(path, "r") as f:
            points, params = np.array(f.get("pcd")), np.array(f.get("params"))
            label = int(torch.from_numpy(np.array(f.get("class_id"))).long())
        samples.append((points, torch.from_numpy(params).float(), label))
    return samples


def inr2vec_meshes(root, split):
    """The same for meshes: padded arrays that stack, and how much of each is filled."""
    samples = []
    for path in sorted((Path(root) / split).glob("*.h5"), key=lambda x: int(x.stem)):
        with h5py.File(path, "r") as f:
            keys = ("vertices", "num_vertices", "triangles", "num_triangles", "params", "class_id")
            samples.append(tuple(torch.from_numpy(np.array(f.get(key))) for key in keys))
    vertices, counts, triangles, triangle_counts, params, labels = (
        torch.stack(column) for column in zip(*samples, strict=True)
    )
    return [
        (vertices[i][: counts[i]], triangles[i][: triangle_counts[i]], params[i], int(labels[i]))
        for i in range(len(samples))
    ]
