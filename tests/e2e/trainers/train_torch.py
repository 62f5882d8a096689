"""Plain torch: `torch.save` into the final name, keeping the last three, and a `last.pt` rewritten in place."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tests.e2e.trainers.ledger import Ledger


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step = 0
    if args.resume:
        state = torch.load(args.resume, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        print(f"resumed at step {step}")
    args.dir.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(args.ledger, args.dir)
    kept: list[Path] = []
    while step < args.steps:
        step += 1
        for part in range(40):
            batch = torch.randn(256, 256, generator=torch.Generator().manual_seed(1000 * step + part))
            loss = (model(batch) - batch.roll(1, 1)).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step % args.every:
            continue
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        path = args.dir / f"model_step_{step}.pt"
        torch.save(state, path)
        kept.append(path)
        while len(kept) > 3:
            kept.pop(0).unlink()
        ledger.saved(path.name)
        torch.save(state, args.dir / "last.pt")
        ledger.saved("last.pt")
    total = sum(p.double().abs().sum().item() for p in model.parameters())
    print(f"finished at step {step}: {total!r}")


main()
