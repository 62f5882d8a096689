"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from runctl_agent.errors import UsageError

DEFAULT_TYPE = "g5.xlarge"
EVERY = "5s"
TIMEOUT = "15m"
AGENT_ROLE = "runctl-agent"


def _version(wanted: bool) -> None:
    from runctl_agent.build import version_of

    if wanted:
        typer.echo(version_of("runctl"))
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)]
Script = Annotated[str, typer.Argument(metavar="SCRIPT", help="The training, on this machine.")]
Arguments = Annotated[list[str] | None, typer.Argument(metavar="[-- ARGS]...", help="For the script.", show_default=False)]
Name = Annotated[str, typer.Option("--run", metavar="NAME", help="Default: <script>-<date>-<4 hex>.")]
Config = Annotated[str, typer.Option("--config", metavar="FILE", help="A run spec to start from.")]
Project = Annotated[
    str, typer.Option("--project", metavar="NAME", envvar="RUNCTL_PROJECT", help="Default: the name of the code's folder.")
]
Checkpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoints",
        metavar="DIR",
        envvar="RUNCTL_CHECKPOINTS",
        help="Watched on the instance; may be repeated. Default: checkpoints.",
    ),
]
Spot = Annotated[bool, typer.Option("--spot/--on-demand", envvar="RUNCTL_SPOT", help="A one-time spot instance, or not.")]
Recover = Annotated[
    bool,
    typer.Option("--recover/--no-recover", envvar="RUNCTL_RECOVER", help="In a group of its own, which replaces what dies."),
]
Gpus = Annotated[
    int,
    typer.Option("--gpus", metavar="N", min=0, envvar="RUNCTL_GPUS", help="Refuse a type with fewer GPUs.", show_default=False),
]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="May be repeated; no secrets.")]
OnFinish = Annotated[
    str,
    typer.Option(
        "--on-finish",
        metavar="keep|stop|terminate",
        envvar="RUNCTL_ON_FINISH",
        help="The instance, once all is durable. Default: keep.",
    ),
]

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, a unique prefix of it, or an instance id.")]
Destination = Annotated[
    str,
    typer.Option("--destination", metavar="URL", envvar="RUNCTL_DESTINATION", help="s3://bucket/prefix, where the runs lie."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="Such as 90s, 15m or 2h; of `wait`, 0 is without end.")]
Every = Annotated[str, typer.Option("--every", metavar="TIME", help="How often to look.")]
Now = Annotated[bool, typer.Option("--now", help="At once: what is not durable yet is lost, and named.")]

Phases = Annotated[
    list[str] | None, typer.Option("--phase", metavar="PHASE", help="Only these; may be repeated. Also: gone, silent.")
]
OfProject = Annotated[str, typer.Option("--project", metavar="NAME", help="Only runs of this project.")]
Mine = Annotated[bool, typer.Option("--mine", help="Only what you launched, as RUNCTL_OWNER or your login name has it.")]
AllRegions = Annotated[bool, typer.Option("--all-regions", help="Of every region that the account uses.")]
Sort = Annotated[
    str, typer.Option("--sort", metavar="KEY", help="run, phase, age, step, safe, behind or cost. Default: newest launch first.")
]
Exact = Annotated[bool, typer.Option("--exact", help="Times in UTC, instead of how long ago.")]
Wide = Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal.")]

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
Shown = Annotated[bool, typer.Option("--dry-run", help="Show what would go; nothing is deleted.")]

InstanceType = Annotated[
    str,
    typer.Option(
        "--instance-type",
        metavar="TYPE",
        envvar="RUNCTL_INSTANCE_TYPE",
        help="Such as g5.xlarge; several (g5.xlarge,g6.xlarge): the next where one has no capacity.",
    ),
]
Ami = Annotated[
    str, typer.Option("--ami", metavar="ID", envvar="RUNCTL_IMAGE", help="Default: the newest own image with an agent.")
]
KeyName = Annotated[
    str, typer.Option("--key-name", metavar="NAME", envvar="RUNCTL_KEY_NAME", help="A key pair, to log in by SSH.")
]
Subnet = Annotated[str, typer.Option("--subnet", metavar="ID", envvar="RUNCTL_SUBNET")]
SecurityGroup = Annotated[list[str] | None, typer.Option("--security-group", metavar="ID", help="May be repeated.")]
SecurityGroups = Annotated[
    list[str] | None,
    typer.Option("--security-group", metavar="ID", envvar="RUNCTL_SECURITY_GROUPS", help="May be repeated."),
]
Profile = Annotated[
    str,
    typer.Option(
        "--instance-profile",
        "--role",
        metavar="NAME",
        envvar="RUNCTL_INSTANCE_PROFILE",
        help="Name or ARN of the instance profile: what the agent may do.",
    ),
]
Disk = Annotated[
    int,
    typer.Option(
        "--disk", metavar="GIB", min=0, envvar="RUNCTL_DISK", help="Root volume; default: as the image's.", show_default=False
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Then wait, as `runctl wait` does.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would be and cost; nothing is spent or written.")]


def types(value: str) -> tuple[str, tuple[str, ...]]:
    """The first of `--instance-type`, and the others."""
    first, *more = [one.strip() for one in value.split(",") if one.strip()] or [value]
    return first, tuple(more)


def seconds(option: str, value: str) -> float:
    """Raises UsageError."""
    from runctl_agent.contract.document import total
    from runctl_agent.contract.malformed import Malformed
    from runctl_agent.contract.units import duration

    found = total(duration, float(value) if value.isdecimal() else value)
    if isinstance(found, Malformed):
        raise UsageError(f"{option} {value!r:.40} is no time", found.reason, f"{option} 15m")
    return found
