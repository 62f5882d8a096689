"""What several commands say when they are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from runctl import options
from runctl.app import note, put, say

if TYPE_CHECKING:
    from runctl.launch import Begun
    from runctl.plan import Plan
    from runctl.power import Done
    from runctl.resolve import Target
    from runctl.session import Session


def told(begun: Begun, *, as_json: bool, wait: bool) -> None:
    """The id must be out before the launch counts as done."""
    if as_json and not wait:
        put(begun.plain())
        return
    text = f"{begun.spec.run}: launched {begun.launched_as}"
    note(text) if as_json else say(text)


def planned(plan: Plan, *, as_json: bool) -> None:
    """Of --dry-run."""
    put(plan.plain()) if as_json else say(plan.text())


def waited(session: Session, run: str, find: Callable[[], Target], timeout: str, every: str, *, as_json: bool) -> None:
    """`run` as it was named: Ctrl-C ends the watching, and says so."""
    from runctl.render import paragraphs, verdict_text
    from runctl.spend import goes_on
    from runctl.wait import Patience

    patience = Patience(options.seconds("--timeout", timeout), max(0.1, options.seconds("--every", every)))
    try:
        verdict = session.wait(find, patience, note if as_json else say)
    except KeyboardInterrupt:
        raise goes_on(run) from None
    put(verdict.plain()) if as_json else say(paragraphs(verdict_text(verdict, session.now())))
    raise typer.Exit(verdict.outcome.exit_code)


def acted(session: Session, target: Target, done: Done, as_json: bool) -> None:
    from runctl.known import known

    if as_json:
        machine = done.machine
        about = session.resolver.known(target) if machine is None else known(machine.run, machine.destination, machine)
        put(about.plain())
    else:
        from runctl.render import paragraphs

        say(paragraphs(f"{target.run}: {done.text}" + (f"\n  {done.saved}" if done.saved else "")))
