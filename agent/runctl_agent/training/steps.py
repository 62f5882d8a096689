"""The setup lines of a training as shell text. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def steps(lines: Sequence[str]) -> str:
    """Every line is a step: said before, and the end of the shell where its status is not 0.

    >>> steps([])
    ''
    """
    text = []
    for line in lines:
        shown = shlex.quote(line)
        text.append(
            f"printf 'runctl: setup: %s\\n' {shown}\n{{ {line}\n}} || "
            f'{{ code=$?; printf \'runctl: setup failed, exit code %s: %s\\n\' "$code" {shown}; exit "$code"; }}\n'
        )
    return "".join(text)
