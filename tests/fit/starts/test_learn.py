"""Learned starts fit unseen images better than random ones, and depend on their names alone."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inrgen.core.config import InitConfig
from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import FitBatch
from inrgen.fit.starts import learn as module
from inrgen.fit.starts.guide import LabelGuide
from inrgen.fit.starts.inner_loop import adapt, mse_gradient
from inrgen.fit.starts.learn import learn_start
from inrgen.fit.starts.meta_sgd import MetaProblem, step_positions
from inrgen.fit.starts.start import LearnedStart
from inrgen.fit.starts.training_images import open_images
from inrgen.fit.torch_engine import TorchEngine
from inrgen.sources.base import BadSignal
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from tests.fit.starts.small_runs import DIGITS, config, learned

SPEC = InrSpec(widths=(2, 4, 3, 2), omega=(3.0, 2.0), output_offset=0.5)


def some_params(num: int, dtype=torch.float64) -> Params:
    generator = torch.Generator().manual_seed(num)
    return Params.from_flat(
        SPEC, torch.rand(num, SPEC.num_params, generator=generator, dtype=dtype)
    )


@pytest.mark.parametrize("shape", [(5, 2), (3, 5, 2)], ids=["shared points", "own points"])
def test_the_written_out_gradient_is_that_of_autograd(shape):
    flat = some_params(3).flat().requires_grad_()
    coords, values = torch.rand(*shape).double(), torch.rand(3, 5, 2).double()
    prediction = evaluate(SPEC, Params.from_flat(SPEC, flat), coords)
    loss = (prediction - values).square().mean(dim=(1, 2)).sum()
    (wanted,) = torch.autograd.grad(loss, flat)
    found = mse_gradient(SPEC, Params.from_flat(SPEC, flat), coords, values)
    torch.testing.assert_close(found.flat(), wanted)


GUIDE = LabelGuide(num_params=SPEC.num_params, num_classes=3, weight=0.1)


def problem(second_order: bool, guide: LabelGuide | None = None) -> MetaProblem:
    return MetaProblem(
        spec=SPEC,
        inner_steps=3,
        second_order=second_order,
        step_of=step_positions(SPEC, "parameter"),
        guide=guide,
        momentum=0.5,
    )


@pytest.mark.parametrize("guide", [None, GUIDE], ids=["plain", "guided"])
def test_the_outer_gradient_goes_through_the_inner_steps(guide):
    """Hold it to finite differences of the loss after the inner steps.

    Inputs are fixed and steps small: with large ones the loss turns too fast for differences.
    """
    random = torch.Generator().manual_seed(0)
    coords = torch.rand(5, 2, generator=random).double()
    values = torch.rand(1, 2, 5, 2, generator=random).double()
    start = torch.rand(1, SPEC.num_params, generator=random).double() - 0.5
    log_steps = -4 - torch.rand(1, SPEC.num_params, generator=random).double()
    readers = GUIDE.first_readers(0, 1).double() if guide else torch.zeros(1, 0).double()
    labels = torch.tensor([[2, 0]])
    outer = partial(
        problem(True, guide).outer_gradient, coords=coords, values=values, labels=labels
    )
    loss, *gradients = outer(start, log_steps, readers)
    inputs = [start, log_steps, readers]
    for place, gradient in enumerate(gradients[: 3 if guide else 2]):
        num = inputs[place].shape[1]
        # the last numbers of a reader are its biases, which matter most
        for at in {*range(num - 1, -1, -(num // 6))}:
            direction = torch.zeros(num).double().index_fill(0, torch.tensor([at]), 1.0)
            moved = [list(inputs), list(inputs)]
            for side, step in zip(moved, (1e-6, -1e-6), strict=True):
                side[place] = side[place] + step * direction
            above, below = (outer(*side)[0] for side in moved)
            torch.testing.assert_close(
                (above - below) / 2e-6, gradient @ direction, rtol=1e-4, atol=1e-8
            )
    assert loss.shape == (1,)


def test_the_first_order_gradient_is_that_of_the_fitted_weights():
    coords, values = torch.rand(5, 2).double(), torch.rand(1, 1, 5, 2).double()
    start, log_steps = some_params(1).flat(), -some_params(2).flat()[:1] - 1
    none = torch.zeros(1, 0).double()
    _, by_start, *_ = problem(False).outer_gradient(start, log_steps, none, coords, values)
    steps = Params.from_flat(SPEC, log_steps.exp())
    fitted = adapt(SPEC, Params.from_flat(SPEC, start), steps, coords, values[0], 3, False, 0.5)
    torch.testing.assert_close(by_start, mse_gradient(SPEC, fitted, coords, values[0]).flat())


def test_step_sizes_are_learned_for_parameters_layers_or_one():
    assert step_positions(SPEC, "parameter").tolist() == list(range(SPEC.num_params))
    assert step_positions(SPEC, "layer").unique(return_counts=True)[1].tolist() == [12, 15, 8]
    assert step_positions(SPEC, "one").tolist() == [0] * SPEC.num_params


@pytest.mark.parametrize(("step_sizes", "distinct"), [("layer", 3), ("one", 1)])
def test_parameters_of_a_group_share_their_step_size(tmp_path, step_sizes, distinct):
    start = learned(tmp_path, step_sizes=step_sizes)
    assert [len(row.unique()) for row in start.step_sizes.flat()] == [distinct] * 2


def unseen_db(spec: InrSpec, start: Params, step_sizes: Params, inner_steps: int) -> float:
    """Mean PSNR of the digits of the test split after the inner steps."""
    source = open_source(SourceConfig(name="digits", split="test", limit=50))
    values = torch.stack([source.load(index).values for index in range(len(source.items))])
    coords = grid_coords(spec, (8, 8))
    many = start.map(lambda tensor: tensor.expand(len(values), *tensor.shape[1:]))
    fitted = adapt(spec, many, step_sizes, coords, values, inner_steps, False)
    return float(psnr_db(evaluate(spec, fitted, coords), values, 1.0).mean())


def test_a_learned_start_beats_a_random_one_on_unseen_images(tmp_path):
    start = learned(tmp_path, views=1, outer_steps=60, hidden=(16, 16), inner_steps=3, lr=3e-3)
    found = unseen_db(start.spec, start.params, start.step_sizes, 3)
    key = torch.tensor([1])
    random = initialise(start.spec, InitConfig(first_layer="siren", last_layer="small"), key)
    plain = [
        unseen_db(start.spec, random, random.map(lambda w, s=s: torch.full_like(w, s)), 3)
        for s in (1e-3, 1e-2, 3e-2, 1e-1)
    ]
    assert found > max(plain) + 2.0
    # what the facts promise holds for images that the loop never saw
    assert found == pytest.approx(start.facts["psnr_db"], abs=1.0)


def test_a_start_depends_neither_on_the_others_nor_on_threads(tmp_path):
    one, three = (learned(tmp_path / str(k), views=k) for k in (1, 3))
    again = learned(tmp_path / "threads", views=3, threads=3)
    assert torch.equal(one.params.flat(), three.params[[0]].flat())
    assert torch.equal(one.step_sizes.flat(), three.step_sizes[[0]].flat())
    assert not torch.equal(three.params[[0]].flat(), three.params[[1]].flat())
    assert again.sha256 == three.sha256


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    first, second, other = (
        learned(tmp_path / name, seed=seed) for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    )
    contents = [(tmp_path / name / "start.safetensors").read_bytes() for name in "ab"]
    assert contents[0] == contents[1]
    assert first.sha256 == second.sha256 != other.sha256
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["start.safetensors"]


def test_the_facts_say_what_the_start_has_seen(tmp_path):
    facts = learned(tmp_path).facts
    digits = {"name": "digits", "split": "train", "limit": 60, "channels": "auto"}
    assert facts["source"] == digits | {"limit_order": "stratified"}
    assert (facts["num_items"], facts["num_held_out"], facts["seed"]) == (60, 6, 0)
    assert (facts["guide"], facts["version"], facts["rollbacks"]) == ("none", 1, 0)
    assert facts["settings"]["outer_steps"] == 6
    assert len(facts["psnr_db_of_starts"]) == 2


def test_an_engine_fits_from_a_start_as_it_was_learned(tmp_path):
    start = learned(tmp_path, outer_steps=30)
    values, keys = torch.rand(2, 64, 1), torch.zeros(2, dtype=torch.int64)
    coords = grid_coords(start.spec, (8, 8))
    batch = FitBatch(
        coords=coords[None],
        values=values,
        signal_of=torch.tensor([0, 1]),
        keys=keys,
        start=start.params,
        step_sizes=start.step_sizes,
    )
    found = TorchEngine().fit(start.spec, FitConfig(num_steps=2, stop_psnr_db=None), batch)
    wanted = adapt(start.spec, start.params, start.step_sizes, coords, values, 2, False)
    torch.testing.assert_close(found.params.flat(), wanted.flat(), rtol=1e-5, atol=1e-7)


def test_points_drawn_for_each_step_teach_too(tmp_path):
    start = learned(tmp_path, points_per_step=20, outer_steps=40, lr=3e-3)
    first = learned(tmp_path / "first", points_per_step=20, outer_steps=1)
    assert start.facts["psnr_db"] > first.facts["psnr_db"] + 1.0


def test_only_the_training_split_is_opened_and_held_out_images_are_never_drawn(
    tmp_path, monkeypatch
):
    opened, loaded = [], []

    class Spy:
        def __init__(self, source):
            self.facts, self.items, self._source = source.facts, source.items, source

        def load(self, index):
            loaded.append(self.items[index].item_id)
            return self._source.load(index)

    def open_spied(wanted):
        opened.append(wanted.splits)
        return Spy(open_source(wanted))

    monkeypatch.setattr(module, "open_source", open_spied)
    learned(tmp_path, outer_steps=30)
    assert opened == [("train",)]
    training = open_source(replace(DIGITS, split="train"))
    assert set(loaded) <= {item.item_id for item in training.items}
    # read once each: held-out images are read first, and no later draw reads one again
    assert len(loaded) == len(set(loaded))
    assert len(set(loaded[6:]) & set(loaded[:6])) == 0


def test_a_diverging_loop_goes_back_to_its_best_start_and_says_so(tmp_path, capsys):
    start = learned(tmp_path, lr=0.2, outer_steps=30)
    first = learned(tmp_path / "first", lr=1e-9, step_lr=1e-9, outer_steps=1)
    assert start.facts["rollbacks"] > 0
    assert start.facts["psnr_db"] > first.facts["psnr_db"] + 0.5
    assert "diverged in step" in capsys.readouterr().err


def test_a_loop_that_diverges_again_and_again_ends_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"start 0 diverged 6 times.*lower lr \(1e\+06\)"):
        learned(tmp_path, lr=1e6, outer_steps=50)
    assert not (tmp_path / "start.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": replace(DIGITS, split="test")}, "split must be train"),
        ({"source": replace(DIGITS, split="val")}, "split must be train"),
        ({"out": Path("start.pt")}, r"must end in \.safetensors"),
        ({"views": 0}, "views must be from 1"),
        ({"inner_steps": 1001}, "inner_steps must be from 1"),
        ({"outer_steps": 0}, "outer_steps must be at least 1"),
        ({"guide": "images"}, "guide"),
        ({"guide_weight": 0.0}, "guide_weight must be positive"),
        ({"lr": float("nan")}, "lr must be positive and finite"),
        ({"points_per_step": -1}, "must not be negative"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"step_sizes": "row"}, "step_sizes"),
        ({"order": 3}, "order"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"source": replace(DIGITS, limit=1)}, "more items than 1"),
    ],
    ids=str,
)
def test_a_wrong_setting_gets_one_sentence(tmp_path, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        learn_start(config(tmp_path, **change))


def test_images_of_two_sizes_and_shapes_are_refused(tmp_path):
    for number in range(20):
        pixels = np.full((4, 4 + number % 2), 100, dtype=np.uint8)
        folder = tmp_path / "pictures" / "train"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    pictures = SourceConfig(name="image-folder", data=str(tmp_path / "pictures"))
    with pytest.raises(ValueError, match=r"images of one size; train/\d+\.png has \(4, \d\)"):
        learn_start(config(tmp_path, source=pictures))


def test_an_image_that_cannot_be_read_is_replaced_by_the_next():
    source = open_source(replace(DIGITS, split="train"))

    class Broken:
        facts, items = source.facts, source.items

        def load(self, index):
            if index % 4 == 1:
                raise BadSignal("not a picture")
            if index % 2:
                raise IndexError("list index out of range")
            return source.load(index)

    spec = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 30.0))
    images = open_images(Broken(), spec, seed=0, num_points=0)
    assert images.num_held_out == 6
    drawn = images.draw(0, 0, 2, 16)[1].flatten(0, 1)
    positions = [at for row in images.items.draw_positions(0, 0, 2, 16) for at in row]
    for image, position in zip(drawn, positions, strict=True):
        assert torch.equal(image, source.load(position).values)
    for image, position in zip(images.items.held_out, images.items.held_out_at, strict=True):
        assert torch.equal(image, source.load(position).values)
    readable = torch.stack([source.load(index).values for index in range(0, 60, 2)])
    assert all(bool((readable == image).all(dim=(1, 2)).any()) for image in drawn)
    # an image of the next start, or of another step, is another draw
    assert not torch.equal(images.draw(0, 1, 2, 16)[1].flatten(0, 1), drawn)


def write_fashion(root: Path, labels: dict[str, np.ndarray]) -> None:
    """A small Fashion-MNIST folder: one image for each label of both files."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, classes in labels.items():
        shape = np.array([len(classes), 28, 28], dtype=">i4").tobytes()
        pixels = np.arange(len(classes) * 784, dtype=np.uint32) * 2654435761 >> 24
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            bytes([0, 0, 8, 3]) + shape + pixels.astype(np.uint8).tobytes()
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            bytes([0, 0, 8, 1]) + shape[:4] + classes.astype(np.uint8).tobytes()
        )


