"""What is sent first while not everything can be sent any more; without it the newest is."""

from __future__ import annotations

PATIENCE = 2.0
"""Seconds for which what could not be begun makes nothing give way: it failed a moment ago, or somebody else has it."""


class Course:
    """Set by one task, asked by others. `now` is in monotonic seconds."""

    def __init__(self) -> None:
        self._first: tuple[int, ...] = ()
        self._can: tuple[int, ...] = ()
        self._passed: frozenset[int] = frozenset()
        self._passed_until = 0.0
        self.hurried = False

    @property
    def first(self) -> tuple[int, ...]:
        """Rows of the journal, in the order of sending; all others come after them."""
        return self._first

    def set(self, send: tuple[int, ...], then: tuple[int, ...]) -> None:
        """`send`: the rows that can finish, in their order; `then`: those that can't."""
        self._can, self._first, self.hurried = send, (*send, *then), True

    def clear(self) -> None:
        self._can, self._first, self.hurried = (), (), False

    def begun(self, row_id: int, now: float) -> None:
        """That row is sent: nothing before it could be."""
        can = self._can
        before = can[: can.index(row_id)] if row_id in can else can
        self._passed, self._passed_until = frozenset(before), now + PATIENCE

    def gives_way(self, row_id: int, now: float) -> bool:
        """Whether that row is left, for now, to one that can finish in time. What can't finish makes nothing give way."""
        passed = self._passed if now < self._passed_until else frozenset()
        head = next((one for one in self._can if one not in passed), row_id)
        return head != row_id
