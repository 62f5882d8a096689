"""Whom the training runs as."""

from __future__ import annotations

import os
import pwd

import pytest

from runctl_agent.account import LOGIN_USER, account
from runctl_agent.errors import ConfigError

ME = pwd.getpwuid(os.geteuid())
OTHER = next(one for one in pwd.getpwall() if one.pw_uid not in (0, os.geteuid()))


def test_root_runs_it_as_the_user_that_is_named() -> None:
    found = account(OTHER.pw_name, {"HOME": "/somewhere"}, euid=0)
    assert (found.name, found.uid, found.gid, found.home) == (OTHER.pw_name, OTHER.pw_uid, OTHER.pw_gid, OTHER.pw_dir)


def test_without_a_name_the_image_says_who_logs_in() -> None:
    assert account("", {LOGIN_USER: OTHER.pw_name}, euid=0).name == OTHER.pw_name


def test_who_is_not_root_is_himself_and_nobody_else() -> None:
    assert account("", {LOGIN_USER: ME.pw_name, "HOME": "/moved"}, euid=OTHER.pw_uid).name == OTHER.pw_name
    with pytest.raises(ConfigError, match="the agent is not root"):
        account("root", {}, euid=OTHER.pw_uid)


def test_its_own_home_is_where_its_environment_says() -> None:
    assert account("", {"HOME": "/moved"}, euid=OTHER.pw_uid).home == "/moved"
    assert account("", {}, euid=OTHER.pw_uid).home == OTHER.pw_dir


def test_a_user_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="this machine has no such user"):
        account("nobody-of-that-name", {}, euid=0)


def test_the_user_of_a_container_need_not_have_a_name() -> None:
    found = account("", {"HOME": "/work"}, euid=54321)
    assert (found.name, found.uid, found.home) == ("54321", 54321, "/work")
