"""Many small linear assignment problems at once: a compiled Jonker-Volgenant solver.

Jonker and Volgenant, Computing 38 (1987): augmenting row reduction, then shortest augmenting
paths. The prices of a problem solved before may start the next one, which costs nothing in
exactness, for any prices are valid. No Python runs between problems; the interpreter is released,
so that plain threads share a batch (numba's own thread pool may not be entered twice at once).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Below this much work, in entries of gain matrices, a second thread costs more than it brings.
_ENTRIES_A_THREAD = 32_768


def share_out(work: Callable[[int, int], None], num: int, entries_each: int) -> None:
    """Call work(start, stop) on parts of 0..num-1, in as many threads as torch would use.

    Args:
        work: compiled code that releases the interpreter.
        num: how many problems there are.
        entries_each: the size of one, which says whether threads are worth their start.
    """
    threads = min(torch.get_num_threads(), num * entries_each // _ENTRIES_A_THREAD)
    if threads < 2:
        work(0, num)
        return
    # A few parts a thread, since problems differ in how long they take.
    cuts = np.linspace(0, num, min(num, 4 * threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, low, high) for low, high in pairwise(cuts)]:
            done.result()


def improve_assignments(
    gains: Float[Tensor, "b n n"],
    current: Int[Tensor, "b n"],
    prices: Float[Tensor, "b n"] | None = None,
) -> tuple[Int[Tensor, "b n"], Bool[Tensor, " b"], Float[Tensor, "b n"]]:
    """The assignment of greatest total gain of each problem, where it beats the current one.

    Args:
        gains: gains[b, i, j] is what giving column j to row i is worth. A problem with an entry
            that is not finite keeps its current assignment.
        current: the column of each row, a permutation; ties keep it.
        prices: the third result of an earlier call on similar problems; None starts from zero.

    Returns the assignments, whether each one changed, and prices, all on the device of gains.
    """
    # numba is slow to load, and absent on bare GPU machines
    from inrgen.kernels.assignment import improve_each

    # A sum is finite where every entry is, and costs one pass.
    finite = gains.detach().sum(dim=(1, 2)).isfinite().cpu().numpy()
    table = gains.detach().to("cpu", torch.float64).contiguous().numpy()
    columns = current.to("cpu", torch.int64, copy=True).numpy()
    if prices is None:
        prices = torch.zeros(columns.shape)
    asked = prices.to("cpu", torch.float64, copy=True).numpy()
    changed = np.zeros(len(columns), dtype=np.bool_)

    def work(start: int, stop: int) -> None:
        improve_each(table, finite, asked, columns, changed, start, stop)

    share_out(work, len(columns), columns.shape[1] ** 2)
    device = gains.device
    return (
        torch.from_numpy(columns).to(device),
        torch.from_numpy(changed).to(device),
        torch.from_numpy(asked).to(device),
    )


def solve_assignments(gains: Float[Tensor, "b n n"]) -> Int[Tensor, "b n"]:
    """The column of each row in an assignment of greatest total gain, for each problem.

    A problem with an entry that is not finite gets the identity.
    """
    num, units, _ = gains.shape
    return improve_assignments(gains, torch.arange(units).repeat(num, 1))[0]
