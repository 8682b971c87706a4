"""What an update of a network costs: time, memory, and how many operations are launched."""

from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class _Launches(TorchDispatchMode):
    """Counts operations that compute something: views only say anew how memory is read."""

    def __init__(self) -> None:
        super().__init__()
        self.num = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num += not func.is_view
        return func(*args, **(kwargs or {}))


def count_launches(run: Callable[[], object]) -> int:
    """How many operations run hands to a device, its backward pass included: about one kernel each.

    Counted where torch dispatches them, so it is the same on every device and machine.
    """
    with _Launches() as launches:
        run()
    return launches.num
