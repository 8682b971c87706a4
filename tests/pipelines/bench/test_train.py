"""The training bench: a line for each network, and counted costs."""

import pytest
import torch

from pipelines.bench.train import TrainBench, table
from pipelines.bench.train_cost import measure_work
from pipelines.bench.train_updates import run

GNN = "gnn,heads=2,node=6,edge=5,attention=8,node_hidden=7,edge_hidden=4,features=8"
SMALL = TrainBench(
    models=("mlp,hidden=8", GNN), hidden=(4, 3), batch_size=3, repeats=1, device="cpu"
)


def test_the_table_has_a_line_for_each_network_and_the_literal_gnn():
    rows = run(SMALL)
    assert [row.model for row in rows] == ["mlp,hidden=8", GNN, f"{GNN}, literal"]
    mlp, fast, literal = rows
    assert mlp.num_parameters == (2 * 4 + 4 + 4 * 3 + 3 + 3 + 1 + 1) * 8 + 9 * 8 + 9 * 10
    assert fast.num_parameters == literal.num_parameters
    assert literal.logits_apart is not None
    assert literal.logits_apart < 1e-5
    assert fast.logits_apart is None
    assert literal.peak_bytes > fast.peak_bytes > mlp.peak_bytes
    assert all(row.steps_per_s * row.step_ms == pytest.approx(1e3) for row in rows)
    assert all(row.step_cpu_ms > 0 for row in rows)
    lines = table(rows).splitlines()
    assert len(lines) == 1 + 3 + 2
    assert all(line.startswith(row.model) for line, row in zip(lines[1:], rows, strict=False))


def test_launches_are_operations_that_compute_and_not_views():
    x = torch.ones(3, 4)
    assert measure_work(lambda: x.T[1:].unsqueeze(0).expand(2, 3, 3)).launches == 0
    assert measure_work(lambda: (x.T + 1) @ x).launches == 2


def test_the_peak_is_what_is_held_at_once():
    def three_in_turn_two_at_a_time():
        x = torch.ones(1000)
        x = x + 1
        return (x + 1).sum()

    # 1,000 numbers of four bytes, twice, and once the sum
    assert measure_work(three_in_turn_two_at_a_time).peak_bytes == 8004


def test_what_backward_needs_is_held_until_then():
    x = torch.ones(1000, requires_grad=True)

    def chain():
        return x.exp().sin().exp()

    # The first result is the slope of its step, so it outlives the second.
    assert measure_work(chain).peak_bytes == 3 * 4000
    with torch.no_grad():
        assert measure_work(chain).peak_bytes == 2 * 4000


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="batch_size must be positive; got 0"):
        TrainBench(batch_size=0)
    with pytest.raises(ValueError, match=r"hidden needs at least one positive width; got \(4, 0\)"):
        TrainBench(hidden=(4, 0))
    with pytest.raises(ValueError, match="models needs at least one network"):
        TrainBench(models=())
    with pytest.raises(ValueError, match="got 'cnn'"):
        TrainBench(models=("cnn",))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device cuda needs a GPU"):
            run(TrainBench(models=("mlp",), device="cuda"))
