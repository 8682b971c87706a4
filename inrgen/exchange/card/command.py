"""The command that a store came from, worked out from its identity."""

import shlex
from typing import Any

_NEEDED = {"source", "recipe", "spec", "fit", "engine", "seed", "views", "min_psnr_db"}


def _source_words(source: dict[str, Any]) -> list[Any]:
    words: list[Any] = [source["name"], "--out", "STORE"]
    if source["name"] != "digits":
        words += ["--data", "DIR"]
    defaults = {"split": "all", "limit": None, "channels": "auto"}
    for name, default in defaults.items():
        if source[name] != default:
            words += [f"--{name}", source[name]]
    for name, value in source.get("shape", {}).items():
        # how axes are taken is noted, but there is nothing to choose
        if name != "axes":
            words += [
                f"--{name.replace('_', '-')}",
                *(value if isinstance(value, list) else [value]),
            ]
    return words


def build_command(identity: dict[str, Any]) -> str | None:
    """The command that makes a store of this identity; None for one that no build made.

    Every choice is spelt out, so that it outlives changes of defaults. Where the data lie (DIR)
    and where the store goes (STORE) is for the reader to fill in.
    """
    if not set(identity) >= _NEEDED:
        return None
    spec, fit = identity["spec"], identity["fit"]
    choices = {
        "--views": [identity["views"]],
        "--recipe": [identity["recipe"]],
        "--hidden": spec["widths"][1:-1],
        "--omega": [spec["omega"][0]],
        "--num-steps": [fit["num_steps"]],
        "--lr": [fit["lr"]],
        # An infinite target is never met: a fit that does not stop early.
        "--stop-psnr": ["inf" if fit["stop_psnr_db"] is None else fit["stop_psnr_db"]],
        "--engine": [identity["engine"]],
        "--seed": [identity["seed"]],
    }
    words = ["inrgen", "build", *_source_words(identity["source"])]
    if fit["init"]["shared"]:
        words.append("--shared")
    for flag, values in choices.items():
        words += [flag, *values]
    if identity["min_psnr_db"] is not None:
        words += ["--min-psnr", identity["min_psnr_db"]]
    return shlex.join(map(str, words))
