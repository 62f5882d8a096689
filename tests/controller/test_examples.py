"""Every use of a command that help and guides show is one that the command line takes; nothing of it is carried out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from runctl.cli import application
from runctl.examples import EXAMPLES

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
INLINE = re.compile(r"`(runctl [a-z][^`]*)`")
PLACEHOLDER = re.compile(r"\b(?:RUN|FILE|ID)\b")


def uses(text: str) -> list[str]:
    """The calls of `runctl` in one line of a shell."""
    words = shlex.split(text, comments=True)
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|", ">", ";") or word.startswith("2>"):
            found.append([])
        else:
            found[-1].append(word)
    return [shlex.join(call[1:]) for call in found if call and call[0] == "runctl"]


def guides() -> list[tuple[str, str]]:
    found = []
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text()
        for line in (*SHOWN.findall(text), *INLINE.findall(text)):
            found += [(path.name, use) for use in uses(PLACEHOLDER.sub("x", line))]
    return found


@pytest.mark.parametrize(
    ("where", "use"), [(name, use) for name, lines in EXAMPLES.items() for line in lines for use in uses(line)]
)
def test_an_example(where: str, use: str) -> None:
    parse(use)
    assert any(one.startswith(f"runctl {where}") for one in EXAMPLES[where])


@pytest.mark.parametrize(("page", "use"), guides())
def test_a_guide(page: str, use: str) -> None:
    parse(use)


def test_every_command_has_an_example() -> None:
    commands = {one.name for one in application().registered_commands}
    for group in application().registered_groups:
        assert group.typer_instance is not None
        commands |= {f"{group.typer_instance.info.name} {one.name}" for one in group.typer_instance.registered_commands}
    assert commands == set(EXAMPLES)


def test_the_guides_show_enough() -> None:
    assert len(guides()) > 25
    with pytest.raises(Exception, match="No such option"):
        parse("launch train.py --no-such-option")


def parse(use: str) -> None:
    """Raises click's UsageError. The bare name of a command speaks of it, and is no use of it."""
    command, rest, context = get_command(application()), shlex.split(use), None
    while hasattr(command, "resolve_command"):
        context = command.make_context("runctl", list(rest), parent=context)
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, name
        command = found
    if rest:
        command.make_context("runctl", list(rest), parent=context)
