"""Parse a command line into a config dataclass: its help, and one sentence for each mistake."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from inrgen.core.config_fields import refuse_ignored, typed_options

Config = TypeVar("Config")
_Inner = TypeVar("_Inner")


def parse_config(
    config_class: type[Config], prog: str, arguments: Sequence[str]
) -> tuple[Config, bool]:
    """The config of a command line, and whether its summary is printed as JSON.

    Args:
        prog: the command as a user types it, for the help.

    Raises:
        ValueError: an option is wrong; the sentence names it.
        SystemExit: after --help.
    """
    # tyro takes a tenth of a second, which the list of verbs need not wait for.
    import tyro

    from inrgen.core.arguments import OPTIONAL, hide_absent_defaults
    from inrgen.core.help_groups import grouped_help
    from inrgen.core.parse_errors import errors_as_sentences

    hide_absent_defaults(config_class)

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Command(Generic[_Inner]):
        """A verb's config and the form of its summary.

        Attributes:
            config: what the verb is asked to do.
            json: print the summary as one JSON document on stdout, and nothing else there.
        """

        config: Annotated[_Inner, tyro.conf.arg(name="")]
        json: bool = False

    with errors_as_sentences(config_class), grouped_help(config_class):
        command: Any = tyro.cli(
            Command[config_class],
            args=arguments,
            prog=prog,
            description=inspect.cleandoc(config_class.__doc__ or "").split("\nAttributes:")[0],
            registry=OPTIONAL,
        )
    refuse_ignored(command.config, typed_options(config_class, arguments))
    return command.config, command.json
