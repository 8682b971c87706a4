"""Engines are chosen and made by name."""

from dataclasses import replace

import pytest

from inrgen.core.encoding import octave_encoding
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engines import make_engine, resolve_engine

SPEC = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0))
TANH = replace(SPEC, activation="tanh")
FOURIER = SPEC.with_encoding(octave_encoding(2, 2))


@pytest.mark.parametrize("name", ["torch", "cpu", "gpu"])
def test_an_engine_answers_to_its_name(name):
    assert resolve_engine(name, SPEC, FitConfig()) == name
    assert make_engine(name, threads=1).name == name


def test_auto_takes_the_fused_engine_where_it_can_fit():
    assert resolve_engine("auto", SPEC, FitConfig()) == "cpu"
    assert resolve_engine("auto", TANH, FitConfig()) == "torch"
    assert resolve_engine("auto", FOURIER, FitConfig()) == "torch"


def test_an_impossible_engine_is_refused_when_the_build_is_planned(monkeypatch):
    with pytest.raises(ValueError, match="'abacus'"):
        resolve_engine("abacus", SPEC, FitConfig())
    with pytest.raises(ValueError, match="'abacus'"):
        make_engine("abacus")
    with pytest.raises(ValueError, match="SIRENs alone, not tanh; give engine torch"):
        resolve_engine("cpu", TANH, FitConfig())
    with pytest.raises(ValueError, match="not sine on 8 Fourier features"):
        resolve_engine("cpu", FOURIER, FitConfig())
    monkeypatch.setattr("inrgen.fit.engines.has_numba", lambda: False)
    assert resolve_engine("auto", SPEC, FitConfig()) == "torch"
    with pytest.raises(ValueError, match="numba, which is not installed"):
        resolve_engine("cpu", SPEC, FitConfig())
