"""Recipe texts and files: a recipe by name, and the fields that differ from it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from inrgen.core.activations import ACTIVATIONS, ActivationName
from inrgen.core.config import InitConfig, LayerRule
from inrgen.core.config_text import check_name, read_value, split_one_name
from inrgen.core.encoding import ENCODING_TEXTS, EncodingChoice, encoding_text, read_encoding
from inrgen.core.spec import InrSpec
from inrgen.fit.build_config import RecipeName
from inrgen.fit.config import Schedule
from inrgen.fit.recipe_file import SUFFIX, read_recipe_file
from inrgen.fit.recipes import Recipe, recipe, usual_recipe
from inrgen.fit.starts.plan import fit_of_start, open_choice
from inrgen.sources.base import SourceFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A field that a recipe text may set.

    place and field locate it, wants describes its values, and read parses its text. read raises
    ValueError for any other text.
    """

    place: Literal["spec", "fit", "init"]
    field: str
    wants: str
    read: Callable[[str], Any]


def _number(text: str, is_right: Callable[[float], bool]) -> float:
    value = float(text)
    if not (math.isfinite(value) and is_right(value)):
        raise ValueError
    return value


def _positive(text: str) -> float:
    return _number(text, lambda value: value > 0)


def _not_negative(text: str) -> float:
    return _number(text, lambda value: value >= 0)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _count_or_0(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _widths(text: str) -> tuple[int, ...]:
    widths = read_value(text, tuple[int, ...], "hidden")
    if not widths or min(widths) < 1:
        raise ValueError
    return widths


def _frequencies(text: str) -> tuple[float, ...]:
    found = read_value(text, tuple[float, ...], "omega")
    if not found or min(found) <= 0:
        raise ValueError
    return found


def _stop(text: str) -> float | None:
    return None if text == "never" else _positive(text)


def _first_layer(text: str) -> str | float:
    return text if text in ("small", "siren") else _positive(text)


def _choice(place: Literal["spec", "fit", "init"], field: str, words: dict[str, Any]) -> Key:
    def read(text: str) -> Any:
        if text not in words:
            raise ValueError
        return words[text]

    return Key(place=place, field=field, wants=f"one of {', '.join(words)}", read=read)


def _same(*words: str) -> dict[str, Any]:
    return {word: word for word in words}


KEYS: dict[str, Key] = {
    "init": Key(
        place="init",
        field="first_layer",
        wants="small, siren, or a positive number",
        read=_first_layer,
    ),
    "bias": Key(
        place="init",
        field="hidden_bias",
        wants="zero, torch, or a positive number",
        read=lambda text: text if text in ("zero", "torch") else _positive(text),
    ),
    "last": _choice("init", "last_layer", _same("torch", "siren", "small")),
    "rule": _choice("init", "hidden_layer", _same(*get_args(LayerRule))),
    "k": Key(
        place="init",
        field="first_bias",
        wants="hidden, or a positive number",
        read=lambda text: text if text == "hidden" else _positive(text),
    ),
    "shared": Key(
        place="init",
        field="shared",
        wants="true or false",
        read=lambda text: read_value(text, bool, "shared"),
    ),
    "steps": Key(place="fit", field="num_steps", wants="a whole number from 1 on", read=_count),
    "lr": Key(place="fit", field="lr", wants="a positive number", read=_positive),
    "decay": Key(place="fit", field="weight_decay", wants="a number from 0 on", read=_not_negative),
    "schedule": _choice("fit", "schedule", _same(*get_args(Schedule))),
    "stop": Key(
        place="fit", field="stop_psnr_db", wants="a positive number of dB, or never", read=_stop
    ),
    "points": Key(
        place="fit",
        field="points_per_step",
        wants="a whole number, 0 for all points",
        read=_count_or_0,
    ),
    "warmup": Key(
        place="fit", field="warmup_steps", wants="a whole number from 0 on", read=_count_or_0
    ),
    "beta1": Key(place="fit", field="beta1", wants="a number from 0 on", read=_not_negative),
    "beta2": Key(place="fit", field="beta2", wants="a number from 0 on", read=_not_negative),
    "eps": Key(place="fit", field="eps", wants="a positive number", read=_positive),
    "omega": Key(
        place="spec",
        field="omega",
        wants="a positive number, or one a layer such as 30-10",
        read=_frequencies,
    ),
    "hidden": Key(
        place="spec", field="hidden", wants="positive widths such as 64-64", read=_widths
    ),
    "activation": _choice("spec", "activation", _same(*get_args(ActivationName))),
    "encoding": Key(place="spec", field="encoding", wants=ENCODING_TEXTS, read=read_encoding),
}


_HIDDEN = KEYS["hidden"]


def vary_networks(
    spec: InrSpec,
    hidden: tuple[int, ...] | None = None,
    omega: tuple[float, ...] | None = None,
    activation: ActivationName | None = None,
    encoding: EncodingChoice | None = None,
) -> InrSpec:
    """Replace what is given of a recipe's networks.

    A recipe has one frequency for all layers, and other depths keep it. Another activation brings
    its usual omega, because the recipe's is a frequency of sines.
    """
    widths = spec.widths[1:-1] if hidden is None else hidden
    name = activation or spec.activation
    if omega is None and name != spec.activation:
        omega = (ACTIVATIONS[name].usual_omega,)
    omega = omega or (spec.omega if hidden is None else spec.omega[:1])
    made = replace(
        spec,
        widths=(spec.widths[0], *widths, spec.d_out),
        omega=omega * len(widths) if len(omega) == 1 else omega,
        activation=name,
    )
    return made if encoding is None else made.with_encoding(encoding.make(spec.d_in))


def vary_init(
    init: InitConfig, before: InrSpec, after: InrSpec, stated: dict[str, Any]
) -> InitConfig:
    """Initial weights of a recipe's varied networks.

    Another activation brings the rule of its paper, because the recipe's is for sines. Fields that
    the user states hold in any case.
    """
    if after.activation != before.activation:
        init = replace(ACTIVATIONS[after.activation].usual_init, shared=init.shared)
    return replace(init, **stated)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A recipe by name, and the values that replace its own, by their keys in the text.

    base is None for the usual recipe of the signals.
    """

    text: str
    base: RecipeName | None
    changes: dict[str, Any]

    def plan(self, facts: SourceFacts) -> Recipe:
        """The varied recipe for a source's signals; it keeps the name of its base."""
        made = recipe(self.base or usual_recipe(facts), facts)
        spec = vary_networks(made.spec, **self.stated("spec"))
        init = vary_init(made.fit.init, made.spec, spec, self.stated("init"))
        return replace(made, spec=spec, fit=replace(made.fit, init=init, **self.stated("fit")))

    def stated(self, place: Literal["spec", "fit", "init"]) -> dict[str, Any]:
        """The values that the text gives for fields of one place."""
        return {KEYS[k].field: v for k, v in self.changes.items() if KEYS[k].place == place}


def field_values(made: Recipe) -> dict[str, Any]:
    """The values of a recipe by the full names of its fields, as a recipe file holds them."""
    places = {"spec": made.spec, "fit": made.fit, "init": made.fit.init}
    found = {k.field: getattr(places[k.place], k.field) for k in KEYS.values() if k != _HIDDEN}
    encoding = encoding_text(made.spec.encoding)
    return {"hidden": made.spec.widths[1:-1], **found, "encoding": encoding}


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedVariant:
    """Recipe learned: a START, by default the shipped one, and other steps than its own."""

    text: str
    start: Path | None
    num_steps: int | None
    points_per_step: int | None
    curvature: bool

    def plan(self, facts: SourceFacts) -> Recipe:
        """The recipe of the START. Raises ValueError where it does not fit the signals."""
        start = open_choice(self.start, 1, facts).start
        fit = fit_of_start(start, self.num_steps, self.points_per_step, self.curvature)
        return Recipe(name="learned", spec=start.spec, fit=fit, start=start)


def _parse_learned(text: str, fields: dict[str, str]) -> LearnedVariant:
    for field in fields:
        # Everything else is the START's.
        check_name(field, ["start", "steps", "points", "curvature"], "recipe learned: field")
    steps, points = (
        _read(text, name, KEYS[name], fields[name]) if name in fields else None
        for name in ("steps", "points")
    )
    start = Path(fields["start"]) if "start" in fields else None
    curvature = read_value(fields.get("curvature", "false"), bool, "curvature")
    return LearnedVariant(
        text=text, start=start, num_steps=steps, points_per_step=points, curvature=curvature
    )


def _read(text: str, field: str, key: Key, value: str) -> Any:
    """Read a field's value. Raises ValueError naming the values that it takes."""
    try:
        return key.read(value if value == value.strip() else "")
    except ValueError:
        raise ValueError(
            f"recipe field {field} needs {key.wants}; got {value!r} in {text!r}"
        ) from None


def parse_variant(text: str) -> Variant | LearnedVariant:
    """Read a recipe: [NAME][,FIELD=VALUE]..., such as fast,lr=2e-3 or num_steps=120; or FILE.toml.

    NAME is a recipe; without one it is the usual one of the signals, published for images and
    shapes. A file has NAME as its key recipe, and the same fields (recipe_file.py). Fields are
    those of FitConfig and InitConfig; some have a short name, which recorded texts use. Short
    names, in any order:

        init=small|siren|X        start of the first layer; small is the hidden layers' bound, and
                                  X that share of siren's
        bias=zero|torch|X         start of the hidden layers' biases; X is their bound
        last=torch|siren|small    start of the last layer (InitConfig explains these)
        rule=siren|glorot|torch   start of the hidden layers' weights
        k=hidden|X                bound of the first layer's biases, where FINER's differ
        shared=true|false         whether all images start from the same weights
        steps=N, lr=X, decay=X    updates, Adam's learning rate, decoupled weight decay
        schedule=constant|cosine  schedule of the learning rate
        stop=X|never              PSNR in dB at which a fit stops early
        omega=X|X-X...            sine frequency of every hidden layer, or one for each; of other
                                  activations the factor that activations.py shows
        activation=NAME           sine, tanh, relu, gaussian, sinc or finer; omega and the start of
                                  all layers become its usual ones
        encoding=TEXT             none, or Fourier features (EncodingChoice)
        hidden=N-N...             widths of the hidden layers
        points=N, warmup=N        points drawn for each update, updates of warm-up

    learned takes three fields instead: start=PATH, a START file, steps=N and points=N.

    Raises ValueError naming the field, the values it takes and the value given.
    """
    is_file = text.endswith(SUFFIX)
    named = read_recipe_file(Path(text)) if is_file else split_one_name(text, "recipe")
    if named.name == "learned":
        return _parse_learned(text, named.fields)
    base = check_name(named.name, get_args(RecipeName), "recipe") if named.name else None
    short = {key.field: name for name, key in KEYS.items()}
    changes: dict[str, Any] = {}
    for field, value in named.fields.items():
        key = short.get(field, field)
        check_name(key, list(dict.fromkeys([*KEYS, *short])), f"recipe {named.name or text}: field")
        if key in changes:
            raise ValueError(f"recipe {text!r} must give {key} once; got {field} again")
        changes[key] = _read(text, field, KEYS[key], value)
    return Variant(text=text, base=cast(RecipeName | None, base), changes=changes)
