"""Processes of this machine: everything below one of them, and its sudden end. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress

_PDEATHSIG, _CAPBSET_DROP, _CHILD_SUBREAPER, _NO_NEW_PRIVS = 1, 24, 36, 38
_CAP_SYS_BOOT = 22
_STOPPED = "Tt"
_DEAD = "ZX"

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with_parent() -> None:
    """For `preexec_fn`: SIGKILL when the thread that started it ends, prctl(2) PR_SET_PDEATHSIG."""
    _prctl(_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Whatever is orphaned below this process becomes its child, prctl(2) PR_SET_CHILD_SUBREAPER."""
    _prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)


def give_up_the_host() -> None:
    """Nothing started from here may reboot(2), nor win the right back by a set-uid program, capabilities(7)."""
    _prctl(_CAPBSET_DROP, _CAP_SYS_BOOT, 0, 0, 0)  # without root there is nothing to give up
    _prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


def below(root: int) -> list[int]:
    """Every living process below `root`, parents first."""
    table = _table()
    return [pid for pid in _tree(table, root) if table[pid][1] not in _DEAD]


def children(pid: int) -> list[int]:
    return [child for child, (parent, state) in _table().items() if parent == pid and state not in _DEAD]


def kill_below(root: int, *, and_itself: bool) -> list[int]:
    """SIGKILL to all below `root` however they fork: first every one stands still. Answers whom; the caller reaps."""
    doomed: list[int] = []
    if and_itself:
        _signal([root], signal.SIGSTOP)
    while tree := _frozen(root):
        _kill(tree)
        doomed += tree
    if and_itself and root in _table():
        _kill([root])
        doomed.append(root)
    return doomed


def reap(pids: list[int]) -> None:
    """Wait for those that became this process's children."""
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _frozen(root: int) -> list[int]:
    """Who lives below it, once nobody there moves: what is stopped can't fork.

    What waits in the kernel will not go on before it stops, and may wait for what is stopped already: vfork(2).
    """
    told: set[int] = set()
    while True:
        table = _table()
        tree = [pid for pid in _tree(table, root) if table[pid][1] not in _DEAD]
        moving = [pid for pid in tree if table[pid][1] not in _STOPPED and not (table[pid][1] == "D" and pid in told)]
        if not moving:
            return tree
        _signal(moving, signal.SIGSTOP)
        told.update(moving)
        time.sleep(0.001)


def _kill(pids: list[int]) -> None:
    _signal(pids, signal.SIGKILL)
    while any(_table().get(pid, (0, "X"))[1] not in _DEAD for pid in pids):
        time.sleep(0.001)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _tree(table: dict[int, tuple[int, str]], root: int) -> list[int]:
    offspring: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        offspring.setdefault(parent, []).append(pid)
    found: list[int] = []
    last = [root]
    while last:
        last = [child for pid in last for child in offspring.get(pid, [])]
        found += last
    return found


def _table() -> dict[int, tuple[int, str]]:
    """pid to (parent, state), proc_pid_stat(5)."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
                found[int(name)] = (int(parent), state)
    return found
