"""What `--help` of each command shows at its end: a use or three, each of which is parsed by a test."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": ("runctl init --destination s3://my-bucket/runs --role runctl-agent --spot",),
    "config": ("runctl config", "runctl config --json | jq '.settings[] | select(.origin == \"file\")'"),
    "doctor": ("runctl doctor", "runctl doctor --spot --instance-type p5.48xlarge"),
    "launch": (
        "runctl launch train.py --spot -- --epochs 3",
        "runctl launch train.py --spot --recover --instance-type g5.xlarge,g6.xlarge --on-finish terminate",
        "runctl launch train.py --config run.yaml --dry-run",
    ),
    "resume": ("runctl resume llama-7b", "runctl resume llama-7b --instance-type g5.2xlarge --on-demand"),
    "list": (
        "runctl list --mine --phase training,silent",
        "runctl list --all-regions --sort cost --destination s3://my-bucket/runs",
        "runctl list --json | jq '.runs[].run'",
    ),
    "status": ("runctl status llama-7b", "runctl status llama-7b --exact", "runctl status i-0123456789abcdef0 --json"),
    "watch": ("runctl watch", "runctl watch llama-7b"),
    "logs": ("runctl logs llama-7b --follow", "runctl logs llama-7b --lines 50 --agent"),
    "report": ("runctl report llama-7b", "runctl report llama-7b --out page.html"),
    "wait": ("runctl wait llama-7b && runctl pull llama-7b", "runctl wait llama-7b --timeout 2h"),
    "checkpoints": ("runctl checkpoints llama-7b", "runctl checkpoints llama-7b --verify"),
    "pull": ("runctl pull llama-7b", "runctl pull llama-7b best --checkpoint best.pt"),
    "prune": ("runctl prune llama-7b --dry-run", "runctl prune llama-7b --yes"),
    "flush": ("runctl flush llama-7b",),
    "stop": ("runctl stop llama-7b", "runctl stop llama-7b --timeout 30m"),
    "start": ("runctl start llama-7b",),
    "terminate": ("runctl terminate llama-7b", "runctl terminate llama-7b --now"),
    "docker build": (
        "runctl docker build",
        "runctl docker build --push",
        "runctl docker build . --tag ghcr.io/me/train:1 --push",
    ),
    "iam agent": ("runctl iam agent --destination s3://my-bucket/runs > agent.json",),
    "iam controller": ("runctl iam controller --destination s3://my-bucket/runs --role runctl-agent > controller.json",),
}
"""By the command's words."""


def epilog(command: str) -> str:
    """Empty where there are none. `\\b` keeps click from making one paragraph of the lines."""
    lines = EXAMPLES.get(command, ())
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else ""
