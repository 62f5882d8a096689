"""The scheduler itself: same seed, same run; killed tasks never go on; waiting costs no real time."""

from __future__ import annotations

import pytest

from runctl_agent.runtime import Mailbox, Runtime, run_pool
from tests.simulation.seeded import Scheduler, Stuck


def interleaving(seed: int) -> list[str]:
    scheduler = Scheduler(seed)
    runtime = scheduler.runtime("agent")
    seen: list[str] = []

    def work(name: str) -> None:
        for n in range(5):
            seen.append(f"{name}{n}")
            runtime.step()

    tasks = [runtime.spawn(name, lambda name=name: work(name)) for name in "abc"]  # type: ignore[misc]
    scheduler.run(lambda: all(t.done for t in tasks))
    return seen


def test_the_seed_alone_decides_the_order() -> None:
    assert interleaving(7) == interleaving(7)
    assert len({tuple(interleaving(seed)) for seed in range(20)}) > 10


def test_a_killed_group_stops_where_it_is_and_runs_no_finally() -> None:
    scheduler = Scheduler(1)
    runtime = scheduler.runtime("agent")
    seen: list[str] = []

    def work() -> None:
        try:
            seen.append("begun")
            runtime.sleep(10)
            seen.append("went on")
        finally:
            seen.append("cleaned up")

    runtime.spawn("work", work)
    world = scheduler.runtime("world")
    done = world.event()

    def kill() -> None:
        world.sleep(5)
        scheduler.kill("agent")
        world.sleep(60)
        done.set()

    world.spawn("kill", kill)
    scheduler.run(done.is_set)
    assert seen == ["begun"]
    assert scheduler.mono == 1065.0


def test_waiting_for_nothing_is_noticed() -> None:
    scheduler = Scheduler(1)
    runtime = scheduler.runtime("agent")

    def wait() -> None:
        runtime.event().wait()

    runtime.spawn("wait", wait)
    with pytest.raises(Stuck):
        scheduler.run(lambda: False)


def test_locks_pools_and_mailboxes_work_on_it() -> None:
    scheduler = Scheduler(3)
    runtime = scheduler.runtime("agent")
    port: Runtime = runtime
    mailbox: Mailbox[int] = Mailbox(port)
    lock = runtime.lock()
    inside: list[int] = []

    def one(n: int) -> None:
        with lock:
            inside.append(n)
            runtime.step()
            assert inside.pop() == n
        mailbox.put(n)

    main = runtime.spawn("main", lambda: run_pool(port, "pool", 3, one, list(range(10))))
    scheduler.run(lambda: main.done)
    assert main.error is None
    taken: list[int] = []
    runtime.spawn("take", lambda: taken.extend(mailbox.take_all(1.0)))
    scheduler.run(lambda: bool(taken))
    assert sorted(taken) == list(range(10))
