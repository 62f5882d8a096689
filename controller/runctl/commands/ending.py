"""What is asked of a living run: flush, stop, start, terminate."""

from __future__ import annotations

from runctl import options
from runctl.app import agreed, note
from runctl.options import Destination, Json, Run, Timeout, seconds

from .telling import acted


def flush(run: Run, destination: Destination = "", timeout: Timeout = options.TIMEOUT, as_json: Json = False) -> None:
    """Wait until everything finished is durable.

    The agent of a living instance is asked for it, and 7 says that it was not so in time.
    """
    from runctl.session import Session

    session = Session(destination)
    target = session.target(run)
    acted(session, target, session.power(agreed).flush(target, seconds("--timeout", timeout)), as_json)


def stop(
    run: Run,
    destination: Destination = "",
    timeout: Timeout = options.TIMEOUT,
    now: options.Now = False,
    yes: options.Yes = False,
    as_json: Json = False,
) -> None:
    """Save, then stop the instance; its disk stays.

    The training is ended by its stop signal, and everything is made durable before.
    """
    from runctl.power import Declined
    from runctl.session import Session

    session = Session(destination)
    target = session.target(run)
    try:
        done = session.power(unasked if yes else agreed).stop(target, seconds("--timeout", timeout), now=now)
    except Declined:
        note("nothing was done")
        return
    acted(session, target, done, as_json)


def start(run: Run, destination: Destination = "", as_json: Json = False) -> None:
    """Start a stopped instance again; its agent goes on."""
    from runctl.session import Session

    session = Session(destination)
    target = session.target(run)
    acted(session, target, session.power(agreed).start(target), as_json)


def terminate(
    run: Run,
    destination: Destination = "",
    timeout: Timeout = options.TIMEOUT,
    now: options.Now = False,
    yes: options.Yes = False,
    as_json: Json = False,
) -> None:
    """Save, then terminate the instance; its disk goes.

    The training is ended by its stop signal, and everything is made durable before. The run's group goes too, if it has one.
    Where EC2 has nothing left of the run nothing is done.
    """
    from runctl.power import Declined
    from runctl.session import Session

    session = Session(destination)
    target = session.target(run)
    try:
        done = session.power(unasked if yes else agreed).terminate(target, seconds("--timeout", timeout), now=now)
    except Declined:
        note("nothing was done")
        return
    acted(session, target, done, as_json)


def unasked(_doing: str, lost: str) -> bool:
    note(f"not waited for: {lost}")
    return True
