"""The command line: what commands there are. Exit codes and errors: DESIGN.md section 8, exits.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Container

import typer

from . import options
from .app import guarded, own_options
from .commands.containing import build
from .commands.ending import flush, start, stop, terminate
from .commands.examining import doctor
from .commands.following import logs, watch
from .commands.keeping import checkpoints, prune, pull
from .commands.launching import launch, resume
from .commands.looking import list_, status, wait
from .commands.permitting import agent, controller
from .commands.reporting import report
from .commands.settling import config, init
from .examples import epilog

BEFORE = (init, config, doctor)
RUNS = (launch, resume, list_, status, watch, wait, logs, report, checkpoints, pull, prune, flush, stop, start, terminate)
GROUPS = (
    ("docker", "The container image of a training.", (build,)),
    ("iam", "The least policy for the agent's role, or for you, as JSON.", (agent, controller)),
)


def application(words: Container[str] | None = None) -> typer.Typer:
    """What is typed is among `words`: commands that are not get no options, which take most of the time; None: all do."""
    app = typer.Typer(
        name="runctl",
        help="Launches trainings on EC2 and follows them. It keeps no state: nothing must keep running.",
        add_completion=True,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    for command in (*BEFORE, *RUNS):
        name = command.__name__.strip("_")
        app.command(name=name, epilog=epilog(name))(command if words is None or name in words else _named(command))
    for group, help_, members in GROUPS:
        below = typer.Typer(name=group, help=help_, no_args_is_help=True, rich_markup_mode=None)
        below.callback()(lambda: None)  # a group, though it may have one command
        for member in members if words is None or group in words else ():
            below.command(name=member.__name__, epilog=epilog(f"{group} {member.__name__}"))(member)
        app.add_typer(below)
    return app


def _named(command: Callable[..., None]) -> Callable[[], None]:
    """It stands in the list of commands, and is not to be called."""

    def listed() -> None:
        raise AssertionError(command.__name__)

    listed.__doc__ = command.__doc__
    return listed


def _root(context: typer.Context, version: options.Version = False) -> None:
    """What runctl.yaml says is the default of every option; `init` and `--help` need none of it."""
    if context.invoked_subcommand == "init" or "--help" in own_options(sys.argv[1:]):
        return
    from .settled import settle

    settle(context)


def main() -> None:
    """The entry point."""
    # botocore takes from it only what the standard library's ssl gives too; where pyOpenSSL is installed, it costs 0.1 s.
    sys.modules.setdefault("urllib3.contrib.pyopenssl", None)  # type: ignore[arg-type]
    completing = "_RUNCTL_COMPLETE" in os.environ
    guarded(application(None if completing else frozenset(sys.argv[1:])))
