"""What an agent left in the journal for the next one: what can't be read is as if there had been nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runctl_agent import outlook, report, shipping
from runctl_agent.life import ends, finish, launches, notices, orders, wants

BOOT = "2d1c0f6e"

NOTHING: dict[str, tuple[Callable[[str], object], object]] = {
    "rate": (outlook._remembered, (0.0, 0.0, [])),
    "life": (report._remembered, None),
    "log": (shipping._remembered, None),
    "notices": (lambda text: notices._remembered(text, BOOT), {}),
    "want": (wants._remembered, None),
    "end": (lambda text: finish._remembered(text, BOOT), None),
    "order": (lambda text: orders._remembered(text, BOOT), None),
    "launch": (launches._kept, ("", None)),
    "failure": (lambda text: ends.failure_of(text, BOOT), ()),
}
TEXTS = (
    "{",
    "null",
    "7",
    "[]",
    "[" * 100_000,
    '{"a":' * 100_000,
    "1" * 5000,
    '"\\ud800"',
    "[1e999, 1, []]",
    f"[{10**400}, 1, []]",
    "[1, 1, [[1, 1e999]]]",
    "[1, [1, 1e999, 1, 1], [1]]",
    f'["{BOOT}", [["spot", "x", 1, "", 1]]]',
    f'["{BOOT}", "notice", "no phase", "", 1]',
    f'["{BOOT}", 1, "no phase"]',
    '{"boot_id": "b", "attempt": 1e999, "phase": "training", "since": 1, "exit_code": null}',
    '{"verb": "flush", "nonce": "5f", "boot_id": "b", "mark": 1e999, "done": false}',
)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("name", NOTHING)
def test_what_cant_be_read_is_as_if_there_had_been_nothing(name: str, text: str) -> None:
    read, nothing = NOTHING[name]
    assert read(text) == nothing