def test_labels_guide_a_start_and_those_of_validation_and_test_cannot_reach_it(tmp_path):
    """Validation images are the last twelfth of the train file, so their labels lie in it, too."""
    classes = np.arange(60) % 10
    val, test = classes.copy(), {"train": classes, "t10k": np.arange(10)}
    val[-5:] = 0
    train = np.roll(classes, 1)
    cases = {"as is": test, "others": {"train": val, "t10k": test["t10k"][::-1]}}
    cases["train"] = test | {"train": train}

    def run(name: str, **changes) -> LearnedStart:
        source = SourceConfig(name="fashion-mnist", data=str(tmp_path / name))
        out = tmp_path / f"{name} {len(changes)}"
        return learned(out, source=source, outer_steps=2, views=1, **changes)

    for name, labels in cases.items():
        write_fashion(tmp_path / name, labels)
    guided = {name: run(name, guide="labels") for name in cases}
    assert guided["as is"].sha256 == guided["others"].sha256 != guided["train"].sha256
    assert {start.facts["guide"] for start in guided.values()} == {"labels"}
    # without a guide no label moves a weight, and the PSNR of both kinds is that of the images
    plain = run("as is")
    assert torch.equal(plain.params.flat(), run("train").params.flat())
    assert not torch.equal(plain.params.flat(), guided["as is"].params.flat())
    found = guided["as is"].facts["psnr_db"]
    assert found == pytest.approx(plain.facts["psnr_db"], abs=1.0)


def test_a_guide_needs_labels(tmp_path):
    Image.fromarray(np.full((4, 4), 100, dtype=np.uint8)).save(tmp_path / "one.png")
    Image.fromarray(np.full((4, 4), 90, dtype=np.uint8)).save(tmp_path / "two.png")
    pictures = SourceConfig(name="image-folder", data=str(tmp_path))
    with pytest.raises(ValueError, match=r"needs a label for every training item; .* lacks 2"):
        learn_start(config(tmp_path, source=pictures, guide="labels"))
