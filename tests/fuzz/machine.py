"""What the training, its user, the kernel, docker and the metadata service leave on a machine."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import tempfile
from typing import cast

from runctl_agent.contract.malformed import Malformed
from runctl_agent.disk import lock
from runctl_agent.disk.kinds import (
    carries_weights,
    directory_kind,
    last_part,
    missing_shard,
    never,
    part_of_final,
    rank_of,
    shape,
    step_from_name,
    temporary,
    wanted,
)
from runctl_agent.disk.mounts import parse_mountinfo
from runctl_agent.errors import RunctlError
from runctl_agent.training import cgroup, tenancy
from runctl_agent.training.container import parse_found
from runctl_agent.training.docker_says import explained
from runctl_agent.training.docker_says import progress as pulled
from runctl_agent.training.imds import _asked, parse_identity, parse_tag_keys
from runctl_agent.training.login import with_helper
from runctl_agent.training.markers import decode_baseline, parse_exit_code, parse_pid
from runctl_agent.training.needs import has_metadata, script_of, shebang
from runctl_agent.training.notice import READERS
from runctl_agent.training.record import decode_process, decode_record, encode_process, encode_record
from runctl_agent.training.surveyed import answered
from runctl_agent.training.trainer import _STATUS, parse_stat
from runctl_agent.training.worker import parse_env
from runctl_agent.vitals import _read as said

from .target import MIB, Target, text_of, there_and_back


def _markers(body: bytes) -> object:
    numbers = parse_pid(body), parse_exit_code(body)
    assert all(one is None or isinstance(one, Malformed) or 0 <= one < 2**22 for one in numbers)
    return (*numbers, there_and_back(decode_record, encode_record)(body), there_and_back(decode_process, encode_process)(body))


def _kernel(body: bytes) -> object:
    """/proc, in which the names of processes, mounts and cgroups are others'."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        os.mkdir(f"{root}/self")
        os.mkdir(f"{root}/7")
        os.mkdir(f"{root}/memory")
        for name in ("self/cgroup", "7/cgroup", "memory/memory.oom_control", "memory.events"):
            with open(f"{root}/{name}", "wb") as file:
                file.write(body)
        killed = cgroup.oom_kills(root, root)
        cgroup.in_unit(7, "runctl-train", root)
    return bool(parse_mountinfo(body)), parse_stat(body), bool(_STATUS.search(body)), killed is None


def _locks(body: bytes) -> object:
    fd = os.memfd_create("lock")
    try:
        os.pwrite(fd, body, 0)
        tenant = tenancy._said(f"/proc/self/fd/{fd}") or _tenant(body)
    finally:
        os.close(fd)
    return lock._decode(body), tenant


def _tenant(body: bytes) -> object:
    """By a path that is no link, which a lock file may not be."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(body)
        file.flush()
        return tenancy._said(file.name)


def _metadata(body: bytes) -> object:
    return (
        parse_identity(body, "boot", 0),
        parse_tag_keys(body),
        *(read(body) and "a notice" for read in READERS.values()),
    )


class _Wire:
    """A connection over which the other side sends these bytes, whatever it is asked."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def sendall(self, _: object) -> None: ...

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._body))

    def close(self) -> None: ...


def _answer(body: bytes) -> object:
    connection = http.client.HTTPConnection("169.254.169.254")
    connection.sock = cast(socket.socket, _Wire(body))
    status, _ = _asked(connection, "GET", "/latest/", {})
    return status


def _log(body: bytes) -> object:
    found = said(body)
    assert found.loss is None or abs(found.loss) < 1e15
    return tuple(value is not None for value in (found.step, found.steps, found.epoch, found.loss)), found.broken


def _docker(body: bytes) -> object:
    text = body.decode("utf-8", "replace")
    here, known = pulled(text)
    assert here <= known
    image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/runctl/train:1"
    return isinstance(parse_found(text), Malformed), explained("it failed", text).error.mend, with_helper(body, image) is None


def _code(body: bytes) -> object:
    """A script's head, and the environment that setup leaves."""
    text = text_of(body)
    words = shebang(text.split("\n", 1)[0])
    return has_metadata(text), bool(script_of(words)), bool(parse_env(body)), answered(body)


def _file_names(body: bytes) -> object:
    paths = [text_of(one) for one in body.split(b"\0") if one]
    kinds = [directory_kind(name, paths) for name in paths[:3]]
    for path in paths:
        never(path), temporary(path), part_of_final(path), carries_weights(path), rank_of(path)
        step = step_from_name(path)
        assert step is None or 0 <= step < 10**15
    shape(paths)
    wanted(paths[0] if paths else "", ["*.pt", "step[0-9]*"], ["tmp*"])
    return tuple(kinds), missing_shard(paths) is None, *(last_part(kind, paths) for kind in kinds if kind)


