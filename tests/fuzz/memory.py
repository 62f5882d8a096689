"""What an agent left in its journal for the next one, which may be of another version, or on a disk that lies."""

from __future__ import annotations

import json

from runctl_agent import outlook, report, shipping, slots
from runctl_agent.errors import JournalError
from runctl_agent.life import ends, finish, launches, notices, orders, wants
from runctl_agent.store import rows, sums
from runctl_agent.training.job import decode_done

from .target import Target, text_of

BOOT = "2d1c0f6e"


def _memories(body: bytes) -> object:
    text = text_of(body)
    return (
        slots.decode_turn(text),
        outlook._remembered(text)[0] > 0,
        report._remembered(text),
        shipping._remembered(text),
        bool(notices._remembered(text, BOOT)),
        wants._remembered(text),
        finish._remembered(text, BOOT),
        orders._remembered(text, BOOT),
        launches._kept(text),
        ends.failure_of(text, BOOT),
        sums._decode(text),
    )


def _staged(body: bytes) -> object:
    return rows.encode_staged(rows.decode_staged(text_of(body))) and "staged"


def _done(body: bytes) -> object:
    """Said by a process that has become the training's user."""
    return bool(decode_done(body).error)


ID = [1, 2, 3, 4]
STAGED = {
    "root": "/checkpoints",
    "name": "last.pt",
    "kind": "file",
    "step": 7,
    "weights": True,
    "complete": True,
    "at": 1795457375.5,
    "entries": [["last.pt", *ID]],
    "directory": "/checkpoints/.runctl/000001",
    "files": [["last.pt", "link", ID, ID]],
}
DONE = {
    "error": "",
    "tail": ["a"],
    "env": {"PATH": "/bin"},
    "needs": {"command": ["python"], "notes": [], "steps": ["x"]},
    "lost": False,
}
MEMORIES: list[object] = [
    {"instance": "i-1", "slot": "b", "generation": 7, "seen": True},
    [52_428_800, 1000, [[60.5, 2**30], [61.0, 2**30]]],
    {"boot_id": BOOT, "attempt": 1, "phase": "training", "since": 1795457000, "exit_code": None, "stood": True},
    [1, [4096, 77, 4096, 12], [8192, 77, 8192]],
    [BOOT, [["spot", "terminate", 1795457480.0, "", 1795457375.0, None]]],
    {"verb": "flush", "nonce": "5f", "boot_id": BOOT, "mark": 7, "done": False},
    [BOOT, 1, "finished"],
    [BOOT, "notice", "interrupted", "the machine is taken", 1795457480.0],
    [BOOT, 1795457000],
    [BOOT, "setup ended with exit code 1"],
    ["last.pt", 7, [True, 1, 7, 3], 1795457375.5, "manifests/000001-00000003-last.pt.json"],
]

TARGETS = (
    Target("memories", _memories, [json.dumps(one).encode() for one in MEMORIES]),
    Target("staged", _staged, [json.dumps(STAGED).encode()], (JournalError,)),
    Target("worker-answer", _done, [json.dumps(DONE).encode()]),
)
