"""How well weights teach where there are few of them: ridge regression with a kernel."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from inrgen.core.spec import InrSpec
from inrgen.probes.mlp import LabelledRows, ProbeConfig
from inrgen.probes.unit_sets import SetModel

# The kernel's width, in median squared distances of training rows, and the ridge: val chooses.
_WIDTHS = (0.3, 1.0, 4.0)
_RIDGES = (1e-2, 1e-1, 1.0)
# Random networks whose features lie side by side, and how wide each is.
_NUM_NETWORKS = 3
_FEATURES = ProbeConfig(hidden=96)


def kernel_hits(train: LabelledRows, val: LabelledRows, test: LabelledRows) -> Bool[Tensor, " b"]:
    """Which test rows kernel ridge regression on one-hot classes classifies rightly.

    A Gaussian kernel on standardised rows. Nothing is drawn at random, nothing is trained by steps:
    a hundred or two rows, on which small networks differ from seed to seed, give one answer.
    """
    center, spread = train.flat.mean(dim=0), train.flat.std(dim=0, correction=0) + 1e-8
    rows, choose, judge = ((part.flat - center) / spread for part in (train, val, test))
    goal = nn.functional.one_hot(train.labels).to(rows.dtype) * 2 - 1
    apart = [torch.cdist(rows, part).square() for part in (rows, choose, judge)]
    median, eye = apart[0].median().clamp(min=1e-8), torch.eye(len(rows), dtype=rows.dtype)
    best, found = -1.0, torch.zeros_like(test.labels, dtype=torch.bool)
    for width in _WIDTHS:
        own, near_val, near_test = (torch.exp(-part / (width * median)) for part in apart)
        for ridge in _RIDGES:
            answer = torch.linalg.solve(own + ridge * eye, goal)
            chosen = (near_val.mT @ answer).argmax(dim=1) == val.labels
            share = float(chosen.double().mean())
            if share > best:
                best, found = share, (near_test.mT @ answer).argmax(dim=1) == test.labels
    return found


def unit_features(
    spec: InrSpec, train: Float[Tensor, "t p"], flat: Float[Tensor, "b p"], seed: int
) -> Float[Tensor, "b f"]:
    """What random, untrained networks see that see neither order nor signs of hidden units.

    The features of SetModels. train gives the scale of weights. torch's global generator is
    left as it was.
    """
    features = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for number in range(_NUM_NETWORKS):
            torch.manual_seed(_NUM_NETWORKS * seed + number)
            model = SetModel(spec, train, 1, _FEATURES).eval()
            features.append(torch.cat([model.features(part) for part in flat.split(512)]))
    return torch.cat(features, dim=1)
