"""A source refuses every option that it does not read, and reads every other one."""

from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

import inrgen
from inrgen.cli import main
from inrgen.core.config_fields import option_names, refuse_ignored
from inrgen.fit.build_config import BuildConfig
from inrgen.sources.catalog import open_whole, source_names
from inrgen.sources.config import SourceConfig
from inrgen.sources.options import ignored_options, kind_of_source, readers_of, without_ignored
from inrgen.sources.shape_config import ShapeConfig

OPTIONS = (
    *("data", "channels", "follow_links", "max_side", "max_pixels", "download", "axes", "arg"),
    *("copies", "flip", "shift"),
)
# Every default that can be typed, too: a user who types it expects it to matter.
TYPED = {
    "data": ["--data", "d"],
    "channels": ["--channels", "auto"],
    "follow_links": ["--no-follow-links"],
    "max_side": ["--max-side", "3"],
    "max_pixels": ["--max-pixels=3"],
    "download": ["--download"],
    "axes": ["--axes", "nyx"],
    "arg": ["--arg", "x=1"],
    "copies": ["--copies", "0"],
    "flip": ["--no-flip"],
    "shift": ["--shift", "0"],
    **{
        f"shape.{field.name}": [option_names(BuildConfig)[field.name], *map(str, values)]
        for field in fields(ShapeConfig)
        for value in [field.default if field.default is not None else "c"]
        for values in [value if isinstance(value, tuple) else (value,)]
    },
}
SOURCES = [*(name.replace("NAME", "SVHN") for name in source_names()), "my.module:make"]


@pytest.mark.parametrize("source", SOURCES)
def test_an_option_that_a_source_ignores_is_refused_by_name(source):
    config, ignored = SourceConfig(name=source), ignored_options(source)
    for place in TYPED:
        if place.split(".")[0] in ignored:
            said = rf"^{place} cannot be used here; it is for .*, not for {source}$"
            with pytest.raises(ValueError, match=said):
                refuse_ignored(config, {place: place})
        else:
            refuse_ignored(config, {place: place})


@pytest.mark.parametrize("place", TYPED)
def test_a_command_line_may_not_even_say_the_default_of_an_ignored_option(place, capsys, tmp_path):
    refusing = [source for source in SOURCES if place.split(".")[0] in ignored_options(source)]
    source, words = refusing[0], TYPED[place]
    assert main(["build", source, "--out", str(tmp_path / "s"), *words]) == 2
    said = capsys.readouterr().err
    assert f"{words[0].split('=')[0]} cannot be used here; it is for" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [*OPTIONS, "shape"])
def test_every_option_has_a_source_that_reads_it(option):
    assert readers_of(option)


class _Watched(SourceConfig):
    """A config that notes which of its fields are read."""

    def __getattribute__(self, name: str) -> object:
        READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


def _write(source: str, folder) -> dict[str, str]:
    """Write data of a source; return its options."""
    if source == "digits":
        return {}
    folder.mkdir()
    if source == "array":
        np.save(folder / "a.npy", np.ones((12, 4, 4), np.float32))
        return {"data": str(folder / "a.npy")}
    for place in ("train/a/1", "train/b/2", "test/a/3", "test/b/4"):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if source == "image-folder":
            Image.new("L", (4, 4)).save(path.with_suffix(".png"))
        else:
            faces = "f 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"
            path.with_suffix(".obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n" + faces)
    return {"data": str(folder)}


@pytest.mark.parametrize("source", ["digits", "array", "image-folder", "mesh-folder"])
def test_a_source_reads_the_options_that_it_accepts_and_no_other(source, tmp_path):
    config = _Watched(name=source, **_write(source, tmp_path / "d"))
    READ.clear()
    # Copies are made of what the opener gives.
    open_whole(config).load(0)
    own = {*OPTIONS, "shape"} - {"copies", "flip", "shift"}
    assert READ & own == own - ignored_options(source).keys()


def test_python_refuses_the_same_options(tmp_path):
    with pytest.raises(ValueError, match=r"^axes cannot be used here; it is for array"):
        SourceConfig(name="digits", axes="nt")
    with pytest.raises(ValueError, match=r"^target cannot be used here; it is for mesh-folder"):
        inrgen.build("digits", out=tmp_path / "s", target="distance")
    with pytest.raises(ValueError, match=r"^data cannot be used here; .* not for an object in mem"):
        inrgen.build(np.zeros((3, 4, 4)), out=tmp_path / "s", data="d")


def test_a_store_from_before_refusals_is_opened_without_what_its_source_ignored():
    old = SourceConfig(name="digits").identity() | {"axes": "nt", "arg": ["x=1"]}
    assert SourceConfig.from_identity(old, None) == SourceConfig(name="digits")
    assert without_ignored(old) == SourceConfig(name="digits").identity()


def test_kinds_of_sources():
    assert kind_of_source("torchvision:SVHN") == "torchvision:NAME"
    assert kind_of_source("my.module:make") == kind_of_source("packaged") == "a source of your own"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("build digits --out o --engine cpu --gpu-share 0.25", "--gpu-share cannot be used here"),
        ("build digits --out o --limit-order first", "it is for samples, which limit takes"),
        (
            "build mesh-folder --data d --out o --target occupancy --truncation 0.1",
            "--truncation cannot be used here; it is for target distance, not for occupancy",
        ),
        ("learn-start digits --out o.safetensors --guide-weight 1", "it is for guide labels"),
        ("train S --out o --mixup-beta 1", "--mixup-beta cannot be used here; it is for mixup"),
        ("train S --out o --temperature 0.1", "it is for objective contrastive"),
        ("train S --out o --published", "--published cannot be used here; it is for augment"),
        ("probe S --probes set_raw --mlp.lr 0.1", "--mlp.lr cannot be used here; it is for mlp"),
        ("probe S --data d", "--data cannot be used here; it is for probe mlp_pixels"),
        ("probe-recipes --probes mlp_raw --set-model.seed 0", "--set-model.seed cannot be used"),
        ("probe-recipes --data d", "not for digits"),
        ("export S --format dws --out o --no-page", "--no-page cannot be used here"),
        ("verify S --data d", "--data cannot be used here; it is for repair"),
        ("render S --out o --no-originals --data d", "--data cannot be used here"),
        ("align S --out o --template pairs --sample 3", "it is for template mean or medoid"),
    ],
)
def test_an_option_that_another_choice_ignores_is_refused(line, said, capsys):
    assert main(line.split()) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
