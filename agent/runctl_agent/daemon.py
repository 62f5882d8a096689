"""The daemon: wiring, signals, sd_notify; no decisions.

SIGTERM and SIGINT end the agent and leave training alone: what is under way is in the journal, and the next agent goes on
with it. SIGHUP reads the run spec again: if it is valid, the agent starts anew with it in the same process.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from types import FrameType

from filelock import FileLock, Timeout

from . import lean, logs, notify
from .contract.spec import Spec
from .disk.lease import ignore_lease_breaks
from .errors import ImdsUnavailable, RunctlError, StoreError, WrongStateError
from .machine import Machine
from .pipeline import Pipeline
from .pointer import load_whole
from .runtime import Event, Runtime, ThreadRuntime
from .state_dir import make_state_dir
from .store.backoff import backoff

log = logging.getLogger("runctl_agent.daemon")  # also when run as a module

ENDING = 3.0
"""Seconds that a stage may take to end: parts under way may land. What it leaves undone is in the journal."""

LAST = 600.0
"""Seconds that a shutdown waits for what is not durable; EC2 gives "a few minutes", and then cuts the power."""

EXTENSION = 30.0
"""Seconds that are asked of the service manager at a time while that lasts."""

FAREWELL = 5.0
"""Seconds for the last state to be published."""


class Signals:
    """What the process was told, as events."""

    def __init__(self, runtime: Runtime) -> None:
        self.told: Event = runtime.event()
        self.end = False
        self.reload = False
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self._reload)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.end = True
        self.told.set()

    def _reload(self, number: int, frame: FrameType | None) -> None:
        self.reload = True
        self.told.set()


def run(config: str, state_dir: str) -> bool:
    """Run until told to end; returns whether to start anew. Raises RunctlError before anything is watched."""
    runtime = ThreadRuntime()
    signals = Signals(runtime)
    ignore_lease_breaks()
    spec = _spec(config, state_dir, runtime, signals)
    if spec is None:
        return False
    state_dir = make_state_dir(state_dir)
    with _only_one(state_dir), (machine := Machine(runtime, spec, state_dir)).tenancy.agent():
        logs.keep(machine.own_log())
        journal = machine.journal()
        if journal.damaged:
            log.error("the journal was damaged; it lies at %s now, and what is on disk is found anew", journal.damaged)
        pipeline = Pipeline(
            runtime,
            spec,
            machine.keys,
            state_dir,
            machine.home(),
            journal,
            machine.stager(),
            machine.locks(),
            machine,
            machine.own_log(),
        )
        log.info("run %s: watching %s", spec.run, ", ".join(watched.path for watched in spec.checkpoints))
        again = False
        pipeline.start()
        try:
            again = _until_told(signals, pipeline, config, state_dir, runtime)
            return again
        finally:
            if again:
                notify.reloading(int(runtime.monotonic() * 1e6))
            else:
                notify.stopping()
            pipeline.stop()
            pipeline.publisher.flush(FAREWELL)
            pipeline.publisher.stop()
            pipeline.join(ENDING)
            journal.close()


def _spec(config: str, state_dir: str, runtime: Runtime, signals: Signals) -> Spec | None:
    """The run spec, from S3 where it lies there: asked for until it answers. None: told to end."""
    attempt = 0
    while not signals.end:
        try:
            return load_whole(config, state_dir, runtime)
        except (StoreError, ImdsUnavailable) as error:
            attempt += 1
            log.warning("%s", error.full)
            permanent = isinstance(error, StoreError) and error.permanent
            signals.told.wait(backoff(attempt, runtime.random(), permanent=permanent))
    return None


def _until_told(signals: Signals, pipeline: Pipeline, config: str, state_dir: str, runtime: Runtime) -> bool:
    give_up_at: float | None = None
    pulse = notify.Pulse()
    while True:
        signals.told.wait(1.0)
        signals.told.clear()
        pipeline.raise_dead()
        pulse.beat(pipeline.turns)
        if signals.end:
            signals.end = False
            if give_up_at is not None or not pipeline.shut_down():
                log.info("told to end")
                return False
            log.info("the machine is being shut down: everything is made durable first")
            give_up_at = runtime.monotonic() + LAST
        if give_up_at is not None:
            if pipeline.let_go or runtime.monotonic() >= give_up_at:
                log.info("told to end, and %s", "everything is durable" if pipeline.let_go else "no longer waited for")
                return False
            notify.extend(EXTENSION)
        if signals.reload:
            signals.reload = False
            if _valid(config, state_dir, runtime):
                log.info("told to read the run spec again: starting anew")
                return True


def _valid(config: str, state_dir: str, runtime: Runtime) -> bool:
    try:
        spec = load_whole(config, state_dir, runtime, patience=0)  # whoever signals has written it; the watchdog does not wait
        Machine(runtime, spec, state_dir).tenancy.free_of_training()  # this agent's own goes on, and needs it
    except RunctlError as error:
        log.error("the run spec was not read again: %s", error.full)
        return False
    return True


class _only_one:  # noqa: N801 - reads as the statement it is used in
    """One daemon a state directory, as long as it lives."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, "daemon.lock")
        self._lock = FileLock(self._path, timeout=0)

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise WrongStateError(
                "another agent is running with this state directory",
                f"{self._path} is locked",
                "stop it first: systemctl stop runctl-agent, or kill it",
            ) from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def main() -> None:
    """`python -m runctl_agent.daemon`: what `runctl-agent run` becomes, without the command line's libraries in memory."""
    parser = argparse.ArgumentParser(prog="runctl-agent run")
    parser.add_argument("--config", required=True)
    parser.add_argument("--state-dir", required=True)
    arguments = parser.parse_args()
    logs.begin()
    lean.one_arena()
    try:
        again = run(arguments.config, arguments.state_dir)
    except RunctlError as error:
        print(error.full, file=sys.stderr)  # noqa: T201 - the command's answer
        sys.exit(error.exit_code)
    except Exception:
        log.critical("the agent ends: this is a bug", exc_info=True)
        sys.exit(1)
    if again:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "runctl_agent.daemon", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
