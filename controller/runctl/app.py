"""The frame of the command line: how anything is said, and how every error ends."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import typer

from runctl_agent.errors import RunctlError, UsageError

from .exits import CTRL_C, Interrupted, document
from .shown import shown


def say(text: str, *, err: bool = False) -> None:
    """To people. What others named is in it: none of it may fail the command, nor command the terminal."""
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    safe = "\n".join(map(shown, text.split("\n"))).encode(encoding, "backslashreplace").decode(encoding)
    typer.echo(safe, err=err)


def write(line: str) -> None:
    """On stdout, at once: a line in which nothing is left that commands a terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Progress, and what is to be known beside the result."""
    say(text, err=True)


def confirm(question: str, otherwise: str) -> bool:
    """Ask the person at the terminal. Raises UsageError, which names `otherwise`, where there is none."""
    if not sys.stdin.isatty():
        raise UsageError("nothing was done", "nobody is at a terminal to be asked", otherwise)
    note(f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def agreed(doing: str, lost: str) -> bool:
    """Ask the person at the terminal about what is lost; where there is none, what was asked for is done, and it is said."""
    if not sys.stdin.isatty():
        note(f"not waited for: {lost}")
        return True
    note(f"not durable yet, and lost by it: {lost}")
    return confirm(f"{doing}?", "--yes does not ask")


def put(plain: Mapping[str, object]) -> None:
    """The one document of `--json`. ASCII, so that what is no Unicode in a name survives."""
    import json

    typer.echo(json.dumps(plain))


def guarded(app: Callable[..., Any]) -> None:
    """Run `app`: every error ends here, as three parts and an exit code, with `--json` also as a document."""
    try:
        code = app(standalone_mode=False)
    except RunctlError as error:
        fail(error)
    except KeyboardInterrupt:
        fail(_interrupted())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a mistake in the options, as typer tells it
            raise
        if (forgotten := _forgotten(error, sys.argv[1:])) is not None:
            fail(forgotten)
        error.show()  # type: ignore[attr-defined]  # typer brings its own click, an older one the real one
        if json_wanted(sys.argv[1:]):
            put(document(UsageError(error.format_message(), "", "--help")))
        sys.exit(UsageError.exit_code)
    if code == CTRL_C:  # typer has caught it
        fail(_interrupted())
    sys.exit(code if isinstance(code, int) else 0)


def _interrupted() -> RunctlError:
    return Interrupted("interrupted", "what was asked of AWS until then stands", "runctl list shows it")


def _forgotten(error: Exception, arguments: list[str]) -> RunctlError | None:
    """An option that launch does not have, after the script: the script's own, and the `--` before it was forgotten."""
    option = getattr(error, "option_name", "")
    named = [place for place, one in enumerate(arguments) if option and one.partition("=")[0] == option]
    if not named or arguments[0] != "launch" or not any(os.path.isfile(one) for one in arguments[1 : named[0]]):
        return None
    whole = shlex.join([*arguments[: named[0]], "--", *arguments[named[0] :]])
    close = getattr(error, "possibilities", None)
    mend = f"runctl {whole}" + (f"; or did you mean {' or '.join(close)}?" if close else "")
    return UsageError(f"launch has no option {option}", "what the script is to get stands after --", mend)


def fail(error: RunctlError) -> NoReturn:
    say(error.full, err=True)
    if json_wanted(sys.argv[1:]):
        put(document(error))
    sys.exit(error.exit_code)


def json_wanted(arguments: list[str]) -> bool:
    """Whether `--json` is among the command's own options."""
    return "--json" in own_options(arguments)


def own_options(arguments: list[str]) -> list[str]:
    """What stands before `--`: the rest is the script's."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments
