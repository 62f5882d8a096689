"""The threaded runtime keeps the promises of the port."""

from __future__ import annotations

import threading

import pytest

from runctl_agent.runtime import Mailbox, ThreadRuntime, run_pool


def test_a_task_hands_its_error_to_whoever_looks() -> None:
    def work() -> None:
        raise ValueError("broken")

    task = ThreadRuntime().spawn("work", work)
    assert task.join(30)
    assert isinstance(task.error, ValueError)


def test_the_pool_does_everything_once_and_never_more_than_its_width() -> None:
    runtime = ThreadRuntime()
    lock = threading.Lock()
    done: list[int] = []
    now = most = 0

    def one(n: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            done.append(n)
        with lock:
            now -= 1

    run_pool(runtime, "pool", 4, one, list(range(100)))
    assert sorted(done) == list(range(100))
    assert most <= 4


def test_after_an_error_the_pool_begins_nothing_new_and_raises_it() -> None:
    done: list[int] = []

    def one(n: int) -> None:
        if n == 3:
            raise ValueError("third")
        done.append(n)

    with pytest.raises(ValueError, match="third"):
        run_pool(ThreadRuntime(), "pool", 1, one, list(range(10)))
    assert done == [0, 1, 2]


def test_a_mailbox_gives_everything_in_order() -> None:
    mailbox: Mailbox[int] = Mailbox(ThreadRuntime())
    assert mailbox.take_all(0.0) == []
    mailbox.put(1)
    mailbox.put(2)
    assert mailbox.take_all(30.0) == [1, 2]
    assert mailbox.take_all(0.0) == []


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_a_pool_that_gets_too_few_threads_does_its_work_with_those(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """As where no memory or no process is left: what is done already by some is not done twice."""
    left, start = [None] * threads, threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    done: list[int] = []
    run_pool(ThreadRuntime(), "pool", 4, done.append, list(range(100)))
    assert sorted(done) == list(range(100))
