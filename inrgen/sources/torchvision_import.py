"""torchvision, imported lazily and beside any build of torch."""

import importlib
from types import ModuleType

import torch

# torchvision's compiled part registers these; its wheel for CUDA cannot be loaded beside a torch
# for CPUs alone, and then its import fails for want of their schemas. Data sets call neither.
_SCHEMAS = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")
)
_MISSING = "operator torchvision::nms does not exist"
# A library's definitions last as long as the object does.
_fragments: list[torch.library.Library] = []


def import_datasets() -> ModuleType:
    """torchvision.datasets. Raises ValueError in one sentence where it cannot be imported."""
    try:
        return importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise ValueError(f"torchvision is needed for this source and not there: {error}") from error
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise ValueError(f"torchvision does not import beside this torch: {error}") from error
    if not _fragments:
        fragment = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            fragment.define(schema)
        _fragments.append(fragment)
    return importlib.import_module("torchvision.datasets")
