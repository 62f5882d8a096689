"""torch.distributed.checkpoint on two ranks (gloo), keeping the last two directories."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch.distributed._tensor import Shard, distribute_tensor
from torch.distributed.device_mesh import init_device_mesh

from tests.e2e.trainers.ledger import Ledger

PACE = 0.25
"""Seconds that a step takes at least, as a real one does: between two saves of five steps there is over a second."""


def train(rank: int, args: argparse.Namespace) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", RANK=str(rank), WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")
    dist.init_process_group("gloo", init_method=f"file://{args.rendezvous}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    mesh = init_device_mesh("cpu", (2,))
    weights = torch.randn(512, 512, generator=torch.Generator().manual_seed(1))
    state = {"weights": distribute_tensor(weights, mesh, [Shard(0)]), "step": torch.zeros(1, dtype=torch.int64)}
    if args.resume:
        dcp.load(state, checkpoint_id=str(args.resume))
        if rank == 0:
            print(f"resumed at step {int(state['step'])}", flush=True)
    ledger = Ledger(args.ledger, args.dir)
    step = int(state["step"])
    while step < args.steps:
        step += 1
        began = time.monotonic()
        local = state["weights"].to_local()
        noise = torch.Generator().manual_seed(2 * step + rank)
        for _ in range(60):
            drift = local @ local.T @ local
            local = 0.9 * local + 0.01 * drift / drift.norm() + 0.1 * torch.randn(local.shape, generator=noise)
        state["weights"] = type(state["weights"]).from_local(local, mesh, [Shard(0)])
        state["step"] = torch.tensor([step])
        time.sleep(max(0.0, began + PACE - time.monotonic()))
        if step % args.every:
            continue
        dcp.save(state, checkpoint_id=str(args.dir / f"step-{step}"))
        dist.barrier()
        if rank == 0:
            shutil.rmtree(args.dir / f"step-{step - 2 * args.every}", ignore_errors=True)
            ledger.saved(f"step-{step}")
    total = state["weights"].full_tensor().double().abs().sum().item()
    if rank == 0:
        print(f"finished at step {step}: {total!r}", flush=True)
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    args.rendezvous = args.ledger.with_name(args.ledger.name + f".rendezvous-{os.getpid()}")
    mp.spawn(train, args=(args,), nprocs=2)


if __name__ == "__main__":
    main()
