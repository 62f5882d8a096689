"""The local machines behind EC2's instances: whatever EC2's answers say of one is acted out, and what happens to one is told.

The caller has the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from .backend import Backend, MotoInstance
from .imds import SPOT as SPOT_NOTICE
from .init import REBOOT
from .instance import Instance, end_strays

INSIDE, LOST, SPOT = (
    ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown"),
    ("Server.InternalError", "Internal error"),
    ("Server.SpotInstanceTermination", "Spot instance termination"),
)
"""StateReason (Amazon EC2 API Reference)."""


class Machines:
    """`surroundings` is asked at every boot for the endpoints and credentials of instances; `grace` in seconds, see `Boot`."""

    def __init__(
        self, folder: Path, backend: Backend, surroundings: Callable[[], Mapping[str, str]], *, grace: float, keep: bool
    ) -> None:
        self._folder = folder
        self._backend = backend
        self._surroundings = surroundings
        self._grace = grace
        self._keep = keep
        self._machines: dict[str, Instance] = {}
        self._life_cycle_states: dict[str, str] = {}
        self._interruptions: dict[str, tuple[str, datetime]] = {}

    def get(self, id_: str) -> Instance:
        """Raises ValueError for one that there never was."""
        if id_ not in self._machines:
            raise ValueError(f"there is no instance {id_}")
        return self._machines[id_]

    def works(self, id_: str) -> bool:
        """Whether a machine is on, whatever EC2 says already."""
        machine = self._machines.get(id_)
        return machine is not None and machine.on

    # --- EC2 has changed its mind ---

    def act_out(self) -> None:
        """After any request: moto switches at once, a machine takes its time, and until it is done its state says so."""
        for instance in self._backend.instances().values():
            machine = self._machines.get(instance.id)
            if instance.state == "running" and (machine is None or not machine.on):
                self._boot(instance, machine or self._made(instance))
            elif instance.state == "stopped" and machine is not None and machine.on:
                self._backend.set_state(instance, "stopping")
                machine.shut_down()
            elif instance.state == "terminated" and machine is not None:
                if machine.on:
                    self._backend.set_state(instance, "shutting-down")
                    machine.shut_down()
                else:
                    self._discard(machine)

    def reboot(self, id_: str) -> None:
        """In order, and LaunchTime stays: RebootInstances (Amazon EC2 API Reference)."""
        machine = self.get(id_)
        machine.rebooting = True
        machine.shut_down()

    def _made(self, instance: MotoInstance) -> Instance:
        machine = Instance(
            self._folder / instance.id, self._backend.user_data(instance), partial(self._backend.tags_in_imds, instance)
        )
        self._machines[instance.id] = machine
        return machine

    def _boot(self, instance: MotoInstance, machine: Instance, *, started: bool = True) -> None:
        machine.rebooting = False
        if started:
            self._backend.launched_now(instance)
        life_cycle = "spot" if instance.lifecycle == "spot" else "on-demand"
        machine.boot(self._backend.identity(instance), life_cycle, self._surroundings(), self._grace)
        machine.imds.set_lifecycle_state(self._life_cycle_states.get(instance.id))

    def _discard(self, machine: Instance) -> None:
        if not self._keep:
            machine.discard()

    # --- a machine has ended ---

    def look(self) -> None:
        """What has ended by itself since the last look; EC2 then says so."""
        ended = False
        for id_, machine in self._machines.items():
            code = machine.ended()
            if code is not None:
                ended = True
                instance = self._backend.find(id_)
                if instance is not None:
                    self._ended(instance, machine, code)
        known = {machine.pid for machine in self._machines.values() if machine.pid is not None}
        if ended:
            end_strays(known | self.others)

    others: frozenset[int] = frozenset()
    """Further children of this process, which are no instances'."""

    def _ended(self, instance: MotoInstance, machine: Instance, code: int) -> None:
        if instance.state == "stopping":
            self._backend.set_state(instance, "stopped")
        elif instance.state == "shutting-down":
            self._backend.set_state(instance, "terminated")
            self._discard(machine)
        elif machine.rebooting or code == REBOOT:
            self._boot(instance, machine, started=False)
        elif instance.instance_initiated_shutdown_behavior == "terminate":
            self._terminated(instance, machine, INSIDE)
        else:
            self._backend.stop(instance)
            self._backend.set_reason(instance, *INSIDE, "")

    def lose(self, id_: str, reason: tuple[str, str] = LOST) -> None:
        """Without a word: every process is gone, and EC2 shows it terminated."""
        machine = self.get(id_)
        machine.cut_power()
        instance = self._backend.find(id_)
        if instance is not None:
            self._terminated(instance, machine, reason)

    def _terminated(self, instance: MotoInstance, machine: Instance, reason: tuple[str, str]) -> None:
        self._backend.terminate(instance)
        self._backend.set_reason(instance, *reason, reason[0])
        self._discard(machine)

    # --- notices ---

    def interrupt(self, id_: str, action: str, at: datetime) -> None:
        """The notice now, and at its time the button: "Spot Instance interruption notices" (Amazon EC2 User Guide)."""
        self.get(id_).imds.interrupt_spot(action, at)
        self._interruptions[id_] = (action, at)

    def withdraw(self, id_: str, path: str) -> None:
        self.get(id_).imds.withdraw(path)
        if path == SPOT_NOTICE:
            self._interruptions.pop(id_, None)

    def interrupt_due(self, now: datetime) -> None:
        """EC2 has changed its mind: `act_out` does the rest."""
        due = [(id_, action) for id_, (action, at) in self._interruptions.items() if at <= now]
        for id_, action in due:
            del self._interruptions[id_]
            instance = self._backend.find(id_)
            if instance is not None and instance.state == "running":
                (self._backend.terminate if action == "terminate" else self._backend.stop)(instance)
                self._backend.set_reason(instance, *SPOT, SPOT[0])

    def set_lifecycle_state(self, id_: str, state: str | None) -> None:
        """What a group intends with an instance, in its IMDS, also over a reboot."""
        if state is None:
            self._life_cycle_states.pop(id_, None)
        else:
            self._life_cycle_states[id_] = state
        machine = self._machines.get(id_)
        if machine is not None and machine.on:
            machine.imds.set_lifecycle_state(state)

    def lose_all(self) -> None:
        self._interruptions.clear()
        for id_, instance in self._backend.instances().items():
            if instance.state != "terminated":
                self.lose(id_)

    def cut_all(self) -> None:
        for machine in self._machines.values():
            machine.cut_power()
        end_strays(set(self.others))
