"""The command line: parse, call, render. Exit codes and errors: DESIGN.md section 8, errors.py.

0 done · 1 bug · 2 usage · 3 configuration · 4 AWS refused · 5 not found · 6 wrong state · 7 timed out
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .contract.malformed import Malformed
from .contract.status import State, decode_state, plain_state
from .contract.summary import age, progress, size
from .errors import NotFoundError, RunctlError, UsageError, WrongStateError

if TYPE_CHECKING:
    from .contract.spec import Spec
    from .finding import Finding

# The libraries of a command are imported by that command: `--help` loads neither boto3 nor watchdog.

CONFIG = "/etc/runctl/run.yaml"

app = typer.Typer(
    name="runctl-agent",
    help="Watches a training's checkpoints and commits them to S3.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[str, typer.Option("--config", metavar="FILE", help="The run spec.", show_default=True)]
StateDir = Annotated[
    str, typer.Option("--state-dir", metavar="DIR", help="Default: /var/lib/runctl as root, else $XDG_STATE_HOME/runctl.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


def main() -> None:
    """The entry point: every error ends here, as three parts and an exit code."""
    try:
        app()
    except RunctlError as error:
        _say(error.full, err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _version(wanted: bool) -> None:
    from .build import version_of

    if wanted:
        typer.echo(version_of("runctl-agent"))
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


@app.command()
def run(config: Config = CONFIG, state_dir: StateDir = "") -> None:
    """The daemon."""
    arguments = ["--config", os.path.abspath(config), "--state-dir", _state_dir(state_dir)]
    # Until the daemon has its own handler an interrupt would be a traceback; what is ignored stays so over execv.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # In the same process, but without the command line's libraries: the daemon shares the machine with a training.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "runctl_agent.daemon", *arguments])  # noqa: S606 - no shell is wanted


@app.command(name="exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def exec_(context: typer.Context, config: Config = CONFIG, state_dir: StateDir = "") -> None:
    """Run the command after `--` with pid file and exit record."""
    from .disk.lock import default_runtime_dir
    from .training.exec import run_exec

    if context.args and context.args[0].startswith("-"):
        raise UsageError(
            f"exec has no option {context.args[0]}",
            "what it runs stands after --",
            "runctl-agent exec [--config FILE] -- python train.py",
        )
    spec = _spec(config, state_dir)
    training = spec.training
    made = _made(state_dir)
    code = run_exec(
        context.args,
        pid_file=os.path.join(spec.workdir, training.pid_file),
        exit_code_file=os.path.join(spec.workdir, training.exit_code_file),
        complete_file=os.path.join(spec.workdir, training.complete_file) if training.complete_file else "",
        state_dir=made,
        run=spec.run,
        runtime_dir=default_runtime_dir(made, uid=os.geteuid(), environ=os.environ),
    )
    raise typer.Exit(code)


@app.command()
def status(config: Config = CONFIG, state_dir: StateDir = "", as_json: Json = False) -> None:
    """What the agent knows, from its status file."""
    path = os.path.join(_state_dir(state_dir), "status.json")
    try:
        with open(path, "rb") as file:
            state = decode_state(file.read())
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no status file {path}", "no agent has run with this state directory", "runctl-agent run"
        ) from None
    except OSError as error:
        raise WrongStateError(f"{path} can't be read", error.strerror or str(error), "give another --state-dir") from error
    if isinstance(state, Malformed):
        raise WrongStateError(f"{path} is no status", state.reason, f"remove it; the agent writes it anew: rm '{path}'")
    if config != CONFIG and (run_name := _spec(config, state_dir).run) != state.run:
        raise WrongStateError(
            f"{path} is of run {state.run}, not {run_name}", "its agent wrote it last", "give that run's --state-dir"
        )
    _say(json.dumps(plain_state(state)) if as_json else _described(state, _now(), agent=_agent_runs(path)))


@app.command()
def flush(
    config: Config = CONFIG,
    state_dir: StateDir = "",
    wait: Annotated[bool, typer.Option("--wait", help="Try again until everything is durable.")] = False,
    as_json: Json = False,
) -> None:
    """Everything finished is durable, or why not."""
    from .flush import Flush, not_durable
    from .machine import Machine
    from .runtime import ThreadRuntime

    runtime = ThreadRuntime()
    spec = _spec(config, state_dir)
    _log_warnings()
    machine = Machine(runtime, spec, _made(state_dir))
    journal = machine.journal()
    try:
        flushed = Flush(runtime, spec, machine, journal).run(wait=wait)
    finally:
        journal.close()
    if as_json:
        typer.echo(json.dumps(asdict(flushed)))
    if flushed.pending_checkpoints or flushed.problems:
        raise not_durable(flushed)
    if not as_json:
        newest = f", newest {_shown(flushed.newest.checkpoint)} (step {flushed.newest.step})" if flushed.newest else ""
        _say(f"everything finished is durable: {_count(flushed.commits)} committed{newest}")


@app.command()
def restore(
    config: Config = CONFIG,
    state_dir: StateDir = "",
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="Default: the run's first watched directory.")] = "",
    checkpoint: Annotated[str, typer.Option("--checkpoint", metavar="NAME", help="Default: the newest that verifies.")] = "",
    as_json: Json = False,
) -> None:
    """Bring a checkpoint back, verified."""
    from .machine import Machine
    from .runtime import ThreadRuntime
    from .store.restore import Restorer

    runtime = ThreadRuntime()
    spec = _spec(config, state_dir)
    _log_warnings()
    machine = Machine(runtime, spec, _state_dir(state_dir))
    store = machine.store(machine.instance())
    store.check_bucket(machine.keys.base)
    destination = to or spec.checkpoints[0].path
    restored = Restorer(store, machine.keys, runtime).restore(destination, checkpoint or None)
    for passed in restored.passed_by:
        _say(f"passed by {_shown(passed.checkpoint)}: {_shown(passed.reason)}", err=True)
    manifest = restored.manifest
    if as_json:
        plain = {"path": restored.path, "checkpoint": manifest.checkpoint, "step": manifest.step, "bytes": restored.bytes}
        typer.echo(json.dumps({**plain, "passed_by": [passed._asdict() for passed in restored.passed_by]}))
    else:
        what = f"{_shown(manifest.checkpoint)} (step {manifest.step}, {size(manifest.size)}, verified)"
        _say(f"restored {what} to {_shown(os.path.relpath(restored.path))}")


@app.command()
def doctor(
    config: Config = CONFIG,
    state_dir: StateDir = "",
    image: Annotated[bool, typer.Option("--image", help="Whether this machine is fit to be an image.")] = False,
    root: Annotated[str, typer.Option("--root", metavar="DIR", help="With --image: the image's files.", show_default=True)] = "/",
    as_json: Json = False,
) -> None:
    """Try what the agent needs: identity, S3 rights by doing, tag rights, disk, inotify, clock."""
    if image:
        from .image_check import examine

        return _tell(examine(root), as_json=as_json)
    from .doctor import Doctor
    from .machine import Machine
    from .runtime import ThreadRuntime

    runtime = ThreadRuntime()
    spec = _spec(config, state_dir)
    _log_warnings()
    return _tell(Doctor(runtime, spec, Machine(runtime, spec, _made(state_dir))).examine(), as_json=as_json)


def _tell(findings: list[Finding], *, as_json: bool) -> None:
    """Every finding; the exit code is that of the first that failed."""
    if as_json:
        typer.echo(json.dumps([finding.plain() for finding in findings]))
    else:
        _say("\n".join(map(str, findings)))
    if failed := [finding.error for finding in findings if finding.error is not None]:
        raise typer.Exit(failed[0].exit_code)


def _spec(path: str, state_dir: str) -> Spec:
    from .pointer import load_whole
    from .runtime import ThreadRuntime

    # Who types a command need not wait for a file being written.
    return load_whole(path, _state_dir(state_dir), ThreadRuntime(), patience=0)


def _state_dir(given: str) -> str:
    from .state_dir import default_state_dir

    return os.path.abspath(given or default_state_dir())


def _made(given: str) -> str:
    from .state_dir import make_state_dir

    return make_state_dir(_state_dir(given))


def _say(text: str, *, err: bool = False) -> None:
    """To people. Names of files are in it, which a user chose: none may fail the command, nor command the terminal."""
    typer.echo("\n".join(map(_shown, text.split("\n"))), err=err)


def _shown(name: str) -> str:
    """On one line, with every character that does not print as its escape."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in name)


