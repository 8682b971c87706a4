"""torch.compile with its real backend gives what plain torch gives, gradients too.

In a process of its own: the run-time checks of shapes that tests switch on cannot be traced.
"""

import os
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import torch
import torch._inductor.config
from torch.testing import assert_close
from inrgen.core import rng
from inrgen.core.mixing import mix
from inrgen.core.params import Params
from inrgen.core.config import InitConfig
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import RandomSymmetry
from inrgen.transforms.geometric import Rotate
from inrgen.transforms.noisy import Dropout, GaussianNoise

spec = InrSpec(widths=(2, 8, 1), omega=(30.0,))
keys = rng.keys(0, "compiled", torch.arange(4))
chain = Chain(
    transforms=(RandomSymmetry(max_phase=2), Rotate(), GaussianNoise(), Dropout()),
    probabilities=(1.0, 0.5, 1.0, 1.0),
)
draw, share = chain.draw(spec, keys), rng.uniform(keys)

def augmented(flat):
    params = Params.from_flat(spec, flat)
    return mix(params, chain.apply(params, draw), share).flat()

# Plain loops, by no worker processes: less for the compiler to try and to start.
torch._inductor.config.compile_threads = 1
torch._inductor.config.cpp.simdlen = 1
compiled = torch.compile(augmented, fullgraph=True)
leaves = []
for function in (augmented, compiled):
    leaf = initialise(spec, InitConfig(hidden_bias="torch"), keys).flat().requires_grad_()
    moved = function(leaf)
    moved.square().sum().backward()
    leaves.append((moved.detach(), leaf.grad))
for plain, fast in zip(*leaves):
    assert bool((plain != 0).any())
    assert_close(fast, plain)
print("ok")
"""


@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler on a CPU",
)
def test_compiled_transforms_give_what_plain_ones_give(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
    )
    assert done.stdout == "ok\n", done.stderr[-3000:]
