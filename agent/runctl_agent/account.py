"""Whom the training runs as, and where that one is at home."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import ConfigError

LOGIN_USER = "RUNCTL_LOGIN_USER"
"""The variable in which an image names its login user; its build writes it into the agent's unit."""

LOGIN_USERS = ("ubuntu", "ec2-user", "admin")
"""Of Ubuntu, Amazon Linux and Debian ("Manage system users on your Linux instance", Amazon EC2 User Guide)."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine. `home` is absolute."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def account(user: str, environ: Mapping[str, str] = os.environ, *, euid: int | None = None) -> Account:
    """The account named `user`; empty: the image's login user, or the agent's own where it is not root.

    Raises ConfigError: there is no such user, or the agent may not become it.
    """
    euid = os.geteuid() if euid is None else euid
    found = _named(user or _default(environ, euid), euid)
    if euid not in (0, found.pw_uid):
        raise ConfigError(
            f"training.user {found.pw_name} can't be had",
            f"the agent is not root and runs as uid {euid}",
            "run the agent as root, or leave training.user out",
        )
    # The agent's own home is where its environment says: a login may have moved it.
    home = (environ.get("HOME") if found.pw_uid == euid else None) or found.pw_dir
    return Account(found.pw_name, found.pw_uid, found.pw_gid, home, found.pw_shell or "/bin/sh")


def _default(environ: Mapping[str, str], euid: int) -> str:
    """A name, or a uid in digits."""
    if euid != 0:
        return str(euid)
    if given := environ.get(LOGIN_USER):
        return given
    return next((name for name in LOGIN_USERS if _exists(name)), str(euid))


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _named(user: str, euid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (KeyError, ValueError, OverflowError):
        if user == str(euid):  # a container's user need not stand in /etc/passwd
            return pwd.struct_passwd((user, "x", euid, os.getegid(), "", "/", "/bin/sh"))
        raise ConfigError(
            f"training.user {user!r} can't be had", "this machine has no such user", "name one of /etc/passwd"
        ) from None
