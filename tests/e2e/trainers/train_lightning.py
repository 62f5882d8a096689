"""Lightning with `ModelCheckpoint(save_top_k=2, save_last=True)`: files by rename or by plain writes, rotated."""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.e2e.trainers.ledger import Ledger


class Tiny(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256))

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        (numbers,) = batch
        return (self.net(numbers) - numbers.roll(1, 1)).pow(2).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Noted(ModelCheckpoint):
    """Writes down each file once it is complete; the file removed afterwards is seen by the next look."""

    def __init__(self, ledger: Ledger, **options: Any) -> None:
        super().__init__(**options)
        self.ledger = ledger

    def _save_checkpoint(self, trainer: lightning.Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self.ledger.saved(Path(filepath).name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--every", type=int, default=400)
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    lightning.seed_everything(1, verbose=False)
    data = torch.utils.data.TensorDataset(torch.randn(128 * 64, 256, generator=torch.Generator().manual_seed(1)))
    keep = Noted(
        Ledger(args.ledger, args.dir),
        dirpath=args.dir,
        filename="{epoch}-{step}",
        every_n_train_steps=args.every,
        save_top_k=2,
        monitor="step",
        mode="max",
        save_last=True,
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=args.steps,
        callbacks=[keep],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Tiny()
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=128), ckpt_path=args.resume)
    if args.resume:
        print(f"resumed at step {torch.load(args.resume, weights_only=False)['global_step']}")
    total = sum(p.double().abs().sum().item() for p in model.parameters())
    print(f"finished at step {trainer.global_step}: {total!r}")


main()
