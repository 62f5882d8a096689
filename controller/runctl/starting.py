"""runctl.yaml as `init` writes it, and as `config` shows what became of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from runctl_agent.contract.document import total
from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import RunctlError, UsageError, WrongStateError

from .defaults import FILE, SETTINGS, Defaults
from .documents import SettledOne
from .exits import together
from .options import DEFAULT_TYPE
from .settled import shown

HEAD = """\
# What `runctl launch` begins with in this folder and below. An option of the
# command goes before the environment, and that before this file, as `runctl
# config` shows. How one training is run and watched is said in another file, a
# run spec (`runctl launch --config FILE`).
"""

BUILT_IN = {
    "instance_type": DEFAULT_TYPE,
    "spot": False,
    "recover": False,
    "checkpoints": ["checkpoints"],
    "on_finish": "keep",
}
"""What is used where nobody says anything, of those that have such a value."""


def text(given: Mapping[str, str]) -> str:
    """Every setting with its comment; those of `given`, which are YAML, stand, the others are commented out."""
    lines = [HEAD]
    for one in SETTINGS:
        setting = f"{one.key}: {given[one.key]}" if one.key in given else f"#{one.key}: {one.example}"
        instead = ", ".join(filter(None, (one.flag, one.variables[0])))
        lines.append(f"# {one.about} ({instead})\n{setting}\n")
    return "\n".join(lines)


def write(given: Mapping[str, str], *, force: bool) -> tuple[str, list[str]]:
    """The path, and the keys that have a value. Raises WrongStateError where there is a file, UsageError for what is no value."""
    _check(given)
    path = os.path.abspath(FILE)
    if not force and os.path.lexists(path):
        raise WrongStateError(f"{path} is there already", "it was not touched", "see it: runctl config; write it anew: --force")
    beside = f"{path}.new"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text({key: _yaml(value) for key, value in given.items()}))
        os.replace(beside, path)
    except OSError as error:
        raise WrongStateError(f"{path} was not written", error.strerror or str(error), "go where you may write") from error
    return path, [one.key for one in SETTINGS if one.key in given]


def _check(given: Mapping[str, str]) -> None:
    """Raises UsageError with every value that the file could not have."""
    problems: list[RunctlError] = []
    for one in SETTINGS:
        found = total(one.read, given[one.key] == "true" if one.key == "spot" else given[one.key]) if one.key in given else None
        if isinstance(found, Malformed):
            name = one.flag or one.key
            problems.append(UsageError(f"{name} can't be that", found.reason, f"correct {name}, or {one.variables[0]}"))
    together(f"{FILE} was not written", problems)


def _yaml(value: str) -> str:
    import yaml

    plain = [part.strip() for part in value.split(",")] if "," in value else value
    if value == "true":
        return value
    return str(yaml.safe_dump(plain, default_flow_style=True, width=1000)).split("\n")[0]


def settings(defaults: Defaults) -> list[SettledOne]:
    found: list[SettledOne] = []
    for one in SETTINGS:
        value, origin, where = shown(one, defaults)
        if origin == "default":
            value = BUILT_IN.get(one.key)
            if one.key == "region":
                value, where = _sdk_region()
        found.append({"key": one.key, "value": value, "origin": origin, "where": where, "option": one.flag})
    return found


def _sdk_region() -> tuple[str | None, str]:
    from boto3.session import Session

    found = Session().region_name
    return found, "the AWS configuration" if found else ""


def settings_text(found: Sequence[SettledOne], path: str) -> str:
    rows = [
        (one["key"], _plain(one["value"]), one["where"] or ("the default" if one["value"] is not None else "")) for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{key.ljust(widths[0])}  {value.ljust(widths[1])}  {where}".rstrip() for key, value, where in rows]
    return "\n".join([*lines, "", path or f"no {FILE} from here upward: runctl init writes one"])


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
