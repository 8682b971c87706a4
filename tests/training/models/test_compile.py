"""torch.compile traces each network as one graph, with the same logits and gradients.

This runs in another process, because the shape checks of tests cannot be traced.
"""

import subprocess
import sys

SCRIPT = """
import torch
from torch.testing import assert_close
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.catalog import make_model, parse_model

torch.set_num_threads(1)
spec = InrSpec(widths=(2, 4, 3, 1), omega=(30.0, 30.0))
flat = 0.1 * torch.randn(5, spec.num_params, generator=torch.Generator().manual_seed(0))
gnn = "gnn,heads=2,node=6,edge=5,attention=8,node_hidden=7,edge_hidden=4,features=8"
families = ["mlp,hidden=8", "dws,layers=1", gnn, "signed,channels=8,points=3"]
for text in families:
    model = make_model(parse_model(text), spec, 3, 0).eval()
    found = []
    for run in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        model.zero_grad()
        logits = run(Params.from_flat(spec, flat))
        logits.square().sum().backward()
        found.append([logits.detach(), *(weight.grad.clone() for weight in model.parameters())])
    for plain, compiled in zip(*found):
        assert_close(plain, compiled, rtol=1e-3, atol=1e-4)
print("ok", len(families))
"""


def test_every_family_compiles_in_one_graph():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout == "ok 4\n", done.stderr[-3000:]
