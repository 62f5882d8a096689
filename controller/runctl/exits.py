"""What a command ends with, beside what agent/runctl_agent/errors.py has.

0 done · 1 bug · 2 usage · 3 configuration · 4 AWS refused · 5 not found · 6 wrong state · 7 timed out ·
10 training failed · 11 interrupted · 130 Ctrl-C

RunctlError
├── Interrupted         exit 130 Ctrl-C, and what stands now
├── CredentialsError    exit 4   none, expired or unknown: nothing else can be asked
├── NoCapacity          exit 4   EC2 has none of this type in this zone at the moment: another may be there
├── TimedOutError       exit 7
│   ├── Throttled               RequestLimitExceeded: back off and ask again
│   └── Unavailable             no answer, or a 5xx: ask again
└── Problems            exit of the first   several things stand in the way, all told at once
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runctl_agent.errors import RefusedError, RunctlError, TimedOutError

if TYPE_CHECKING:
    from .documents import Error, Failure

TRAINING_FAILED = 10
INTERRUPTED = 11
CTRL_C = 130


class Interrupted(RunctlError):
    exit_code = CTRL_C


@contextmanager
def interruptible(what: str, why: str, mend: str) -> Iterator[None]:
    """Ctrl-C in here is never silent: it says what stands now, and the command that goes on. An inner one knows better."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(what, why, mend) from None


class CredentialsError(RefusedError):
    """None, expired or unknown: every other call would only say the same."""


class NoCapacity(RefusedError):
    """Nothing was launched."""


class Throttled(TimedOutError):
    pass


class Unavailable(TimedOutError):
    """Also raised when only the answer was lost: what was asked may have been done."""


class Problems(RunctlError):
    """Two or more errors. The exit code is the first one's."""

    def __init__(self, what: str, problems: Sequence[RunctlError]) -> None:
        super().__init__(what, f"{len(problems)} things stand in the way", "mend each, and give the command again")
        self.problems = tuple(problems)
        self.exit_code = problems[0].exit_code

    @property
    def full(self) -> str:
        lines = [str(self)]
        for problem in self.problems:
            first, *rest = problem.full.split("\n")
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return "\n".join(lines)


def together(what: str, problems: Sequence[RunctlError]) -> None:
    """Raise all of `problems` as one error; nothing if there are none."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Problems(what, problems)


def document(error: RunctlError) -> Failure:
    """What `--json` prints of an error; several that stand together are also listed one by one."""
    plain = _plain(error)
    if isinstance(error, Problems):
        plain["problems"] = [_plain(problem) for problem in error.problems]
    return {"error": plain}


def _plain(error: RunctlError) -> Error:
    return {"what": error.what, "why": error.why, "mend": error.mend, "exit_code": error.exit_code}
