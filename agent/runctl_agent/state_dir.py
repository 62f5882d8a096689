"""The folder that the agent's own files lie in. Apart from `machine.py`: a command names it without loading botocore."""

from __future__ import annotations

import os

from .errors import WrongStateError


def default_state_dir() -> str:
    """`/var/lib/runctl` as root, else `$XDG_STATE_HOME/runctl`."""
    if os.geteuid() == 0:
        return "/var/lib/runctl"
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "runctl")


def make_state_dir(path: str) -> str:
    """Make it if it is missing, for the agent alone but for its status file. Raises WrongStateError."""
    path = os.path.abspath(path)
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise WrongStateError(
            f"the state directory {path} can't be used", error.strerror or str(error), "give another one with --state-dir"
        ) from error
    return path
