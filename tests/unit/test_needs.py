"""What the code says that it needs, and what is made of that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.errors import WrongStateError
from runctl_agent.training.needs import ENTER, LOCK, REQUIREMENTS, Found, has_metadata, needs, script_of

COMMAND = ("python", "train.py", "--lr", "1")
PYTHON = "/usr/bin/python3"
BOTH = frozenset({LOCK, REQUIREMENTS})


def found(*files: str, **own: object) -> Found:
    return Found(**{"files": frozenset(files), "python": PYTHON, "pip": True, **own})  # type: ignore[arg-type]


def test_nothing_asked_for_changes_nothing() -> None:
    wanted = needs(COMMAND, ["echo requirements"], found())
    assert (wanted.command, wanted.notes, wanted.steps) == (COMMAND, (), ())


def test_requirements_go_where_the_command_will_look() -> None:
    wanted = needs(COMMAND, ["export A=1"], found(REQUIREMENTS))
    assert wanted.steps == (f"{PYTHON} -m pip install -r requirements.txt",)
    assert wanted.notes == (f"requirements.txt is installed for {PYTHON}",)


def test_an_interpreter_without_pip_has_uv() -> None:
    wanted = needs(COMMAND, [], found(REQUIREMENTS, pip=False, uv=True))
    assert wanted.steps == (f"uv pip install --python {PYTHON} -r requirements.txt",)


def test_externally_managed_is_left_alone() -> None:
    made, entered, installed = needs(COMMAND, [], found(REQUIREMENTS, managed=True)).steps
    assert made == f"{PYTHON} -m venv --system-site-packages .venv"
    assert entered == ENTER
    assert installed == ".venv/bin/python -m pip install -r requirements.txt"


@pytest.mark.parametrize("name", [REQUIREMENTS, LOCK])
def test_a_command_that_no_path_leads_elsewhere_is_not_run_without(name: str) -> None:
    with pytest.raises(WrongStateError, match=f"{name} can't be installed for /usr/bin/python3") as caught:
        needs((PYTHON, "train.py"), [], found(name, managed=True, fixed=True, uv=True))
    assert "training.command" in caught.value.full


def test_a_command_of_the_environment_that_is_to_be_made() -> None:
    command = (".venv/bin/python", "train.py")
    assert needs(command, [], found(LOCK, managed=True, fixed=True, uv=True)).steps[0] == "uv sync --frozen"
    assert needs(command, [], found(REQUIREMENTS, managed=True, fixed=True)).steps[1] == ENTER


def test_a_lock_goes_before_requirements_and_after_the_scripts_own() -> None:
    assert needs(COMMAND, [], found(*BOTH, uv=True)).steps == ("uv sync --frozen", ENTER)
    alone = needs(COMMAND, [], found(*BOTH, uv=True, script="train.py"))
    assert alone.command == ("uv", "run", "--script", "train.py", "--lr", "1")
    assert alone.steps == ("uv sync --script train.py",)


def test_into_an_active_environment_nothing_is_taken_out_of_it() -> None:
    (step,) = needs(COMMAND, [], found(LOCK, uv=True, in_venv=True)).steps
    assert step.endswith("uv sync --frozen --inexact")
    assert "VIRTUAL_ENV" in step


def test_without_uv_a_lock_is_refused_or_passed_over_and_that_is_said() -> None:
    with pytest.raises(WrongStateError, match=r"uv\.lock can't be installed: this machine has no uv"):
        needs(COMMAND, [], found(LOCK))
    wanted = needs(COMMAND, [], found(*BOTH))
    assert wanted.notes[0] == "uv.lock is passed over, as this machine has no uv"
    assert wanted.steps[0].endswith("-r requirements.txt")


def test_without_uv_a_script_runs_as_it_is_and_that_is_said() -> None:
    wanted = needs(COMMAND, [], found(script="train.py"))
    assert wanted.command == COMMAND
    assert "no uv: it is run as it is" in wanted.notes[0]


def test_options_of_the_interpreter() -> None:
    unbuffered = needs(("python", "-u", "train.py"), [], found(script="train.py", uv=True))
    assert unbuffered.command == ("uv", "run", "--script", "train.py")
    assert unbuffered.steps[1] == "export PYTHONUNBUFFERED=1"
    other = needs(("python", "-O", "train.py"), [], found(script="train.py", uv=True))
    assert other.command == ("python", "-O", "train.py")
    assert "does not take -O" in other.notes[0]


@pytest.mark.parametrize(
    "line",
    [
        "pip install -r requirements.txt",
        "uv sync",
        "pip install --no-deps -e .",
        "python -m pip install .",
        "# not requirements.txt",
        "conda env update -f environment.yml",
        "uv  pip install torch",
        "poetry install",
    ],
)
def test_who_installs_by_himself_is_left_to_it(line: str) -> None:
    wanted = needs(COMMAND, ["cd .", line], found(*BOTH, uv=True, script="train.py"))
    assert (wanted.command, wanted.steps) == (COMMAND, ())
    assert wanted.notes == ("train.py and uv.lock and requirements.txt: left to the setup lines, which install by themselves",)


@pytest.mark.parametrize(
    "line", ["pip install uv", "apt-get install -y git", "nvidia-smi -r", "cd /srv/requirements_of_all", "python prepare.py"]
)
def test_other_lines_are_not_taken_for_that(line: str) -> None:
    assert needs(COMMAND, [line], found(REQUIREMENTS)).steps


@given(st.builds(Found, st.frozensets(st.sampled_from([LOCK, REQUIREMENTS])), st.sampled_from(["", "train.py"])), st.data())
def test_what_is_there_is_never_passed_over_in_silence(there: Found, data: st.DataObject) -> None:
    flags = {name: data.draw(st.booleans()) for name in ("uv", "managed", "pip", "fixed", "in_venv")}
    looked = Found(there.files, there.script, python=data.draw(st.sampled_from(["", PYTHON])), **flags)
    try:
        wanted = needs(COMMAND, data.draw(st.lists(st.sampled_from(["uv sync", "true"]))), looked)
    except WrongStateError:
        return  # said with what mends it
    assert bool(wanted.notes) == bool(there.files or there.script)
    assert wanted.notes or not wanted.steps


@given(st.text())
def test_any_text_is_read_for_metadata(text: str) -> None:
    assert has_metadata(text) in (True, False)


def test_metadata_is_of_a_script() -> None:
    assert has_metadata('#!x\n# /// script\n# dependencies = ["rich"]\n#\n# ///\nimport rich\n')
    assert not has_metadata("# /// pyproject\n# x = 1\n# ///\n")
    assert not has_metadata('print("# /// script")\n')


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("python3.11 a.py", "a.py"),
        ("python -c a.py", ""),
        ("python -um train", ""),
        ("python -", ""),
        ("./a.py", ""),
        ("python", ""),
    ],
)
def test_the_script_of_a_command(command: str, script: str) -> None:
    assert script_of(command.split()) == script
