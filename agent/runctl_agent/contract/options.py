"""Readers of the single settings of a run spec; each says what was expected."""

from __future__ import annotations

import re
import signal
import warnings
from collections.abc import Mapping

from .document import Fields, Wrong, array, show, text
from .keys import read_destination
from .names import choice, glob, line, local_path, matching, script

power = choice("keep", "stop", "terminate")
user = matching(r"(?:[A-Za-z_][A-Za-z0-9_.-]{0,31})?", "the name of a user")
setup_lines = array(script)
image = matching(r"(?:[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511})?", "the name of a container image: [registry/]name[:tag][@digest]")

_OBJECT = re.compile(r"s3://[^/]+/.+")
_TEXTFILE = re.compile(r"/(.*/)?[^/]+\.prom", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNCATCHABLE = ("SIGKILL", "SIGSTOP")
_LONGEST_TAG = 256


def destination(value: object) -> str:
    read_destination(value)
    return text(value)


def object_url(value: object) -> str:
    """`s3://bucket/key`."""
    url = line(value)
    if not _OBJECT.fullmatch(url):
        raise Wrong(f"expected s3://bucket/key, not {show(url)}")
    return url


def code(value: object) -> str:
    return "" if value == "" else object_url(value)


def tag_value(value: object) -> str:
    given = line(value)
    if len(given) > _LONGEST_TAG:
        raise Wrong(f"longer than the {_LONGEST_TAG} characters of a tag")
    return given


def watched_path(value: object) -> str:
    if value == "":
        raise Wrong("expected the path of a directory, not an empty text")
    return local_path(value)


def textfile(value: object) -> str:
    """Where node_exporter's textfile collector looks: in one directory, for `*.prom`. Empty: nowhere."""
    path = local_path(value)
    if path and not _TEXTFILE.fullmatch(path):
        raise Wrong(f"expected an absolute path that ends in .prom, for node_exporter reads no other, not {show(path)}")
    return path


def alone(value: object) -> None:
    """`spec` beside other settings."""
    raise Wrong("stands alone, as the pointer to a spec that is elsewhere, or not at all")


def include(value: object) -> tuple[str, ...]:
    patterns = array(glob)(value)
    if not patterns:
        raise Wrong("expected one or more patterns, not an empty list: nothing would be watched")
    return patterns


def command(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise Wrong(f"expected a list of the program and its arguments, such as [python, train.py], not {show(value)}")
    words = array(script)(value)
    if words and not words[0]:
        raise Wrong("the program's name is empty")
    return words


def env(value: object) -> Mapping[str, str]:
    """Values are never shown: they may be secrets."""
    fields = Fields(value)
    names = [text(name) for name in fields]
    for name in names:
        if not _VARIABLE.fullmatch(name):
            raise Wrong(f"{show(name)} is not the name of a variable")
    return {name: fields.need(name, _secret) for name in names}


def _secret(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("expected text: put the value in quotes")
    try:
        return script(value)
    except Wrong:
        raise Wrong("the value has a NUL, or half a surrogate pair") from None


def stop_signal(value: object) -> str:
    name = text(value)
    if name in _UNCATCHABLE:
        raise Wrong(f"a process can't answer {name}")
    if name not in signal.Signals.__members__:
        raise Wrong(f"expected the name of a signal, such as SIGTERM, SIGINT or SIGUSR1, not {show(name)}")
    return name


def pattern(value: object) -> str:
    """A regular expression of `re`."""
    given = script(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # re warns of what it may read differently one day
            re.compile(given)
    except (re.error, RecursionError, OverflowError) as error:
        raise Wrong(f"{show(given)} is not a regular expression: {error}") from None
    return given
