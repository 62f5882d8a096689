"""From the options of `launch` to a run spec: local, and before anything is asked of AWS."""

from __future__ import annotations

import difflib
import getpass
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runctl_agent.config import draft_spec
from runctl_agent.contract.spec import Spec
from runctl_agent.contract.tags import LONGEST_VALUE
from runctl_agent.errors import ConfigError, NotFoundError, RunctlError, UsageError
from runctl_agent.runtime import Runtime

from .launched import Launched
from .shelf import CODE
from .tree import Root

CHECKPOINTS = "checkpoints"
"""The watched directory, where neither an option nor the spec names one."""
LONGEST_STEM = 40

_SECRET = re.compile(r"SECRET|TOKEN|PASSW|API_?KEY|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of `launch` say; empty: not given."""

    script: str
    arguments: tuple[str, ...] = ()
    run: str = ""
    destination: str = ""
    config: str = ""
    project: str = ""
    checkpoints: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    on_finish: str = ""
    gpus: int = 0
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Of runctl.yaml, for what neither the options nor the run spec says."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """What a mistake in a setting is put down to: the option, the variable, or the line of runctl.yaml."""


def script_problem(script: str) -> RunctlError | None:
    """Why `script` can't be launched, with near misses."""
    if os.path.isfile(script):
        return None
    folder = os.path.dirname(script) or "."
    if os.path.isdir(script):
        return UsageError(f"{script} is a folder", "a script is launched", f"runctl launch {os.path.join(script, 'train.py')}")
    here = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    near = difflib.get_close_matches(os.path.basename(script), here, n=3, cutoff=0.5)
    shown = ", ".join(os.path.join(os.path.dirname(script), name) for name in near)
    why = f"there is no such file in {os.path.abspath(folder)}" if here else f"{os.path.abspath(folder)} has no files"
    return NotFoundError(f"there is no script {script}", why, f"did you mean {shown}?" if near else "name one that is there")


def not_sent(script: str, root: Root, files: Sequence[str]) -> RunctlError | None:
    """Why a script that is there would not be on the instance."""
    if root.relative(script) in files:
        return None
    why = "git ignores it" if root.git else f"it is left out of the code in {root.path}"
    return ConfigError(f"{script} would not be on the instance", why, "take it out of .gitignore" if root.git else "rename it")


def spec_of(asked: Asked, root: Root, runtime: Runtime) -> Spec:
    """The run spec, but for the code. Raises ConfigError with every mistake, UsageError."""
    defaults: dict[str, object] = {
        "run": default_run(asked.script, runtime),
        "checkpoints": [{"path": CHECKPOINTS}],
        "project": os.path.basename(root.path)[:LONGEST_VALUE],
        **asked.defaults,
    }
    given: dict[str, object] = {
        "run": asked.run,
        "destination": asked.destination,
        "checkpoints": [{"path": path} for path in asked.checkpoints],
        "project": asked.project,
        "on_finish": asked.on_finish,
    }
    training = {"command": command(root.relative(asked.script), asked.arguments), "env": environment(asked.env)}
    origins = {"run": "--run", "training.command": "the script and its arguments", "training.env": "--env", **asked.origins}
    try:
        return draft_spec(
            asked.config, {key: value for key, value in given.items() if value} | {"training": training}, defaults, origins
        )
    except ConfigError as error:
        if "destination: missing" not in error.why:
            raise
        mend = "--destination s3://bucket/prefix, or RUNCTL_DESTINATION, or destination in runctl.yaml (runctl init)"
        raise ConfigError(error.what, error.why, mend) from None


def command(script: str, arguments: Sequence[str]) -> list[str]:
    return ["bash" if script.endswith(".sh") else "python3", script, *arguments]


def environment(pairs: Sequence[str]) -> dict[str, str]:
    """Of `--env NAME=VALUE`. Raises UsageError, which does not show the value: it may be a secret."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--env takes NAME=VALUE, and {name!r:.40} has no =", "", f"--env {name:.40}=VALUE")
        found[name] = value
    return found


def looks_secret(spec: Spec) -> list[str]:
    """Variables whose names say that they are secrets; user-data is no place for one: whoever may describe it can read it."""
    return [name for name in spec.training.env if _SECRET.search(name)]


def spec_problems(spec: Spec, launched: Launched) -> list[RunctlError]:
    """What a spec that is valid can't have where it is launched."""
    problems: list[RunctlError] = []
    power = {"on_finish": spec.on_finish, "on_failure": spec.on_failure}
    for name in (name for name, value in power.items() if value == "stop" and launched.spot):
        mend = "terminate" if name == "on_finish" else "keep"
        problems.append(
            ConfigError(f"{name} can't be stop with --spot", "one-time spot instances can't be stopped", f"{name}: {mend}")
        )
    if launched.recover and not launched.spot and "stop" in power.values():
        name = next(name for name, value in power.items() if value == "stop")
        why = "an instance of its group is terminated by a shutdown, for a stopped one would be replaced and stay"
        problems.append(ConfigError(f"{name} can't be stop with --recover", why, f"{name}: terminate"))
    if spec.run == CODE:
        problems.append(
            ConfigError(f"a run can't be named {CODE}", "the code archives lie in a folder of that name", "--run NAME")
        )
    if len(spec.destination) > LONGEST_VALUE:
        why = f"it stands in a tag, of which a value has {LONGEST_VALUE} characters"
        problems.append(ConfigError("the destination is too long", why, "choose a shorter prefix"))
    if spec.recover.group or spec.recover.hook:
        problems.append(ConfigError("recover can't be set", "launch writes it", "take `recover` out of the run spec"))
    return problems


def default_run(script: str, runtime: Runtime) -> str:
    """`<stem>-<yyyymmdd>-<4 hex>`, the day in UTC."""
    stem = re.sub(r"[^a-z0-9]+", "-", os.path.splitext(os.path.basename(script))[0].lower()).strip("-")[:LONGEST_STEM].strip("-")
    day = datetime.fromtimestamp(runtime.now(), UTC).strftime("%Y%m%d")
    return f"{stem or 'run'}-{day}-{runtime.nonce()[-4:]}"


def owner() -> str:
    """Who launches: RUNCTL_OWNER, else the login name."""
    name = os.environ.get("RUNCTL_OWNER", "")
    if not name:
        with suppress(OSError, KeyError):  # no such user, as in a container
            name = getpass.getuser()
    return "".join(one for one in name if one.isprintable())[:LONGEST_VALUE]
