"""Activations of hidden layers: equations, derivatives, and the symmetries that follow."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from inrgen.core.config import InitConfig

ActivationName = Literal["sine", "tanh", "relu", "gaussian", "sinc", "finer"]
Parity = Literal["odd", "even", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """A function of a hidden layer's pre-activations z and of the layer's omega.

    Attributes:
        equation: the function as text.
        function: the same of a tensor z and omega.
        slope: its derivative by z.
        parity: "odd" and "even" functions let the signs of units change, by different rules.
        is_periodic: omega (z + pi / omega) gives the negative value, so phases may shift.
        is_homogeneous: c z gives c times the value for c > 0, so units may be scaled.
        scales_input: the function depends on omega z alone, so W, b and omega may be traded.
        usual_omega: omega where a recipe's frequency is for another activation.
        usual_init: initial weights by the rule of its paper, where a recipe's are for another one.
        source: the paper.
        numpy: numpy code of the function of omega z, for readers without inrgen; it may name OMEGA.
    """

    equation: str
    function: Callable[[Any, float], Any]
    slope: Callable[[Any, float], Any]
    parity: Parity = "none"
    is_periodic: bool = False
    is_homogeneous: bool = False
    scales_input: bool = True
    usual_omega: float
    usual_init: InitConfig
    source: str
    numpy: str


def _sinc_slope(z: Any, omega: float) -> Any:
    u = omega * z
    # The quotient is 0 / 0 at 0, where the derivative is 0; both branches must stay finite.
    is_zero = u == 0
    safe = u.masked_fill(is_zero, 1.0)
    return (omega * (safe.cos() - safe.sin() / safe) / safe).masked_fill(is_zero, 0.0)


# SIREN's own rule, which FINER keeps (arXiv 2312.02434): its code draws first biases as torch does.
_SIREN = InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren")
# The code of Gaussian and sinc networks, and of WIRE's Gaussian baseline, leaves torch's default.
_TORCH = InitConfig(hidden_layer="torch", hidden_bias="torch", last_layer="torch")

# Methods of tensors alone, so that a command line reads the names without importing torch.
ACTIVATIONS: dict[ActivationName, Activation] = {
    "sine": Activation(
        equation="sin(omega z)",
        function=lambda z, omega: (omega * z).sin(),
        slope=lambda z, omega: omega * (omega * z).cos(),
        parity="odd",
        is_periodic=True,
        usual_omega=30.0,
        usual_init=_SIREN,
        source="SIREN, arXiv 2006.09661, eq. 3",
        numpy="np.sin",
    ),
    "tanh": Activation(
        equation="tanh(omega z)",
        function=lambda z, omega: (omega * z).tanh(),
        slope=lambda z, omega: omega * (1.0 - (omega * z).tanh().square()),
        parity="odd",
        usual_omega=1.0,
        # torch's start of the last layer, as for relu: these gains are for layers below a bend
        usual_init=InitConfig(hidden_layer="glorot"),
        source="arXiv 2006.09661, a baseline",
        numpy="np.tanh",
    ),
    "relu": Activation(
        equation="max(omega z, 0)",
        function=lambda z, omega: (omega * z).relu(),
        slope=lambda z, omega: omega * (z > 0).to(z.dtype),
        is_homogeneous=True,
        usual_omega=1.0,
        usual_init=InitConfig(),
        source="Fourier features, arXiv 2006.10739",
        numpy="lambda z: np.maximum(z, 0)",
    ),
    "gaussian": Activation(
        equation="exp(-(omega z)^2 / 2)",
        function=lambda z, omega: (-0.5 * (omega * z).square()).exp(),
        slope=lambda z, omega: -omega * omega * z * (-0.5 * (omega * z).square()).exp(),
        parity="even",
        usual_omega=10.0,
        usual_init=_TORCH,
        source="arXiv 2111.15135, where sigma is 1 / omega",
        numpy="lambda z: np.exp(-z * z / 2)",
    ),
    "sinc": Activation(
        equation="sin(omega z) / (omega z)",
        function=lambda z, omega: (omega / math.pi * z).sinc(),
        slope=_sinc_slope,
        parity="even",
        usual_omega=10.0,
        usual_init=_TORCH,
        source="arXiv 2402.05427",
        numpy="lambda z: np.sinc(z / np.pi)",
    ),
    "finer": Activation(
        equation="sin(omega (|z| + 1) z)",
        function=lambda z, omega: (omega * (z.abs() + 1.0) * z).sin(),
        slope=lambda z, omega: omega * (2.0 * z.abs() + 1.0) * (omega * (z.abs() + 1.0) * z).cos(),
        parity="odd",
        scales_input=False,
        usual_omega=30.0,
        usual_init=_SIREN,
        source="FINER, arXiv 2312.02434",
        numpy="lambda z: np.sin(z * (np.abs(z) / OMEGA + 1))",
    ),
}


def _names(is_right: Callable[[Activation], bool]) -> tuple[ActivationName, ...]:
    return tuple(name for name in get_args(ActivationName) if is_right(ACTIVATIONS[name]))


ODD = _names(lambda each: each.parity == "odd")
# The signs of units may change for these; only what leaves a unit tells odd from even.
SYMMETRIC = _names(lambda each: each.parity != "none")
PERIODIC = _names(lambda each: each.is_periodic)
HOMOGENEOUS = _names(lambda each: each.is_homogeneous)
