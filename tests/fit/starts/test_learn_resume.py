"""Stopped runs of learn-start go on to the same bytes; other settings and damage are refused."""

from pathlib import Path

import pytest

from inrgen.fit.starts import learn as module
from inrgen.fit.starts.checkpoint import checkpoint_path
from inrgen.fit.starts.learn import LearnStartSummary, learn_start
from tests.fit.starts.small_runs import config, learned


class Stop(Exception):
    """A run that ends in the middle."""


def stop_after(monkeypatch, num_steps: int) -> None:
    advance = module._Learner.advance

    def stopping(self, state, step):
        if step == num_steps:
            raise Stop
        return advance(self, state, step)

    monkeypatch.setattr(module._Learner, "advance", stopping)


CHANGES = {"plain": {}, "guided": {"guide": "labels"}}


@pytest.fixture(params=["plain"])
def stopped(request, tmp_path, monkeypatch) -> Path:
    """A folder with the checkpoint of a run that stopped after three of its six steps."""
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stop):
            learn_start(config(tmp_path, **CHANGES[request.param]))
    assert [path.name for path in tmp_path.iterdir()] == ["start.checkpoint.safetensors"]
    return tmp_path


@pytest.mark.parametrize("stopped", CHANGES, indirect=True)
def test_a_stopped_run_goes_on_to_the_same_bytes(stopped, request, tmp_path_factory):
    changes = CHANGES[request.node.callspec.params["stopped"]]
    whole = learned(tmp_path_factory.mktemp("whole"), **changes)
    assert learned(stopped, **changes).sha256 == whole.sha256
    assert [path.name for path in stopped.iterdir()] == ["start.safetensors"]


def test_a_checkpoint_of_other_settings_is_refused_with_their_names(stopped):
    with pytest.raises(ValueError, match=r"differs in settings batch \(there 4, here 5\)"):
        learn_start(config(stopped, batch=5))
    with pytest.raises(ValueError, match=r"differs in spec widths .*, spec omega"):
        learn_start(config(stopped, hidden=(8,)))


@pytest.mark.parametrize("cut", [0, 40, -1])
def test_a_damaged_checkpoint_is_refused(stopped, cut):
    path = checkpoint_path(stopped / "start.safetensors")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="remove it to learn from the beginning"):
        learn_start(config(stopped))


def test_a_finished_file_is_found_and_never_overwritten_by_other_settings(tmp_path):
    def run(**changes) -> LearnStartSummary:
        return learn_start(config(tmp_path, **changes))

    first = run()
    left = checkpoint_path(Path(first.out))
    left.write_bytes(b"of a run that was killed after its last step")
    again = run(threads=2)
    assert not left.exists()
    assert (first.found, again.found) == (False, True)
    assert again.sha256 == first.sha256
    with pytest.raises(ValueError, match=r"differs in seed \(there 0, here 1\)"):
        run(seed=1)
