"""Files filled from a template are those of torch.save, down to the archive's checksums."""

import io
import zipfile

import pytest
import torch

from inrgen.core.params import Params
from inrgen.exchange.formats.state_dicts import (
    net_names,
    read_model,
    seq_names,
    write_models,
)
from tests.exchange.conftest import IMAGES


@pytest.fixture
def params() -> Params:
    flat = torch.randn(4, IMAGES.num_params, generator=torch.Generator().manual_seed(0))
    return Params.from_flat(IMAGES, flat)


def saved(params: Params, index: int, label: int | None) -> dict[str, bytes]:
    """The members of the file that torch.save itself writes for one INR."""
    state = {}
    for layer, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        state[f"seq.{layer}.weight"] = weight[index].clone()
        state[f"seq.{layer}.bias"] = bias[index].clone()
    if label is not None:
        state["label"] = label
    file = io.BytesIO()
    torch.save(state, file)
    return members(file.getvalue())


def members(data: bytes) -> dict[str, bytes]:
    """Members of an archive; zipfile checks every checksum as it reads."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("labels", [(None,) * 4, (3, 7, 3, 300)])
def test_files_are_those_of_torch_but_for_their_own_name(params, tmp_path, labels):
    paths = [tmp_path / f"{index}.pth" for index in range(4)]
    write_models(seq_names(3), params, zip(paths, labels, strict=True))
    names = set()
    for index, (path, label) in enumerate(zip(paths, labels, strict=True)):
        found, wanted = members(path.read_bytes()), saved(params, index, label)
        names.add(found.pop("archive/.data/serialization_id"))
        del wanted["archive/.data/serialization_id"]
        assert found == wanted
        state = torch.load(path, weights_only=True)
        assert state.pop("label", None) == label
        assert list(state) == seq_names(3)
    assert len(names) == 4


def test_they_are_read_back_to_the_bit(params, tmp_path):
    paths = [tmp_path / "a" / f"{index}.pth" for index in range(4)]
    write_models(net_names(3), params, [(path, None) for path in paths])
    found = [read_model(tmp_path / "a", path.name, None).flat for path in paths]
    assert torch.equal(torch.stack([flat for flat in found if flat is not None]), params.flat())


def test_each_inr_needs_its_place(params, tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write_models(seq_names(3), params, [(tmp_path / "0.pth", None)])
