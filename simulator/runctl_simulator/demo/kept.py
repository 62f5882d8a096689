"""A demo that was left standing: what is needed to go on with it by hand, and its end."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runctl_agent.errors import NotFoundError, TimedOutError, WrongStateError
from runctl_simulator.image import BIN

ENV = "env.sh"
_NOTE = "demo.json"

PATIENCE = 60
"""Seconds that the cloud has to end: a safety net."""

_IN_THE_WAY = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "no_proxy")
"""What a user's own shell may have, and what would be believed before the rest."""


def keep(folder: Path, env: Mapping[str, str], pid: int) -> Path:
    """Write down how to use the cloud whose process is `pid`, and how to end it; the file to source."""
    lines = [f"unset {' '.join(_IN_THE_WAY)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(env.items()) if name != "PATH"]
    lines.append(f'export PATH={shlex.quote(str(BIN))}:"$PATH"')
    (folder / ENV).write_text("\n".join(lines) + "\n")
    (folder / _NOTE).write_text(json.dumps({"pid": pid}))
    return folder / ENV


def end(folder: Path) -> None:
    """End the cloud and delete the folder. Raises NotFoundError, WrongStateError, TimedOutError."""
    folder = folder.resolve()
    try:
        pid = int(json.loads((folder / _NOTE).read_text())["pid"])
    except FileNotFoundError as error:
        raise NotFoundError(f"{folder} is no demo that was kept", f"it has no {_NOTE}", "name the folder it printed") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongStateError(f"{folder / _NOTE} can't be read", str(error), "end the demo by its pid") from error
    with suppress(ProcessLookupError):
        _terminate(pid, folder)
    shutil.rmtree(folder)


def _terminate(pid: int, folder: Path) -> None:
    """SIGTERM, and wait; a pid that by now is another process's is left alone. Raises ProcessLookupError."""
    process = os.pidfd_open(pid)
    try:
        if _is_cloud_of(pid, folder):
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not select.select([process], [], [], PATIENCE)[0]:
                raise TimedOutError(f"the demo in {folder} did not end", f"process {pid} still runs", f"kill -9 {pid}")
    finally:
        os.close(process)


def _is_cloud_of(pid: int, folder: Path) -> bool:
    """By its own command line, proc_pid_cmdline(5)."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"runctl_simulator.server" in words and any(word.startswith(os.fsencode(folder)) for word in words)
    return False
