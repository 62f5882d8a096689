"""What became of a run, to be kept: report."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from runctl.app import put, say
from runctl.options import Destination, Json, Run

Out = Annotated[str, typer.Option("--out", metavar="FILE", help="Default: ./<run>-report.html; written over.")]


def report(run: Run, out: Out = "", destination: Destination = "", as_json: Json = False) -> None:
    """What became of a run, as one page that needs nothing else.

    Drawn from what is in S3: attempts and what took them, checkpoints, what was safe when, bytes, GPU, cost. With
    --json its figures instead, and no file.
    """
    from runctl.past import past
    from runctl.report import report as figures
    from runctl.report_page import page
    from runctl.session import Session
    from runctl_agent.errors import ConfigError

    session = Session(destination)
    name, shelf = session.shelf(run)
    found = figures(past(shelf, name, session.runtime))
    if as_json:
        put(found.plain())
        return
    path = out or f"{name}-report.html"
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(page(found, session.now()))
    except OSError as error:
        raise ConfigError(f"the report can't be written to {path!a}", error.strerror or str(error), "--out FILE") from error
    say(f"{name}: {len(found.stretches)} attempts, {found.committed} checkpoints: {os.path.abspath(path)}")
