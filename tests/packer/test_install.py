"""install.sh on distributions that stand in for Ubuntu, Debian and Amazon Linux: what it brings, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_agent.image_check import examine
from tests.packer.distribution import Distribution

FROM = "https://github.com/astral-sh/python-build-standalone/releases/download/"
BROUGHT = ("apt-get", "dnf", "curl")


def ubuntu(folder: Path) -> Distribution:
    """24.04 as in an image: a Python that is new enough, whose venv is a package of its own."""
    made = Distribution(folder, "ubuntu 24.04", "apt-get", "root", "ubuntu")
    made.python("python3", "3.12.3", "ensurepip")
    made.sells("python3", "3.12.3")
    made.sells("python3-venv")
    return made


@pytest.fixture
def noble(tmp_path: Path) -> Distribution:
    return ubuntu(tmp_path)


@pytest.fixture
def jammy(tmp_path: Path) -> Distribution:
    made = Distribution(tmp_path, "ubuntu 22.04", "apt-get", "root", "ubuntu")
    made.python("python3", "3.10.12")
    return made


@pytest.fixture
def amazon(tmp_path: Path) -> Distribution:
    made = Distribution(tmp_path, "amzn 2023", "dnf", "root", "ec2-user")
    made.python("python3", "3.9.25")
    return made


def test_ubuntu_24_04_has_a_python_and_lacks_its_venv(noble: Distribution) -> None:
    done = noble.install()
    assert done.code == 0, done.said
    wait = "-o DPkg::Lock::Timeout=300"
    assert noble.calls(*BROUGHT) == [
        "apt-get -q update",
        f"apt-get -q {wait} install -y --no-install-recommends python3 python3-venv",
    ]
    assert noble.made_by() == "python3 3.12.3"


def test_at_a_first_boot_apt_is_at_work_already(noble: Distribution) -> None:
    """For the lock of its lists apt-get never waits; for that of dpkg it does."""
    noble.is_busy()
    done = noble.install()
    assert done.code == 0, done.said
    assert noble.made_by() == "python3 3.12.3"


def test_ubuntu_22_04_gets_a_standalone_python_and_no_release_candidate(jammy: Distribution) -> None:
    name = jammy.publishes()
    done = jammy.install()
    assert done.code == 0, done.said
    (download,) = jammy.calls(*BROUGHT)
    assert download.startswith("curl -fsSL --proto =https ")
    assert download.endswith(f"/{name}")
    assert f" {FROM}" in download
    assert jammy.made_by().startswith("standalone 3.12.")
    assert list(jammy.temporary.iterdir()) == [], "it would be in the image"


def test_debian_12_has_none_that_is_new_enough_in_its_packages(tmp_path: Path) -> None:
    bookworm = Distribution(tmp_path, "debian 12", "apt-get", "root", "admin")
    bookworm.python("python3", "3.11.2")
    bookworm.sells("python3", "3.11.2")
    bookworm.sells("python3-venv")
    bookworm.publishes()
    done = bookworm.install()
    assert done.code == 0, done.said
    assert [call.partition(" ")[0] for call in bookworm.calls(*BROUGHT)] == ["curl"]
    assert bookworm.made_by().startswith("standalone 3.12.")


def test_amazon_linux_2023_has_3_12_in_its_packages(amazon: Distribution) -> None:
    amazon.sells("python3.12", "3.12.12")
    done = amazon.install()
    assert done.code == 0, done.said
    assert amazon.calls(*BROUGHT) == ["dnf -q -y install python3.12"]
    assert amazon.made_by() == "python3.12 3.12.12"
    assert not (amazon.root / "etc/apt").exists()


def test_an_older_amazon_linux_2023_has_3_11(amazon: Distribution) -> None:
    amazon.sells("python3.11", "3.11.14")
    assert amazon.install().code == 0
    assert amazon.calls(*BROUGHT) == ["dnf -q -y install python3.12", "dnf -q -y install python3.11"]
    assert amazon.made_by() == "python3.11 3.11.14"


def test_where_the_packages_cannot_be_had_the_standalone_one_is(amazon: Distribution) -> None:
    amazon.publishes()
    done = amazon.install()
    assert done.code == 0, done.said
    assert "dnf could not" in done.said
    assert amazon.made_by().startswith("standalone ")


def test_the_newest_that_is_there_is_taken_and_nothing_brought(amazon: Distribution) -> None:
    amazon.python("python3.11", "3.11.14")
    amazon.python("python3.13", "3.13.1")
    assert amazon.install().code == 0
    assert amazon.calls(*BROUGHT) == []
    assert amazon.made_by() == "python3.13 3.13.1"


@pytest.mark.parametrize("version", ["3.10.12", "3.11.0", "3.11.3"])
def test_a_python_that_is_told_must_be_new_enough(noble: Distribution, tmp_path: Path, version: str) -> None:
    noble.python("mine", version)
    done = noble.install("--python", str(tmp_path / "bin" / "mine"))
    assert done.code == 1
    assert "older than 3.11.4" in done.said
    assert noble.calls(*BROUGHT) == [], "told which, it looks for no other"


def test_arm64_has_an_archive_and_a_sum_of_its_own(jammy: Distribution) -> None:
    jammy.command("uname", "#!/bin/sh\necho aarch64\n")
    name = jammy.publishes("aarch64")
    assert jammy.install().code == 0
    assert jammy.calls("curl")[0].endswith(f"/{name}")


def test_an_archive_with_another_sum_is_not_unpacked(jammy: Distribution) -> None:
    jammy.tampers(jammy.publishes())
    done = jammy.install()
    assert done.code == 1
    assert "its SHA-256 is not" in done.said
    assert "mend: " in done.said
    assert not any(path.startswith(("opt/", "usr/", "etc/systemd")) for path in jammy.files())
    assert list(jammy.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("tools", "why"),
    [(("curl",), "there is neither curl nor wget"), ((), "curl can't download one")],
)
def test_without_a_download_it_says_what_mends_it(jammy: Distribution, tools: tuple[str, ...], why: str) -> None:
    for tool in tools:
        jammy.without(tool)
    done = jammy.install()
    assert done.code == 1
    assert why in done.said
    assert "mend: " in done.said
    assert "command not found" not in done.said


def test_a_folder_of_wheels_is_all_that_it_needs(jammy: Distribution) -> None:
    """And of the standalone Python, where it is among them."""
    folder = jammy.packages(jammy.publishes())
    done = jammy.install("--wheels", str(folder))
    assert done.code == 0, done.said
    assert jammy.made_by().startswith("standalone ")
    calls = jammy.calls("python", *BROUGHT)
    assert not [call for call in calls if call.startswith(BROUGHT)]
    (requirements, own) = (call for call in calls if " -m pip " in call and " install " in call)
    assert f" --require-hashes --only-binary :all: --no-index --find-links {folder} " in requirements
    assert " --no-index " in own


def test_without_one_everything_has_the_hash_of_the_lock(noble: Distribution) -> None:
    noble.install()
    (requirements,) = (call for call in noble.calls("python") if "requirements.lock" in call and " -m pip " in call)
    assert " --isolated " in requirements
    assert " --no-deps --require-hashes --only-binary :all: -r " in requirements


def test_twice_is_once(noble: Distribution) -> None:
    noble.install()
    noble.calls()
    before = {path: (noble.root / path).lstat().st_mtime_ns for path in noble.files()}
    done = noble.install()
    assert done.code == 0
    assert "is there already" in done.said
    assert noble.calls(*BROUGHT) == []
    after = {path: (noble.root / path).lstat().st_mtime_ns for path in noble.files()}
    links = {path for path in before if (noble.root / path).is_symlink()}
    assert {path: when for path, when in after.items() if path not in links} == {
        path: when for path, when in before.items() if path not in links
    }


def installed(where: Distribution) -> list[str]:
    return sorted(path.name.split("-")[1] for path in (where.root / "opt").glob("runctl-[0-9]*"))


def test_an_upgrade_moves_the_link_and_keeps_the_way_back(noble: Distribution) -> None:
    noble.install()
    first = (noble.root / "opt/runctl").readlink()
    assert noble.install(wheel=noble.wheel_of("0.2.0")).code == 0
    second = (noble.root / "opt/runctl").readlink()
    assert str(second).startswith("runctl-0.2.0-")
    assert installed(noble) == ["0.1.0", "0.2.0"]

    back = noble.install()
    assert "is there already" in back.said
    assert (noble.root / "opt/runctl").readlink() == first

    noble.install(wheel=noble.wheel_of("0.2.0"))
    noble.install(wheel=noble.wheel_of("0.3.0"))
    assert installed(noble) == ["0.2.0", "0.3.0"], "the one before the last is gone"


def test_an_upgrade_that_fails_leaves_what_was_there(noble: Distribution) -> None:
    noble.install()
    before = noble.files()
    noble.broken(True)
    done = noble.install(wheel=noble.wheel_of("0.2.0"))
    assert done.code == 1
    assert "could not be built" in done.said
    assert "mend: " in done.said
    assert noble.files() == before


def test_taken_off_it_leaves_nothing_but_what_it_saved(noble: Distribution) -> None:
    bare = noble.files()
    noble.install()
    spec, saved = noble.root / "etc/runctl/run.yaml", noble.root / "var/lib/runctl/runs/a"
    saved.parent.mkdir(parents=True)
    for kept in (spec, saved):
        kept.write_text("")
    done = noble.install("--uninstall")
    assert done.code == 0, done.said
    assert noble.files() - bare == {"etc/runctl/run.yaml", "var/lib/runctl/runs/a"}
    noble.install()
    noble.install("--uninstall", "--purge")
    assert noble.files() == bare


def test_a_folder_that_is_not_its_own_is_left_alone(noble: Distribution) -> None:
    theirs = noble.root / "opt/runctl/theirs"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("")
    done = noble.install()
    assert done.code == 1
    assert "was left alone" in done.said
    assert theirs.exists()


@pytest.mark.parametrize(
    ("distribution", "told", "user"),
    [("noble", (), "ubuntu"), ("amazon", (), "ec2-user"), ("noble", ("--login-user", "lara"), "lara")],
)
def test_whose_trainings_these_are(request: pytest.FixtureRequest, distribution: str, told: tuple[str, ...], user: str) -> None:
    made: Distribution = request.getfixturevalue(distribution)
    made.sells("python3.12", "3.12.12")
    assert made.install(*told).code == 0
    found = (made.root / "etc/systemd/system/runctl-agent.service.d/10-login-user.conf").read_text()
    assert found == f"[Service]\nEnvironment=RUNCTL_LOGIN_USER={user}\n"


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("--wheel", "/nowhere/runctl-0.1.0-py3-none-any.whl"), "it is no file"),
        (("--wheel", "/etc/passwd"), "begins with runctl-"),
        (("--wheels", "/nowhere"), "it is no folder"),
        (("--requirements", "/nowhere"), "is no file"),
        (("--units", "/nowhere"), "has no runctl-agent.service"),
        (("--wheel",), "it needs a value"),
        (("--fast",), "there is no option --fast"),
    ],
)
def test_what_it_was_told_wrong(noble: Distribution, argv: tuple[str, ...], why: str) -> None:
    bare = noble.files()
    given = argv if argv[0] == "--wheel" else ("--wheel", str(noble.wheel), *argv)
    done = noble.run(*given)
    assert done.code == 2
    assert why in done.said
    assert noble.files() == bare


def test_what_it_makes_is_fit_to_be_an_image(noble: Distribution) -> None:
    noble.install()
    assert [str(one) for one in examine(str(noble.root)) if one.error] == []