def _log_warnings() -> None:
    from . import logs

    logs.begin(logging.ERROR)


def _now() -> int:
    from .runtime import ThreadRuntime

    return int(ThreadRuntime().now())


def _agent_runs(status_file: str) -> bool:
    """Whether an agent has the state directory: the daemon holds its lock as long as it lives."""
    from .training.record import locked

    return locked(os.path.join(os.path.dirname(status_file), "daemon.lock"))


def _described(state: State, now: int, *, agent: bool) -> str:
    head = f"{state.run}: {state.phase.value}"
    if state.exit_code is not None:
        head += f", exit code {state.exit_code}"
    lines = [head, f"  {_safe(state, now)}, {size(state.pending_bytes)} behind"]
    lines += [f"  {line}" for line in progress(state, now)]
    lines += [f"  {condition.name.value}: {condition.message}" for condition in state.conditions]
    if state.error:
        lines.append(f"  last error: {state.error}")
    if not agent:
        lines.append(
            f"  no agent is running: this is as of {age(max(0, now - state.heartbeat))} ago; to start it: runctl-agent run"
        )
    return "\n".join(lines)


def _safe(state: State, now: int) -> str:
    if state.committed_at is None:
        return "nothing safe yet"
    return f"step {state.step} safe {age(max(0, now - state.committed_at))} ago"


def _count(checkpoints: int) -> str:
    return f"{checkpoints} checkpoint{'' if checkpoints == 1 else 's'}"
