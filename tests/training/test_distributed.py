"""Two processes that share each batch take the same steps as a single process."""

import subprocess
import sys

import torch
from safetensors.torch import load_file

from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.loop import run_training
from inrgen.training.model_file import WEIGHTS

CONFIG = TrainConfig(
    model="mlp,hidden=16,layers=1,dropout=0",
    views=2,
    epochs=3,
    batch_size=24,
    mixup="direct",
    augment="negation",
)
# One of several processes, as torchrun would start it.
PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from torch import distributed
from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.loop import run_training

rank, meeting, store, out = int(sys.argv[1]), *sys.argv[2:5]
torch.set_num_threads(1)
distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=2)
config = TrainConfig(
    model="mlp,hidden=16,layers=1,dropout=0", views=2, epochs=3, batch_size=24, mixup="direct",
    augment="negation",
)
result = run_training(config, TrainData(train=store, val=store, test=store), Path(out))
assert result.train_rows == 72, result.train_rows
data = TrainData(train=store, val=store, test=store)
normed = run_training(replace(config, model="dws,channels=4,layers=1,heads=1,batch_norm=yes"), data)
seen = [None, None]
distributed.all_gather_object(seen, [(log.val_loss, log.test_loss) for log in normed.history])
assert seen[0] == seen[1], seen
try:
    run_training(replace(config, batch_size=74), data)
except ValueError as error:
    assert str(error).startswith("batch_size must be at most the 72 rows of an epoch"), error
else:
    raise AssertionError("no process has a whole batch")
distributed.destroy_process_group()
"""


def test_two_processes_train_as_one(labelled_store, tmp_path):
    data = TrainData(train=labelled_store, val=labelled_store, test=labelled_store)
    alone = run_training(CONFIG, data, tmp_path / "one")
    arguments = [str(tmp_path / "meeting"), str(labelled_store), str(tmp_path / "two")]
    both = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(rank), *arguments]) for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-5)
    together = run_training(CONFIG, data, tmp_path / "two")
    for log, other in zip(alone.history, together.history, strict=True):
        torch.testing.assert_close(log.train_loss, other.train_loss, rtol=1e-4, atol=1e-6)
        assert (log.rows, log.val_accuracy) == (other.rows, other.val_accuracy)
