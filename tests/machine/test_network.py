"""The network is gone, but for the metadata service, as behind a wrong security group; nothing is refused, nothing answers."""

from __future__ import annotations

from tests.machine.instance import AGENT, Instance, tell


def test_gone_before_the_boot(launched: Instance) -> None:
    launched.wire.cut()
    with launched.booted():
        launched.until(launched.ready)
        launched.until(lambda: launched.status().get("failures"))
        said = launched.status()["error"]
        assert launched.status()["phase"] == "starting"
        assert not (launched.workdir / "training.pid").exists(), "what it would resume from is not known"
        launched.wire.heal()
        healed_and_safe(launched, "network gone before the boot", said)


def test_gone_during_the_boot(launched: Instance) -> None:
    launched.drop_in("waits", "ExecStartPre=/bin/sh -c 'until test -e /var/tmp/cut; do sleep 0.05; done'")
    with launched.booted():
        launched.until(launched.starting)
        launched.wire.cut()
        (launched.root / "var/tmp/cut").touch()
        launched.until(lambda: launched.status().get("failures"))
        said = launched.status()["error"]
        assert not (launched.workdir / "training.pid").exists()
        launched.wire.heal()
        healed_and_safe(launched, "network gone as the agent starts", said)


def healed_and_safe(launched: Instance, fault: str, said: str) -> None:
    machine = launched.machine
    began = launched.clock(machine)
    launched.until(lambda: launched.status().get("phase") == "training")
    launched.until_committed(1)
    safe = launched.clock(machine) - began
    launched.until(lambda: launched.tags().get("runctl:phase") == "training")
    tell(fault, said=repr(said[:60]), safe_after_it_came_back=safe, tags_after=launched.clock(machine) - began)
    assert launched.status()["attempt"] == 1
    assert machine.show(AGENT, "NRestarts")["NRestarts"] == "0"
    assert launched.log().count("resumed from") == 1
    assert launched.left() == []


def test_gone_during_the_training(launched: Instance) -> None:
    with launched.booted() as machine:
        launched.until_committed(1)
        trainer, agent = launched.trainer(), launched.agent()
        launched.uploading(2)
        launched.wire.cut()
        launched.wire.fast()
        launched.save(3)
        launched.save(4)
        launched.until(lambda: launched.status()["pending_checkpoints"] == 3)
        assert launched.names() == ["model_step_1.pt"]
        launched.wire.heal()
        began = launched.clock(machine)
        launched.until_committed(1, 2, 3, 4)
        tell("network gone during an upload", all_safe_after_it_came_back=launched.clock(machine) - began)
        assert (launched.trainer(), launched.agent()) == (trainer, agent)
        assert launched.left() == []
