"""torch.compile takes every action on weights in one graph.

It runs in another process, because torch cannot trace the shape checks that tests switch on.
"""

import subprocess
import sys

SCRIPT = """
import torch
from torch.testing import assert_close
from inrgen.core import geometry, mixing, rng, symmetry
from inrgen.core.config import InitConfig
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec

spec = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 30.0))
keys = rng.keys(0, "compiled", torch.arange(4))
flat = initialise(spec, InitConfig(hidden_bias="torch"), keys).flat()
still = symmetry.identity(spec, 4)
element = symmetry.Symmetry(
    permutations=tuple(p.flip(1) for p in still.permutations),
    signs=tuple(-s for s in still.signs),
    phases=tuple(k + 1 for k in still.phases),
    omega=spec.omega,
)
motion = geometry.rotation(spec, geometry.rotation_2d(torch.linspace(0, 1, 4)))
normal = Params.from_flat(spec, rng.normal(keys, (spec.num_params,)))
keep = tuple(t > 0 for pair in zip(normal.weights, normal.biases) for t in pair)
share = rng.uniform(keys)
coords = torch.rand(5, 2)
actions = {
    "symmetry": lambda p: symmetry.apply(p, element),
    "wrap": lambda p: symmetry.wrap_phase(p, spec.omega),
    "scale_units": lambda p: symmetry.scale_units(p, tuple(b.exp() for b in p.biases[:-1])),
    "motion": lambda p: geometry.apply(p, motion),
    "noise": lambda p: mixing.add_noise(p, normal, 0.3),
    "drop": lambda p: mixing.drop(p, keep, 2.0),
    "quantile": lambda p: mixing.drop_below_quantile(p, share),
    "mix": lambda p: mixing.mix(p, p, share),
}
for name, action in actions.items():
    def run(flat, action=action):
        return evaluate(spec, action(Params.from_flat(spec, flat)), coords)
    leaf = flat.clone().requires_grad_()
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)(leaf)
    compiled.sum().backward()
    assert torch.isfinite(leaf.grad).all(), name
    assert_close(compiled, run(flat), msg=lambda text, name=name: f"{name}: {text}")
print("ok", len(actions))
"""


def test_every_action_compiles_in_one_graph():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout == "ok 8\n", done.stderr[-3000:]
