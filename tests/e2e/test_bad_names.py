"""Names that no key, document or terminal takes as they are: through to restore, identical."""

from __future__ import annotations

import json
import os
from pathlib import Path

from runctl_agent.contract.keys import Keys
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.restore import Restorer
from tests.e2e.agent import Agent
from tests.e2e.committed import committed, everything
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body

LATIN = os.fsdecode(b"caf\xe9.pt")
LONG = "x" * 252 + ".pt"
FILES = (
    LATIN,
    LONG,
    "a%2Fb.pt",
    "a%252Fb.pt",
    "a b.pt",
    "a+b.pt",
    "a%20b.pt",
    "A.pt",
    "a.pt",
    "-rf.pt",
    "two\nlines.pt",
    "'\"$(true)`\\.pt",
    "步.pt",
    "e\u0301.pt",
    "\u00e9.pt",
    "\x1b[31m.pt",
)
"""Some of them would be one if a key were made of them carelessly: by decoding, case or normal form."""
INSIDE = (
    os.fsdecode(b"\xff/\xfe.pt"),
    f"{'d' * 255}/{'e' * 255}/{'f' * 255}/{'g' * 250}.pt",
    f"{'d' * 255}/{'e' * 255}/{'f' * 255}/{'h' * 250}.pt",
    "a%2Fb.pt",
    "a/b.pt",
)


def fill(directory: Path) -> dict[str, bytes]:
    """Every file another content; its path below `directory` to the content."""
    contents: dict[str, bytes] = {}
    for name in (*FILES, *(f"whole/{path}" for path in INSIDE)):
        contents[name] = body(name, 100 + len(contents))
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(contents[name])
    return contents


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_they_come_back_as_they_were(tmp_path: Path, s3: S3) -> None:
    watched, back = tmp_path / "checkpoints", tmp_path / "back"
    contents = fill(watched)
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["commits"] == len(FILES) + 1, process)
        assert status["conditions"] == []
    manifests = committed(s3)
    assert sorted(one.checkpoint for one in manifests) == sorted((*FILES, "whole"))
    data = [key for key in everything(s3) if "/data/" in key]
    assert len(data) == len(contents)
    assert all(len(key) <= 1024 and key.isascii() and key.isprintable() for key in everything(s3))

    for name in (LATIN, LONG, "-rf.pt"):
        said = agent.command("restore", "--to", str(back), "--checkpoint", name).stdout
        assert "restored" in said
    with s3.store() as store:
        restorer = Restorer(store, Keys(s3.prefix, agent.run), ThreadRuntime())
        for one in manifests:
            restorer.restore(str(back), one.checkpoint)
    assert tree(back) == contents


def test_what_is_said_of_them_is_one_line(tmp_path: Path, s3: S3) -> None:
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    for name in (LATIN, "two\nlines.pt"):
        (watched / name).write_bytes(body(name))
        said = agent.command("flush").stdout
        assert "durable" in said
        assert len(said.splitlines()) == 1
        shown = json.loads(agent.command("flush", "--json").stdout)
        assert shown["newest"]["checkpoint"] == name
        said = agent.command("restore", "--to", str(tmp_path / "back")).stdout
        assert len(said.splitlines()) == 1
    missing = agent.command("restore", "--checkpoint", os.fsdecode(b"\xe9"), check=False)
    assert missing.returncode == 5
    wrong = agent.command("restore", "--to", os.fsdecode(os.fsencode(tmp_path / "x") + b"\xe9\n"))
    assert len(wrong.stdout.splitlines()) == 1


def test_one_name_in_two_watched_directories_is_two_checkpoints(tmp_path: Path, s3: S3) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    contents = {str(place): body("last.pt", 100 + number) for number, place in enumerate(places)}
    for place in places:
        place.mkdir()
        (place / "last.pt").write_bytes(contents[str(place)])
    agent = Agent(tmp_path, s3, checkpoints=places[0], settle="300ms")
    text = agent.config.read_text()
    agent.config.write_text(text.replace(f"- path: {places[0]}", f"- path: {places[0]}\n- path: {places[1]}"))
    with agent.running() as process:
        agent.wait_for(lambda status: status["commits"] == 2, process)
        (places[0] / "last.pt").unlink()  # one that goes takes nothing of the other along
        (places[1] / "next.pt").write_bytes(body("next.pt"))
        agent.wait_for(lambda status: status["commits"] == 3, process)
    both = [one for one in committed(s3) if one.checkpoint == "last.pt"]
    assert sorted(one.directory for one in both) == [str(place) for place in places]
    with s3.store() as store:
        got = {one.directory: store.get(f"{s3.prefix}/test-run/{one.files[0].object}") for one in both}
    assert {place: one.body for place, one in got.items() if one is not None} == contents


def test_no_name_commands_the_terminal(tmp_path: Path, s3: S3) -> None:
    """Nor does one fail a command where the terminal's encoding has no such character."""
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    name = os.fsdecode(b"\x1b]0;owned\x07\xe9.pt")
    (watched / name).write_bytes(body(name))
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms", env=strict)
    said = [agent.command("flush").stdout, agent.command("restore", "--to", str(tmp_path / "back")).stdout]
    said.append(agent.command("restore", "--to", str(tmp_path / "back"), "--checkpoint", f"{name}x", check=False).stderr)
    for text in said:
        assert r"\x1b]0;owned\x07\udce9.pt" in text
        assert "\x1b" not in text
    assert (tmp_path / "back" / name).read_bytes() == body(name)
