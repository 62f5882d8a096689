"""`exec` is killed; the training it started goes on, and ends with nobody to write its exit code."""

from __future__ import annotations

from pathlib import Path

from runctl_agent.runtime import ThreadRuntime
from runctl_agent.training.evidence import LINGER, Evidence, Outcome, judge
from runctl_agent.training.markers import MarkerSet
from runctl_agent.training.trainer import LinuxProcesses, adopt
from tests.fakes.wrapped import Wrapped, line


def test_training_goes_on_and_its_end_is_a_failure_of_unknown_code(tmp_path: Path) -> None:
    wrapped, processes, runtime = Wrapped(tmp_path), LinuxProcesses(), ThreadRuntime()
    with wrapped.start("sh", "-c", "echo $$; read go; exit 0") as wrapper:
        assert int(line(wrapper.stdout)) == wrapped.pid()
        training = adopt(processes, wrapped.pid(), "")
        assert not isinstance(training, str)
        wrapper.kill()
        wrapper.wait(60)
        assert not processes.exited(training)
        refused = wrapped.run("true")
        assert "is still alive" in refused.stderr
        wrapper.communicate("\n", timeout=60)
        give_up = runtime.monotonic() + 60
        while not processes.exited(training):
            assert runtime.monotonic() < give_up
            runtime.sleep(0.01)
    assert wrapped.names() == ["training.pid"]
    seen = MarkerSet().observe(wrapped.look(), 0.0)
    assert (seen.record, seen.exit_code) == (None, None)
    gone = Evidence("gpt2", processes.boot_id, training, gone_since=100.0)
    assert judge(gone, 100.0).outcome is Outcome.FINISHING
    verdict = judge(gone, 100.0 + LINGER)
    assert (verdict.outcome, verdict.exit_code) == (Outcome.FAILED, None)
    assert verdict.reason == "the process is gone, exit code unknown"
