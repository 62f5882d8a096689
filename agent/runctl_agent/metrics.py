"""The state as a textfile for node_exporter: pure but for who writes it.

The format is Prometheus' "Exposition formats" (text format 0.0.4), the names follow "Metric and label naming", and moments are
timestamps, not ages ("Instrumentation: timestamps, not time since"): an age in a file that nobody writes any more would be a lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .contract.phases import ConditionName, Phase
from .contract.status import State
from .errors import WrongStateError

Number = int | float
Sample = tuple[Mapping[str, str], Number]

PREFIX = "runctl_"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `samples` gives the labels beside `run`, and values; nothing where nothing is known."""

    name: str
    kind: str  # gauge | counter
    help: str
    samples: Callable[[State], Iterator[Sample]]

    def lines(self, state: State) -> Iterator[str]:
        samples = list(self.samples(state))
        if not samples:
            return
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in samples:
            inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in {"run": state.run, **labels}.items())
            yield f"{self.name}{{{inner}}} {value!r}"


def exposition(state: State) -> str:
    """The whole textfile. It has no timestamps beside the values: the textfile collector refuses a file that has."""
    return "".join(f"{line}\n" for family in FAMILIES for line in family.lines(state))


def textfile(path: str, write: Callable[[str, bytes], None]) -> Callable[[State], None]:
    """What puts a state's metrics into the file at `path`; raises WrongStateError where `write` raises OSError."""

    def put(state: State) -> None:
        try:
            write(path, exposition(state).encode("utf-8"))
        except OSError as error:
            raise WrongStateError(
                f"the metrics could not be written to {path}",
                str(error),
                "make its directory, allow it in the unit (ReadWritePaths=), or take metrics.textfile out of the run spec",
            ) from error

    return put


def _one(value: Callable[[State], Number | None]) -> Callable[[State], Iterator[Sample]]:
    def samples(state: State) -> Iterator[Sample]:
        found = value(state)
        if found is not None:
            yield {}, found

    return samples


def _gauge(name: str, text: str, value: Callable[[State], Number | None]) -> Family:
    return Family(PREFIX + name, "gauge", text, _one(value))


def _counter(name: str, text: str, value: Callable[[State], Number | None]) -> Family:
    return Family(PREFIX + name, "counter", text, _one(value))


def _build(state: State) -> Iterator[Sample]:
    yield {"version": state.agent_version, "instance_id": state.instance}, 1  # `instance` is a label of Prometheus' own


def _phases(state: State) -> Iterator[Sample]:
    for phase in Phase:
        yield {"phase": phase.value}, int(phase is state.phase)


def _conditions(state: State) -> Iterator[Sample]:
    standing = {condition.name for condition in state.conditions}
    for name in ConditionName:
        yield {"condition": name.value}, int(name in standing)


def _lag(state: State) -> int:
    return max(0, state.heartbeat - state.pending_since) if state.pending_since is not None else 0


def _share(percent: int | None) -> float | None:
    return None if percent is None else percent / 100


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


FAMILIES = (
    Family(PREFIX + "build_info", "gauge", "The agent's version, and the instance that it runs on.", _build),
    _gauge("heartbeat_timestamp_seconds", "When the agent wrote this; old: nobody watches.", lambda s: s.heartbeat),
    Family(PREFIX + "phase", "gauge", "1 for the phase that the run is in, 0 for every other one.", _phases),
    Family(PREFIX + "condition", "gauge", "1 for every condition that stands, 0 for every other one.", _conditions),
    _gauge("epoch", "The writer's epoch; 0: not taken yet.", lambda s: s.epoch),
    _gauge("attempt", "The attempt of the run.", lambda s: s.attempt),
    _gauge("exit_code", "The training's exit code, once it ended.", lambda s: s.exit_code),
    _gauge("notice", "1 while a notice says that the machine is taken away.", lambda s: int(bool(s.notice))),
    _gauge("notice_timestamp_seconds", "When the machine is gone, if that was said.", lambda s: s.notice_at),
    _counter("commits_total", "Checkpoints committed in this epoch.", lambda s: s.commits),
    _gauge("checkpoint_step", "The step of the newest committed checkpoint.", lambda s: s.step),
    _gauge("last_commit_timestamp_seconds", "When the newest checkpoint was committed.", lambda s: s.committed_at),
    _gauge("pending_checkpoints", "Finished checkpoints that are not durable yet.", lambda s: s.pending_checkpoints),
    _gauge("pending_bytes", "Bytes that are not durable yet.", lambda s: s.pending_bytes),
    _gauge("pending_since_timestamp_seconds", "When the oldest pending checkpoint was finished.", lambda s: s.pending_since),
    _gauge("lag_seconds", "How long the oldest pending checkpoint waited at the heartbeat; 0: none does.", _lag),
    _gauge("eta_seconds", "Seconds until nothing is pending, at the present rate.", lambda s: s.eta),
    _counter("sent_bytes_total", "Bytes of checkpoints sent, since this machine's journal began.", lambda s: s.sent_total),
    _gauge("send_failures", "Failures to send, in a row.", lambda s: s.failures),
    _gauge("retry_timestamp_seconds", "When what failed is tried again.", lambda s: s.retry_at),
    _gauge("owed_aborts", "Multipart uploads given up that still stand in S3.", lambda s: s.owed_aborts),
    _counter("training_seconds_total", "Living training, over all attempts that are known.", lambda s: s.ran),
    _gauge("train_step", "The step that the training says.", lambda s: s.train_step),
    _gauge("train_steps", "The steps that the training says it will make.", lambda s: s.train_steps),
    _gauge("train_epoch", "The epoch that the training says.", lambda s: s.train_epoch),
    _gauge("train_loss", "The loss that the training says.", lambda s: s.loss),
    _gauge("training_cpu_cores", "Cores that the training keeps busy.", lambda s: _share(s.cpu)),
    _gauge("training_resident_memory_bytes", "Resident memory of the training.", lambda s: s.rss),
    _gauge("checkpoint_disk_free_bytes", "Free where the training's checkpoints go.", lambda s: s.disk_free),
    _gauge("gpu_utilization_ratio", "Utilisation of the GPUs, the mean of all.", lambda s: _share(s.gpu)),
    _gauge("gpu_memory_used_bytes", "Memory in use, of all GPUs.", lambda s: s.gpu_memory),
    _gauge("gpu_temperature_celsius", "Temperature of the hottest GPU.", lambda s: s.gpu_heat),
)
