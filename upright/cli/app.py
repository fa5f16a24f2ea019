"""The command group: what the commands have in common, and where each is found."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from upright.control_client import (
    Ambiguous,
    CommandRefused,
    ControlClient,
    ControlError,
    Found,
    NotFound,
    find,
)
from upright.strategies.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PROBLEM", "Failure", "Target", "app", "as_json", "target"]

PROBLEM: Final = 1
NOT_FOUND: Final = 3
NOT_REACHABLE: Final = 4
REFUSED: Final = 5
INTERRUPTED: Final = 130

_ASKED: Final = "upright.asked"  # in click's context: which tree has been asked, if one has

F = TypeVar("F", bound="Callable[..., Any]")

# Name: module and function. Modules are imported when their command is used, or its help is shown.
_COMMANDS: Final = {
    "status": "upright.cli.status:status_command",
    "top": "upright.cli.top:top_command",
    "history": "upright.cli.history:history_command",
    "flags": "upright.cli.flags:flags_command",
    "breaker": "upright.cli.breaker:breaker_command",
    "config": "upright.cli.config:config_command",
    "doctor": "upright.cli.doctor:doctor_command",
    "replay": "upright.cli.replay:replay_command",
    "record": "upright.cli.record:record_command",
    "demo": "upright.cli.demo:demo_command",
}


class Failure(click.ClickException):
    """Ends the command with a text on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = PROBLEM) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        """Print the text, with nothing in it that could steer the terminal."""
        from upright.cli.words import clean

        text = "\n".join(clean(line) for line in self.message.splitlines())
        click.echo(f"upright: {text}", file=file, err=True)


class _App(click.Group):
    """Finds commands by name, lists them in the order above, and turns expected errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, function = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            from upright.settings.problems import nearest

            meant = nearest(args[0], list(_COMMANDS))
            hint = f" Did you mean {meant!r}?" if meant else f" There are: {', '.join(_COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ControlError as error:
            _fail(error)
        except ConfigError as error:
            raise Failure(str(error)) from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            asked = ctx.meta.get(_ASKED)
            if asked is None:
                raise
            why = f"{asked} sent an answer that this version does not understand ({type(error).__name__}: {error})"
            raise Failure(f"{why}; use the upright that the service runs", NOT_REACHABLE) from error
        except KeyboardInterrupt as error:
            raise Failure("interrupted", INTERRUPTED) from error


def _fail(error: ControlError) -> NoReturn:
    if isinstance(error, NotFound | Ambiguous):
        raise Failure(str(error), NOT_FOUND) from error
    if isinstance(error, CommandRefused):
        raise Failure(f"refused: {error}", REFUSED) from error
    raise Failure(str(error), NOT_REACHABLE) from error


_EPILOG = """\b
Examples:
  upright status                      what is broken, since when, what happens next
  upright status --watch              the same, again and again
  upright top                         live view: tree, circuits, risk, events
  upright history --limit 5           the newest recoveries, step by step
  upright flags self_healing off      switch a stage off while the service runs
  upright breaker checkout open       keep calls away until `breaker checkout auto`
  upright config --explain            every setting, and where it comes from

\b
Exit codes:
  0 fine    1 something is wrong with what was looked at    2 wrong usage
  3 no tree fits, or several    4 no answer    5 refused    130 interrupted

\b
Shell completion: put one of these into the shell's start file
  bash   eval "$(_UPRIGHT_COMPLETE=bash_source upright)"
  zsh    eval "$(_UPRIGHT_COMPLETE=zsh_source upright)"
  fish   _UPRIGHT_COMPLETE=fish_source upright | source
"""


@click.group(cls=_App, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="upright", message="upright %(version)s")
def app() -> None:
    """Look into a service that runs an upright tree, and steer it.

    Works on the processes of the same user (root: of all), through a Unix socket that each tree opens. With one
    tree running nothing needs to be said; otherwise --pid or --name chooses.
    """


class Target:
    """Which tree a command works on.

    Args:
        pid: Its process, or None.
        name: Its name, or None.
        path: Its socket, or None.
        timeout: Seconds for each answer.
    """

    def __init__(self, pid: int | None, name: str | None, path: str | None, timeout: float) -> None:
        self.pid = pid
        self.name = name
        self.path = path
        self.timeout = timeout

    @property
    def is_given(self) -> bool:
        """Whether the user chose one."""
        return (self.pid, self.name, self.path) != (None, None, None)

    def find(self) -> Found:
        """Return the tree; one that was put elsewhere by the configuration of this folder is found as well."""
        try:
            return find(self.pid, self.name, path=self.path)
        except NotFound:
            path = None if self.is_given else _configured_path()
            if path is None:
                raise
            return find(path=path)

    def connect(self) -> ControlClient:
        """Connect to the tree."""
        found = self.find()
        context = click.get_current_context(silent=True)  # none in the threads of `upright top`
        if context is not None:
            context.meta[_ASKED] = str(found)
        return ControlClient(found, timeout=self.timeout)


def _configured_path() -> str | None:
    from upright.config import load_config

    try:
        return load_config().control.path
    except ConfigError:
        return None


def target(function: F) -> F:
    """Give a command the options --pid, --name, --socket and --timeout, as one argument `target`."""
    import functools

    @click.option("--pid", type=click.IntRange(1), help="Process of the tree.", shell_complete=_pids)
    @click.option("--name", "tree_name", help="Name of the tree, as given to boot().", shell_complete=_names)
    @click.option("--socket", "path", type=click.Path(), help="Socket of the tree, where control.path put it.")
    @click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=5.0,
        show_default=True,
        help="Seconds to wait for an answer.",
    )
    @functools.wraps(function)
    def command(
        *args: Any, pid: int | None, tree_name: str | None, path: str | None, timeout: float, **rest: Any
    ) -> Any:
        return function(*args, target=Target(pid, tree_name, path, timeout), **rest)

    return command  # type: ignore[return-value]


def as_json(function: F) -> F:
    """Give a command the option --json, as the argument `as_json`."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    decorated: F = option(function)
    return decorated


def _pids(*_: Any) -> list[Any]:
    return _complete(lambda one: str(one.pid), lambda one: one.name or "")


def _names(*_: Any) -> list[Any]:
    return _complete(lambda one: one.name or "", lambda one: f"pid {one.pid}")


def _complete(value: Callable[[Found], str], text: Callable[[Found], str]) -> list[Any]:
    from click.shell_completion import CompletionItem

    from upright.control_client import find_all

    try:
        return [CompletionItem(value(one), help=text(one)) for one in find_all()]
    except ControlError:
        return []
