"""Networks other than SIREN keep their meaning on cards and in files, or are refused."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inrgen.core.encoding import gaussian_encoding
from inrgen.core.siren import evaluate
from inrgen.exchange.card.snippets import loading_example
from inrgen.exchange.conversion import check_conversion
from inrgen.exchange.export_plan import plan_export
from inrgen.exchange.export_run import run_export
from inrgen.store.reader import open_store
from tests.exchange.conftest import IMAGES, small_store
from tests.exchange.importers import import_folder

FOURIER = replace(IMAGES, activation="relu", omega=(1.0, 1.0)).with_encoding(
    gaussian_encoding(2, 3, 1.0)
)
FINER, GAUSSIAN = (replace(IMAGES, activation=name) for name in ("finer", "gaussian"))
POINTS = np.array([[0.0, 0.0], [0.3, -0.8]])


def function_of(code: str):
    """The function evaluate of an example, alone."""
    found = {"np": np}
    exec(re.search(r"^def evaluate.*?\n\n\n", code, re.DOTALL | re.MULTILINE)[0], found)
    return found


@pytest.mark.parametrize("spec", [FOURIER, FINER, GAUSSIAN], ids=lambda spec: spec.kind)
def test_files_that_carry_the_spec_bring_it_back(spec, tmp_path):
    store = open_store(small_store(tmp_path / "store", spec, 1, "digits"))
    params, points = store.read([0]), torch.from_numpy(POINTS)
    expected = evaluate(spec, params.to(dtype=torch.float64), points)[0].numpy()
    row = params.flat()[0].double().numpy()
    found = function_of(loading_example(spec, PurePosixPath("store")))
    layers = [{"offset": s.offset, "shape": s.shape} for s in spec.layers]
    found["group"] = type("Group", (), {"attrs": {"spec": spec.to_dict(), "layers": layers}})
    np.testing.assert_allclose(found["evaluate"](row, POINTS), expected, atol=1e-9)
    for name in ("safetensors", "huggingface"):
        run_export(plan_export(store.path, name, tmp_path / name), 0)
        import_folder(tmp_path / name, name, tmp_path / f"{name} again")
        again = open_store(tmp_path / f"{name} again")
        assert again.spec == spec
        assert_close(again.read([0]).flat(), params.flat(), rtol=0, atol=0)
    card = (tmp_path / "huggingface" / "README.md").read_text()
    found = function_of(card)
    found |= {"widths": spec.widths, "omega": spec.omega, "offset": spec.output_offset}
    np.testing.assert_allclose(found["evaluate"](row, POINTS), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["dws", "neural-graphs", "scalegmn", "nfn", "fit-a-nef"])
def test_formats_whose_readers_know_no_encoding_refuse_it(name, tmp_path):
    path = small_store(tmp_path / "store", FOURIER, 1, "digits")
    with pytest.raises(ValueError, match="relu on 6 Fourier features"):
        plan_export(path, name, tmp_path / "out")


def test_conversions_that_change_the_function_are_refused():
    with pytest.raises(ValueError, match="omega of finer cannot change"):
        check_conversion(FINER, replace(FINER, omega=(10.0, 10.0)))
    check_conversion(GAUSSIAN, replace(GAUSSIAN, omega=(10.0, 10.0)))
    with pytest.raises(ValueError, match="coord_order cannot change behind Fourier features"):
        check_conversion(FOURIER, replace(FOURIER, coord_order="ij"))
    with pytest.raises(ValueError, match="encoding must stay"):
        check_conversion(FOURIER, FOURIER.with_encoding(gaussian_encoding(2, 3, 2.0)))
