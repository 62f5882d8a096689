"""Names and tags come from others: none may command the terminal."""

from __future__ import annotations


def shown(text: str) -> str:
    """On one line, with every character that does not print as its escape.

    >>> shown("a\\x1b[2J\\nb")
    'a\\\\x1b[2J\\\\nb'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
