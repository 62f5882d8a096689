"""What a command works with, and where each of it comes from: option, environment or runctl.yaml."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .defaults import FILE, REGIONS, SETTINGS, Defaults, Setting, nearest

if TYPE_CHECKING:
    import typer

    from .draft import Asked

LIKE_LAUNCH = ("launch", "doctor")
"""The commands that begin with all of the file."""

IN_FILE = "DEFAULT_MAP"
IN_ENVIRONMENT = "ENVIRONMENT"


def settle(context: typer.Context) -> None:
    """The root's: what the nearest runctl.yaml says becomes the default of the command's options. Raises ConfigError."""
    defaults = nearest()
    context.obj = defaults
    command = context.invoked_subcommand or ""
    found = defaults.parameters(launch=command in LIKE_LAUNCH)
    context.default_map = {command: found, "iam": {"agent": found, "controller": found}}
    region = defaults.values.get("region")
    if region and command != "config" and not any(os.environ.get(name) for name in REGIONS):
        os.environ["AWS_REGION"] = region  # of every client, and of what a command starts


def defaults_of(context: typer.Context) -> Defaults:
    found = context.find_root().obj
    return found if isinstance(found, Defaults) else Defaults()


def from_file(context: typer.Context, parameter: str) -> bool:
    return _source(context, parameter) == IN_FILE


def origins(context: typer.Context) -> dict[str, str]:
    """For each setting, what a mistake in it is put down to."""
    return {one.key: _origin(context, one) for one in SETTINGS if one.parameter}


def _origin(context: typer.Context, setting: Setting) -> str:
    source = _source(context, setting.parameter)
    if source == IN_FILE:
        return f"{defaults_of(context).where(setting.key)}, {setting.key}"
    return setting.variables[0] if source == IN_ENVIRONMENT else setting.flag


def _source(context: typer.Context, parameter: str) -> str:
    found = context.get_parameter_source(parameter)
    return found.name if found is not None else ""


def shown(setting: Setting, defaults: Defaults) -> tuple[Any, str, str]:
    """Value, origin (environment, file or default) and where exactly, outside any command."""
    for name in setting.variables:
        if value := os.environ.get(name):
            return value, "environment", name
    if setting.key in defaults.values:
        return defaults.values[setting.key], "file", f"{FILE} line {defaults.lines[setting.key]}"
    return None, "default", ""


def spec_defaults(context: typer.Context, asked: Asked) -> dict[str, Any]:
    """Of what the run spec has too, what runctl.yaml says is not asked for: it only stands in where the spec is silent."""
    plain: dict[str, Any] = {
        "destination": asked.destination,
        "project": asked.project,
        "checkpoints": [{"path": path} for path in asked.checkpoints],
        "on_finish": asked.on_finish,
    }
    found = [name for name, value in plain.items() if value and from_file(context, name)]
    nothing: dict[str, Any] = {"destination": "", "project": "", "checkpoints": (), "on_finish": ""}
    return {**{name: nothing[name] for name in found}, "defaults": {name: plain[name] for name in found}}
