"""Processes that are really killed, at a file operation of choice."""

import multiprocessing
import os
import signal
from collections.abc import Callable

FORK = multiprocessing.get_context("fork")

_OPERATIONS = ("open", "write", "fsync", "link", "replace", "unlink", "mkdir")


def die_at(moment: int) -> Callable[[], int]:
    """Kill this process before its n-th file operation, or in the middle of a write.

    Returns a function that counts the operations so far.
    """
    count = 0

    def wrap(operation):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count == moment:
                if operation is real["write"]:
                    operation(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return wrapped

    real = {name: getattr(os, name) for name in _OPERATIONS}
    for name in _OPERATIONS:
        setattr(os, name, wrap(real[name]))
    return lambda: count


def run(work: Callable[[], object]) -> int:
    """Work in a new process; return its exit code, which is negative if it was killed."""
    process = FORK.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def count_operations(work: Callable[[], object]) -> int:
    """Number of file operations of some work, done in a new process."""
    receive, send = FORK.Pipe(duplex=False)

    def counted():
        count = die_at(0)
        work()
        send.send(count())

    assert run(counted) == 0
    return receive.recv()
