"""Becoming the training's user, for a while or for good, in a process with one thread.

What lies in a user's directories is reached with that user's rights: no link of theirs leads root anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from runctl_agent.account import Account


@contextmanager
def acting_as(user: Account | None) -> Iterator[None]:
    """Open, create and remove as `user` (credentials(7): the effective ids); None: as before."""
    if user is None or user.uid == os.geteuid():
        yield
        return
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    os.setgroups(_groups(user))
    try:
        os.setegid(user.gid)
        os.seteuid(user.uid)
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def become(user: Account) -> None:
    """For good: nothing leads back."""
    if user.uid == os.geteuid():
        return
    os.setgroups(_groups(user))
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


class Credentials(TypedDict, total=False):
    """Of a process to be started: arguments of `subprocess.Popen`."""

    user: int
    group: int
    extra_groups: list[int]


def credentials(user: Account) -> Credentials:
    """Empty where nothing changes: who is not root may not even ask for what he has."""
    if user.uid == os.geteuid():
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": _groups(user)}


def _groups(user: Account) -> list[int]:
    return os.getgrouplist(user.name, user.gid)
