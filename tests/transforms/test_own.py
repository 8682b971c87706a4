"""Transforms of a user's own work wherever those of inrgen do, and are recorded by name."""

import sys
from dataclasses import dataclass

import pytest
import torch

import inrgen
from inrgen.core import own_code, rng
from inrgen.core.own_code import import_own
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.jobs.draw_bytes import decode_draw, encode_draw
from inrgen.transforms.base import draw_rows
from inrgen.transforms.named import make_chain, make_link, parse_links, read_links
from inrgen.transforms.rows import bind

SPEC = InrSpec(widths=(2, 4, 4, 1), omega=(30.0, 30.0))
OWN = '''
from dataclasses import dataclass
import torch
import inrgen
from inrgen.core import rng

@inrgen.transform
def swell(params, keys, bound: float = 0.5):
    """Multiply all weights by one number."""
    factor = rng.uniform(keys, (), 1.0, 1.0 + bound, params.dtype)
    return params.map(lambda t: t * factor.view(-1, *[1] * (t.ndim - 1)))

def halve(params, by: float = 0.5):
    return params.map(lambda t: t * by)

def cut(params):
    return params.map(lambda t: t[:, :1])

def crash(params):
    return 1 / 0

def none(params):
    return None

@dataclass(frozen=True)
class Choice:
    sign: torch.Tensor

@dataclass(frozen=True)
class Turn:
    probability: float = 0.5

    def draw(self, spec, keys):
        return Choice(1.0 - 2.0 * (rng.uniform(keys) < self.probability))

    def apply(self, params, draw):
        return params.map(lambda t: t * draw.sign.view(-1, *[1] * (t.ndim - 1)).to(t.dtype))

class Loose:
    def draw(self, spec, keys): ...
    def apply(self, params, draw): ...
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own in the current folder, named by nobody yet."""
    (tmp_path / "own_changes.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_code, "_given", set())
    yield tmp_path / "own_changes.py"
    sys.modules.pop("own_changes", None)


@pytest.fixture
def params() -> Params:
    return Params.from_flat(SPEC, torch.randn(5, SPEC.num_params, generator=torch.manual_seed(0)))


TEXT = "own_changes:swell:bound=0.25,negation,own_changes:Turn:probability=0.4:chance=0.5"


@pytest.mark.usefixtures("own")
def test_a_text_names_own_transforms_with_their_fields_and_replays_them(params):
    links = parse_links(TEXT + ",own_changes:halve")
    assert [link.name.split(":")[-1] for link in links] == [
        "swell",
        "siren-negation",
        "Turn",
        "halve",
    ]
    assert [link.chance for link in links] == [1.0, 1.0, 0.5, 1.0]
    recorded = [link.to_dict() for link in links]
    assert recorded[0]["fields"] == {"bound": 0.25}
    assert len(recorded[0]["version"]) == 16
    assert [link.to_dict() for link in read_links(recorded)] == recorded
    chain, keys = make_chain(links), torch.arange(5) * 12345
    draw = chain.draw(SPEC, keys)
    replayed = decode_draw(chain, SPEC, list(encode_draw(chain, SPEC, draw, keys)))
    changed = chain.apply(params, draw).flat()
    assert torch.equal(chain.apply(params, replayed).flat(), changed)
    out = torch.empty(5, SPEC.num_params)
    bind(chain, SPEC, draw)(params.flat().numpy(), slice(0, 5), out.numpy())
    assert torch.equal(out, changed)
    one = chain.apply(params[3:4], draw_rows(draw, slice(3, 4))).flat()
    assert torch.equal(one, changed[3:4])


def test_names_that_are_typed_wrongly_are_refused_in_a_sentence(own, params):
    for text, message in [
        ("own_changes:swel", "own_changes has no swel; did you mean swell"),
        ("own_changes:swell:bund=1", "did you mean bound"),
        ("own_changes:swell:bound=x", "bound needs a finite number"),
        ("rotatoin:negation", "did you mean rotation"),
        ("own_changes:Loose", "must be a frozen dataclass"),
        ("own_changes:rng:chance=0.5", "an object with draw and apply or a function"),
    ]:
        with pytest.raises(ValueError, match=message):
            parse_links(text)
    with pytest.raises(ValueError, match="need defaults; by has none"):
        inrgen.transform(lambda params, by: params)
    with pytest.raises(ValueError, match="must be importable by name"):
        make_link(lambda params: params)


def test_a_record_runs_only_code_that_the_user_named_and_only_the_same(own, monkeypatch):
    recorded = [link.to_dict() for link in parse_links(TEXT)]
    monkeypatch.setattr(own_code, "_given", set())
    with pytest.raises(ValueError, match="code of your own, which files do not run"):
        read_links(recorded)
    own.write_text(OWN.replace("t * factor.view", "t / factor.view"))
    sys.modules.pop("own_changes")
    import_own("own_changes:swell", "transform")
    with pytest.raises(ValueError, match=r"is version .* now; the store was made by version"):
        read_links(recorded)


@dataclass(frozen=True)
class Nothing:
    """A transform that changes nothing, of this very module."""

    keeps_function = True

    def draw(self, spec: InrSpec, keys: torch.Tensor) -> Params:
        return Params.from_flat(spec, torch.zeros(len(keys), spec.num_params))

    def apply(self, params: Params, draw: Params) -> Params:
        return params


def add_noise(params: Params, keys: torch.Tensor, scale: float = 0.1) -> Params:
    return params.map(lambda t: t + scale * rng.normal(keys, tuple(t.shape[1:]), t.dtype))


def test_own_objects_work_in_stores_and_loaders(made_store, tmp_path):
    noisy = inrgen.transform(add_noise)
    made = inrgen.augment(
        made_store, augment=[noisy(scale=0.5), Nothing], out=tmp_path / "n", workers=0
    )
    chain = made.derivation.parameters["chain"]
    assert [link["fields"] for link in chain] == [{"scale": 0.5}, {}]
    before, after = (each.read(range(1, 9)).flat() for each in (made_store, made))
    assert 0.2 < float((after - before).std()) < 0.8
    loaders = [
        inrgen.StreamLoader(made_store, split="all", transforms=changes)
        for changes in ((), add_noise, [Nothing(), noisy])
    ]
    plain, changed, both = (next(iter(loader)).params.flat() for loader in loaders)
    assert not torch.equal(plain, changed)
    assert not torch.equal(plain, both)
    with pytest.raises(ValueError, match="transforms must be transforms such as"):
        inrgen.StreamLoader(made_store, transforms="negation")


@pytest.fixture
def made_store(tmp_path) -> inrgen.Store:
    from tests.made_up import MadeUp

    return inrgen.open_store(MadeUp(rows=504, widths=(2, 4, 1)).build(tmp_path / "parent"))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut", "must return as many weights as it was given"),
        ("crash", r"failed in crash \(own_changes.py, line \d+\): ZeroDivisionError: division by"),
        ("none", "must return Params; got NoneType"),
    ],
)
def test_a_transform_that_fails_is_named_wherever_it_is_applied(name, message, params):
    text = f"own_changes:{name}"
    links, raw = parse_links(text), params.flat()
    chain = make_chain(links)
    (transform,) = chain.transforms
    keys = torch.arange(5)
    change = bind(transform, SPEC, transform.draw(SPEC, keys))
    with pytest.raises(ValueError, match=f"transform {text} {message}"):
        change(raw.numpy(), slice(0, 5), torch.empty_like(raw).numpy())
    with pytest.raises(ValueError, match=f"transform {text} {message}"):
        chain.apply(params, chain.draw(SPEC, keys))
