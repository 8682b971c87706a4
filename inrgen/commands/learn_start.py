"""The learn-start verb: learn weights and step sizes from which a few steps fit an item."""

from typing import TYPE_CHECKING

from inrgen.fit.starts.config import LearnStartConfig

if TYPE_CHECKING:
    from inrgen.fit.starts.learn import LearnStartSummary

__all__ = ["LearnStartConfig", "learn_start"]


def learn_start(config: LearnStartConfig) -> "LearnStartSummary":
    """Learn starts, or resume where an earlier run of the same command stopped.

    Raises:
        ValueError: the source, a setting or a file that is there already does not fit.
        OSError: the data cannot be read, or the file cannot be written.
    """
    # A command line's help must not wait for torch.
    from inrgen.fit.starts.learn import learn_start as run

    return run(config)
