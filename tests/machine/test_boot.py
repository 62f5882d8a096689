"""From the power to the first checkpoint in S3: user-data by cloud-init, the agent by systemd, the training by the agent."""

from __future__ import annotations

from tests.machine.instance import AGENT, TRAIN, Instance, tell


def test_a_boot(launched: Instance) -> None:
    with launched.booted() as machine:
        launched.until(lambda: launched.tags().get("runctl:phase"))
        tagged = launched.clock(machine)
        launched.until(lambda: launched.tags().get("runctl:phase") == "training")
        training = launched.clock(machine)
        launched.until_committed(1)
        safe = launched.clock(machine)
        entered = int(machine.show(AGENT, "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]) / 1e6
        ready = entered - launched.booted_at(machine)
        tell("the image", by_install_sh_in=launched.image.seconds)
        tell("a boot, from pid 1's start", agent_READY=ready, first_tag=tagged, training=training, first_checkpoint_safe=safe)

        state = launched.state()
        assert (state["instance"], state["attempt"], state["phase"]) == (launched.id, 1, "training")
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "0"
        assert machine.show(TRAIN, "ActiveState")["ActiveState"] == "active"
        assert machine.run("cloud-init", "status") == "status: done"
        launched.save(2)
        launched.until_committed(1, 2)
        launched.ask("end")
        launched.until(lambda: launched.tags().get("runctl:phase") == "finished")
        tags = launched.tags()
        assert (tags["runctl:checkpoint"], tags["runctl:step"], tags["runctl:exit"]) == ("model_step_2.pt", "2", "0")
        assert launched.left() == []