def _baseline(body: bytes) -> object:
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return decode_baseline(plain)


RECORD = {
    "version": 1,
    "run": "gpt2",
    "attempt": 1,
    "pid": 4242,
    "boot_id": "2d1c0f6e",
    "ticks": 99,
    "code": 137,
    "signal": 9,
    "oom_kill": True,
    "start": 1795457000.5,
    "end": 1795457375.5,
    "peak_rss": 8192,
}
HOLDER = (
    b'{"pid": 7, "boot_id": "b", "since": 1795457375.5, "purpose": "upload", "run": "gpt2", "state_dir": "/var/lib/runctl"}\n'
)
IDENTITY = b"""{"instanceId": "i-0123456789abcdef0", "region": "eu-central-1", "instanceType": "g5.xlarge",
 "availabilityZone": "eu-central-1a"}"""
NOTICES = (
    b'{"action": "terminate", "time": "2017-09-18T08:22:00Z"}',
    b"Terminated",
    b'{"noticeTime": "2020-10-27T08:22:00Z"}',
    b'[{"Code": "system-reboot", "NotBefore": "21 Jan 2019 09:00:43 GMT", "State": "active"}]',
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nTerminated",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
)
INSPECTED = b"""{"Id": "5f", "State": {"Status": "exited", "Pid": 0, "ExitCode": 137, "OOMKilled": true, "Error": "",
 "StartedAt": "2026-11-23T18:09:35.123456789Z",
 "FinishedAt": "0001-01-01T00:00:00Z"}, "Config": {"Labels": {"runctl.run": "a"}}}"""
SAID = (
    b"{'loss': 2.5, 'grad_norm': 1.0, 'epoch': 0.5}\nstep 120/1000: loss 3.1\nEpoch 3: 12%|# | 130/1000 [00:01<00:09] loss=nan\n",
    b'{"epoch": 1.5, "global_step": 500, "max_steps": 1000, "log_history": [{"eval_loss": 2.1, "train loss": 1e-3}]}',
)
KERNEL = (
    rb"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext4 /dev/root rw,errors=continue",
    b"7 (a) Z (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 0\n",
    b"Name:\tpython\nTgid:\t42\nPid:\t42\nUid:\t1000\t1000\t1000\t1000\n",
    b"0::/system.slice/runctl-train.service\n",
    b"oom 1\noom_kill 2\n",
)
PULLED = (
    b"1: Pulling from x\na: Pulling fs layer\nb: Already exists\na: Pull complete\n",
    b"Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list entries",
    b"permission denied while trying to connect to the Docker daemon: dial unix /run/docker.sock: connect: permission denied",
    b'could not select device driver "" with capabilities: [[gpu]]',
    b"Error response from daemon: pull access denied for x, repository does not exist or may require 'docker login'",
)
CONFIG = b'{"auths": {"ghcr.io": {}}, "credHelpers": {"public.ecr.aws": "ecr-login"}}'
NAMES = (
    b"checkpoint-500\0trainer_state.json\0model-00001-of-00003.safetensors\0model.safetensors.index.json\0rng_state_3.pth",
    b"epoch=3-step=100.ckpt\0.metadata\0__0_0.distcp\0meta.pt",
    b"global_step1000\0zero_pp_rank_0_mp_rank_00_optim_states.pt\0ep1-ba500-rank0.pt\0_CHECKPOINT_METADATA",
)
SCRIPT = b'#!/usr/bin/env python3\n# /// script\n# dependencies = ["torch"]\n# ///\nimport torch\n'
BASELINE = b'{"pid": [1, 2, 3, 4], "exit_code": null, "complete": null, "record": [66306, 7, 120, 1795457375000000000]}'

TARGETS = (
    Target("markers", _markers, [b" 4711\n", b"137\n", json.dumps(RECORD).encode(), b'{"pid":1,"ticks":2,"boot_id":"b"}']),
    Target("baseline", _baseline, [BASELINE]),
    Target("proc", _kernel, KERNEL),
    Target("lock-files", _locks, [HOLDER]),
    Target("metadata", _metadata, [IDENTITY, b"Name\nrunctl:run\nrunctl:want\n", *NOTICES]),
    Target("metadata-http", _answer, ANSWERS, (OSError,)),
    Target("log-lines", _log, SAID, deepest=1000),
    Target("docker", _docker, [INSPECTED, CONFIG, *PULLED], (RunctlError,)),
    Target(
        "code",
        _code,
        [SCRIPT, b"hello\n[true, false]\n", b"PATH=/usr/bin\0HOME=/home/u\0_=/usr/bin/env\0BASH_FUNC_x%%=() {  :\n}\0"],
    ),
    Target("file-names", _file_names, NAMES, room=2 * MIB),
)
