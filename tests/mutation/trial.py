"""Each mutant before the tests that go through its line, in a process forked from one that has collected them all.

Nothing is written into the working tree. A change inside a function takes the place of its code where it stands; any other is
imported anew, with all that stands on it.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, TracebackType

import pytest
from coverage import CoverageData

from .bodies import Bodies
from .modules import LEFT_OUT
from .mutants import Mutant
from .properties import Fewer, Properties, few_examples

_QUIETLY = (
    *("-x", "-q", "-s", "-o", "addopts=", "--import-mode=importlib", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *("-p", "no:randomly", "-p", "no:cacheprovider", "--noconftest"),
    *(f"--deselect={test}" for test in LEFT_OUT),
)
_EXAMPLES = 20
"""What a property is tried with at most: a rule that is broken falls to few, or to an example."""

_ROOM = 6 << 30
"""Bytes of address space: what a mutant makes of a loop must not take the machine."""

_WORK = 60
"""Seconds of a processor: what goes on for ever ends by itself, also where nobody waits for it any more."""

_OURS = ("runctl_agent", "runctl", "runctl_simulator", "tests")


class Trials:
    """Of one module. A plugin of pytest: in the place of the tests run the mutants."""

    def __init__(self, module: str, path: Path, tests: Sequence[str]) -> None:
        self._module, self._path, self._tests = module, path, tuple(tests)
        self._source = path.read_text()
        self._scratch = Path()
        self._mutants: Sequence[Mutant] = ()
        self._survivors: list[Mutant] = []

    def __enter__(self) -> Trials:
        self._scratch = Path(tempfile.mkdtemp(prefix="mutation-"))
        few_examples()
        began = time.monotonic()
        self._through = self._measure()
        self._limit = 20 + 10 * (time.monotonic() - began)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def survivors(self, mutants: Sequence[Mutant], processes: int) -> list[Mutant]:
        self._mutants, self._processes = mutants, processes
        code = pytest.main([*_QUIETLY, *self._tests], [self])
        if code != pytest.ExitCode.OK:
            raise RuntimeError(f"pytest ended with {code!r}")
        return self._survivors

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        bodies = Bodies(sys.modules[self._module], self._source)
        properties = Properties(session.items)
        properties.limit(_EXAMPLES)

        def work(mutant: Mutant) -> int:
            selected = self._selected(mutant.line)
            if not bodies.replace(mutant.source):
                return self._anew(mutant, selected)
            return self._here(session, properties.last(item for item in session.items if _function(item.nodeid) in selected))

        unchanged = Mutant(0, "as it is", self._source)
        anew = list(self._race([unchanged], lambda one: self._anew(one, self._selected(one.line))))
        if not (anew and list(self._race([unchanged], work))):
            raise RuntimeError(f"{self._module} as it is does not survive: what is found says nothing")
        for survivor in self._race(self._mutants, work):
            print(f"  survived: {survivor.change}", flush=True)
            self._survivors.append(survivor)
        return True

    def _race(self, mutants: Sequence[Mutant], work: Callable[[Mutant], int]) -> Iterator[Mutant]:
        """Gives out those that no test failed for."""
        waiting, running = list(reversed(mutants)), dict[int, tuple[int, Mutant, float]]()
        while waiting or running:
            while waiting and len(running) < self._processes:
                mutant = waiting.pop()
                pid = _fork(lambda mutant=mutant: work(mutant), Path(os.devnull))  # type: ignore[misc]
                running[os.pidfd_open(pid)] = pid, mutant, time.monotonic() + self._limit
            nearest = min(end for _, _, end in running.values())
            ended, _, _ = select.select(list(running), [], [], max(0.0, nearest - time.monotonic()))
            for fd in [fd for fd, (_, _, end) in running.items() if fd in ended or end <= time.monotonic()]:
                pid, mutant, _ = running.pop(fd)
                os.close(fd)
                if fd not in ended:
                    os.kill(pid, signal.SIGKILL)  # what waits for ever is noticed, too
                if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
                    yield mutant

    def _here(self, session: pytest.Session, items: Sequence[pytest.Item]) -> int:
        factory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        factory._basetemp = Path(tempfile.mkdtemp(dir=self._scratch))
        for item, following in zip(items, [*items[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return 1
        return 0

    def _anew(self, mutant: Mutant, selected: set[str]) -> int:
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS and not name.startswith("tests.mutation")]:
            del sys.modules[name]
        sys.meta_path.insert(0, _Mutated(self._module, self._path, mutant.source))
        base = tempfile.mkdtemp(dir=self._scratch)
        ordered = sorted(selected, key=lambda test: (self._tests.index(test.partition("::")[0]), test))
        return int(pytest.main([*_QUIETLY, f"--basetemp={base}", *ordered], [Fewer(_EXAMPLES)]))

    def _selected(self, line: int) -> set[str]:
        """The tests that go through the statement; all of them for what is done at the import."""
        lines = {line}
        for node in ast.walk(ast.parse(self._source)):
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0) and not hasattr(node, "body"):
                lines.add(node.lineno)
        through: set[str] = set().union(*(self._through.get(one, ()) for one in lines))
        return through or set().union(*self._through.values())

    def _measure(self) -> dict[int, set[str]]:
        """Which tests go through each line; raises if any fails as it is."""
        data, said = self._scratch / "coverage", self._scratch / "said"
        os.environ["COVERAGE_FILE"] = str(data)
        package = self._module.rpartition(".")[0]
        arguments = [
            *_QUIETLY,
            f"--basetemp={self._scratch}/all",
            f"--cov={package}",
            "--cov-context=test",
            "--cov-report=",
            f"--cov-config={os.devnull}",
        ]
        pid = _fork(lambda: int(pytest.main([*arguments, *self._tests], [Fewer(_EXAMPLES)])), said)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise RuntimeError(f"the tests of {self._module} fail as it is: {said.read_text()}")
        found = CoverageData(str(data))
        found.read()
        by_line = found.contexts_by_lineno(str(self._path.resolve()))
        return {line: {_function(one.partition("|")[0]) for one in contexts if one} for line, contexts in by_line.items()}


class _Mutated(SourceFileLoader):
    """Gives out one module as the mutant has it; every other is as it lies on the disk."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        super().__init__(module, str(path))
        self._source = source

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, str(self.path), "exec", dont_inherit=True)


def _function(test: str) -> str:
    return test.partition("[")[0]


def _fork(work: Callable[[], int], output: Path) -> int:
    if pid := os.fork():
        return pid
    code = 70
    try:
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(said, 1)
        os.dup2(said, 2)
        resource.setrlimit(resource.RLIMIT_AS, (_ROOM, _ROOM))
        resource.setrlimit(resource.RLIMIT_CPU, (_WORK, _WORK))
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
