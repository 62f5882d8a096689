"""What happens to the agent does not happen to the training, and the next agent goes on inside the file."""

from __future__ import annotations

from tests.machine.image import NEXT, install
from tests.machine.instance import AGENT, LARGE, Instance, tell


def test_killed_during_an_upload(launched: Instance) -> None:
    with launched.booted() as machine:
        launched.until_committed(1)
        trainer, agent = launched.trainer(), launched.agent()
        there = launched.uploading(2)
        before = launched.wire.sent
        machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", AGENT)
        seconds = launched.restarted(agent)
        launched.wire.fast()
        launched.until_committed(1, 2)
        again = launched.wire.sent - before
        tell("agent killed with -9", READY_again_after=seconds, had_sent=there >> 20, sent_after_it=again >> 20, of=LARGE >> 20)
        assert again < LARGE, "it was not sent from its beginning"
        assert launched.trainer() == trainer
        assert {one.epoch for one in launched.committed()} == {1}
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "1"
        launched.save(3)
        launched.until_committed(1, 2, 3)
        assert launched.log().count("resumed from") == 1
        assert launched.left() == []


def test_frozen(launched: Instance) -> None:
    launched.drop_in("watchdog", "WatchdogSec=10s")
    with launched.booted() as machine:
        launched.until_committed(1)
        trainer, agent = launched.trainer(), launched.agent()
        machine.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", AGENT)
        launched.save(2)
        seconds = launched.restarted(agent)
        launched.until_committed(1, 2)
        tell("agent frozen, a watchdog of 10 s", READY_again_after=seconds)
        assert "Watchdog timeout" in launched.told()
        assert launched.trainer() == trainer
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "1"
        launched.until(lambda: launched.tags().get("runctl:phase") == "training")
        assert launched.left() == []


def test_upgraded_during_an_upload(launched: Instance) -> None:
    with launched.booted() as machine:
        launched.until_committed(1)
        trainer, agent = launched.trainer(), launched.agent()
        old = machine.run("readlink", "-f", "/opt/runctl")
        there = launched.uploading(2)
        before = launched.wire.sent
        assert "restarting the agent" in install(machine, launched.image.given, "next")
        seconds = launched.restarted(agent)
        launched.wire.fast()
        launched.until_committed(1, 2)
        again = launched.wire.sent - before
        new = machine.run("readlink", "-f", "/opt/runctl")
        tell("agent upgraded", READY_again_after=seconds, had_sent=there >> 20, sent_after_it=again >> 20, of=LARGE >> 20)
        assert new != old
        assert new in machine.file(f"/proc/{launched.agent()}/maps").read_text()
        assert f"({NEXT})" in machine.run("runctl-agent", "--version")
        assert again < LARGE
        assert launched.trainer() == trainer
        assert {one.epoch for one in launched.committed()} == {1}
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "0", "it was no failure"
        launched.save(3)
        launched.until_committed(1, 2, 3)
        assert launched.log().count("resumed from") == 1
        assert launched.left() == []
