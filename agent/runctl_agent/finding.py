"""What a doctor found: what is well, or what is not, why, and its mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import RunctlError, WrongStateError
from .store.lifecycle import Advice

Check = Callable[[], str | Advice]
"""What is well, for people. Raises RunctlError, or OSError."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`text`: what is well, with the `advice` that makes it better if there is one; empty where `error` says what is not."""

    name: str
    text: str
    error: RunctlError | None = None
    advice: str = ""

    def plain(self) -> dict[str, object]:
        """For JSON."""
        if self.error is None:
            advice = {"advice": self.advice} if self.advice else {}
            return {"name": self.name, "ok": True, "text": self.text, **advice}
        return {"name": self.name, "ok": False, "what": self.error.what, "why": self.error.why, "mend": self.error.mend}

    def __str__(self) -> str:
        if self.error is None:
            return f"note {self.name}: {self.text}\n     mend: {self.advice}" if self.advice else f"ok   {self.name}: {self.text}"
        line = f"FAIL {self.name}: {self.error}"
        return f"{line}\n     mend: {self.error.mend}" if self.error.mend else line


def find(name: str, check: Check) -> Finding:
    try:
        found = check()
        return Finding(name, found) if isinstance(found, str) else Finding(name, found.text, advice=found.mend)
    except RunctlError as error:
        return Finding(name, "", error)
    except OSError as error:
        return Finding(name, "", WrongStateError(f"{name} could not be examined", str(error), "mend that, and try again"))
