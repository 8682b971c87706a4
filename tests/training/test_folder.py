"""A run's folder that somebody else wrote to is one sentence."""

import json
from typing import get_type_hints

import pytest

from inrgen.training.folder import read_result
from inrgen.training.result import TrainResult


@pytest.mark.parametrize("change", [{"history": [1]}, {"more": 1}, {"confusion": [["x"]]}])
def test_a_result_of_another_form_is_one_sentence(change, tmp_path):
    blank = {"float": 0.5, "int": 3, "str": "ok", "Literal": "ok"}
    kinds = {
        name: getattr(kind, "__name__", "") for name, kind in get_type_hints(TrainResult).items()
    }
    whole = {name: blank.get(kind, []) for name, kind in kinds.items()}
    (tmp_path / "result.json").write_text(json.dumps(whole))
    found = read_result(tmp_path)
    assert found is not None
    assert found.history == ()
    (tmp_path / "result.json").write_text(json.dumps(whole | change))
    with pytest.raises(ValueError, match=r"result\.json is not the result of a run"):
        read_result(tmp_path)
