"""Many small linear assignment problems at once, and threads for compiled code.

The solver is Jonker and Volgenant's (Computing 38, 1987): augmenting row reduction, then shortest
augmenting paths. Prices of an earlier problem may start the next one; any prices give an exact
result. The compiled code releases the interpreter, so plain threads share a batch. (Two threads
must not enter numba's own thread pool at once.)
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Work for which a thread pays, in entries of gain matrices.
_ENTRIES_A_THREAD = 32_768


def share_out(work: Callable[[int, int], None], num: int, entries_each: int) -> None:
    """Call work(start, stop) on parts of 0..num-1, in at most as many threads as torch uses.

    Args:
        work: compiled code that releases the interpreter.
        num: number of problems.
        entries_each: size of one problem, which decides whether more threads pay.
    """
    threads = min(torch.get_num_threads(), num * entries_each // _ENTRIES_A_THREAD)
    if threads < 2:
        work(0, num)
        return
    # Several parts a thread, because some problems take longer.
    cuts = np.linspace(0, num, min(num, 4 * threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, low, high) for low, high in pairwise(cuts)]:
            done.result()


def improve_assignments(
    gains: Float[Tensor, "b n n"],
    current: Int[Tensor, "b n"],
    prices: Float[Tensor, "b n"] | None = None,
) -> tuple[Int[Tensor, "b n"], Bool[Tensor, " b"], Float[Tensor, "b n"]]:
    """The assignment of greatest total gain, for each problem where it beats the current one.

    Args:
        gains: gains[b, i, j] is the gain of giving column j to row i. A problem with an entry
            that is not finite keeps its current assignment.
        current: the column of each row, a permutation; ties keep it.
        prices: the prices that an earlier call on similar problems returned; zero if None.

    Returns:
        The assignments, whether each one changed, and prices, all on the device of gains.
    """
    # numba is slow to load, and absent on bare GPU machines
    from inrgen.kernels.assignment import improve_each

    # One pass: the sum is not finite if any entry is not.
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
