"""Names and tags come from others: none may command the terminal."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
"""Control sequences and operating system commands (ECMA-48, 5.4 and 8.3.89)."""


def shown(text: str) -> str:
    """On one line, with every character that does not print as its escape.

    >>> shown("a\\x1b[2J\\nb")
    'a\\\\x1b[2J\\\\nb'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def harmless(line: str) -> str:
    """A line of a log as it would stand on a terminal in the end: without colours and other commands, tabs kept.

    Of what was drawn over, as progress bars are, the last is kept.

    >>> harmless("10 %\\r20 %\\r"), harmless("\\x1b[31mred\\x1b[0m\\tx\\x07")
    ('20 %', 'red\\tx\\\\x07')
    """
    plain = _SEQUENCE.sub("", line)
    last = next((one for one in reversed(plain.split("\r")) if one), "")
    return "\t".join(map(shown, last.split("\t")))
