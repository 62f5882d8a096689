"""What is asked of a living run: flush, stop, start, terminate."""

from __future__ import annotations

from runctl import options
from runctl.options import Destination, Json, Run, Timeout, seconds

from .telling import acted


def flush(run: Run, destination: Destination = "", timeout: Timeout = options.TIMEOUT, as_json: Json = False) -> None:
    """Ask the agent to make durable what is finished, and wait until it is."""
    from runctl.session import Session

    session = Session(destination)
    acted(session.power().flush(session.target(run), seconds("--timeout", timeout)), "everything finished is durable", as_json)


def stop(
    run: Run, destination: Destination = "", timeout: Timeout = options.TIMEOUT, now: options.Now = False, as_json: Json = False
) -> None:
    """End the training, make everything durable, stop the instance; its disk stays."""
    from runctl.session import Session

    session = Session(destination)
    machine = session.power().stop(session.target(run), seconds("--timeout", timeout), now=now)
    acted(machine, f"{machine.id} is stopped", as_json)


def start(run: Run, destination: Destination = "", as_json: Json = False) -> None:
    """Start a stopped instance again; its agent goes on."""
    from runctl.session import Session

    session = Session(destination)
    acted(machine := session.power().start(session.target(run)), f"{machine.id} is starting", as_json)


def terminate(
    run: Run, destination: Destination = "", timeout: Timeout = options.TIMEOUT, now: options.Now = False, as_json: Json = False
) -> None:
    """End the training, make everything durable, terminate the instance; its disk goes."""
    from runctl.session import Session

    session = Session(destination)
    machine = session.power().terminate(session.target(run), seconds("--timeout", timeout), now=now)
    acted(machine, f"{machine.id} is terminated", as_json)
