"""One demo from its first line to its exit code: its folder, its signals, its verdict, and what is left of it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from runctl_agent.errors import RunctlError
from runctl_simulator.cloud import CloudError

from .acts import CHECKPOINT, NOTICED_AFTER, RUN, Demo
from .commands import Unexpected
from .kept import keep
from .screen import GREEN, RED, Screen
from .verdict import Facts, verdict

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal, by its number, asked for the end."""


class Folder:
    """Where all of a demo lies; gone afterwards, unless `keep` was set."""

    def __init__(self) -> None:
        self.keep = False

    def __enter__(self) -> Folder:
        self.path = Path(tempfile.mkdtemp(prefix="runctl-demo-")).resolve()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)


def show(seed: int, *, kept: bool) -> int:
    """The exit code: 0 only if all of it is true, 128 and the signal that ended it."""
    _forget_surroundings()
    screen = Screen(sys.stdout)
    try:
        with Folder() as folder, ExitStack() as stack, _heeding_signals(screen):
            return _shown(Demo(folder.path, seed, screen, stack), folder, screen, kept=kept)
    except Ended as ended:
        return 128 + int(ended.args[0])


def _shown(demo: Demo, folder: Folder, screen: Screen, *, kept: bool) -> int:
    _introduce(screen)
    try:
        true = _judged(demo.play(), screen)
    except (Unexpected, CloudError, RunctlError) as error:
        screen.act("It did not work", str(error))
        true = False
    except BrokenPipeError:
        raise
    except Exception:
        folder.keep = True
        _logs(folder.path, screen)
        raise
    if kept and demo.up:
        _leave_standing(demo, folder, screen)
    elif not true:
        folder.keep = True
        _logs(folder.path, screen)
    return 0 if true else 1


@contextmanager
def _heeding_signals(screen: Screen) -> Iterator[None]:
    """The first raises Ended here; later ones are ignored, also after this context: cleaning up is not broken off."""
    heeded = [number for number in ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup leaves it

    def end(number: int, frame: FrameType | None) -> None:
        ignore()
        raise Ended(number)

    def ignore() -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)

    try:
        for number in heeded:
            signal.signal(number, end)
        yield
    except Ended as ended:
        screen.say(f"ended by {signal.Signals(ended.args[0]).name}: nothing of it will be left")
        raise
    finally:
        ignore()


def _forget_surroundings() -> None:
    """Nothing of the user's own AWS, of a run that this may be part of, or of a proxy reaches the demo."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "RUNCTL_")) or name.lower().endswith("_proxy"):
            del os.environ[name]


def _introduce(screen: Screen) -> None:
    screen.act(
        "runctl-demo",
        "runctl keeps the checkpoints of trainings on EC2 safe: an agent on the machine commits each to S3",
        "as soon as the training has written it. Here a training loses its machine twice, once with a notice and once",
        "without, and ends with the very weights that it would have had, nobody watching. Only EC2 is simulated, its",
        "machines are processes here; the training, the agent, the commands and the S3 server are real.",
    )


def _judged(facts: Facts, screen: Screen) -> bool:
    screen.act("7. What was checked")
    checks = verdict(facts)
    for check in checks:
        screen.check(check.text, true=check.true)
    true = all(check.true for check in checks)
    screen.say("All of it is true." if true else "Not all of it is true.", GREEN if true else RED)
    return true


def _leave_standing(demo: Demo, folder: Folder, screen: Screen) -> None:
    folder.keep = True
    pid = demo.cloud.detach()
    env = keep(folder.path, demo.env, pid)
    screen.act("It is kept", f"The cloud goes on running, as process {pid}. Try, in a shell:")
    for command in (
        (".", str(env)),
        ("runctl", "list"),
        ("runctl", "status", RUN),
        ("runctl", "checkpoints", RUN),
        ("runctl", "pull", RUN, str(folder.path / "older"), "--checkpoint", CHECKPOINT.format(NOTICED_AFTER)),
        ("runctl", "terminate", RUN),
        ("runctl-demo", "--end", str(folder.path)),
    ):
        screen.command(shlex.join(command))
    screen.say("The last one ends it, and deletes all of it.")
    _logs(folder.path, screen)


def _logs(folder: Path, screen: Screen) -> None:
    screen.say(f"The logs lie in {folder}/cloud: simulator.log, and in instances/ each machine's console.log and disk.")
