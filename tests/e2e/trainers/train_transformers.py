"""`transformers.Trainer` on a tiny GPT-2 from a config, `save_total_limit=2`, and `save_model` at the end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments, set_seed

from tests.e2e.trainers.ledger import Ledger


class Noted(TrainerCallback):
    """`on_save` is called when `checkpoint-N` is complete and the rotation after it is done."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ledger.saved(f"checkpoint-{state.global_step}")


class Numbers(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tokens = (torch.arange(64) * (index + 3)) % 97
        return {"input_ids": tokens, "labels": tokens}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    set_seed(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_positions=64, n_embd=96, n_layer=3, n_head=4))
    training = TrainingArguments(
        output_dir=str(args.dir),
        max_steps=args.steps,
        save_steps=args.every,
        save_total_limit=2,
        per_device_train_batch_size=16,
        logging_steps=1000,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=training, train_dataset=Numbers(), callbacks=[Noted(Ledger(args.ledger, args.dir))])
    if args.resume:
        trainer.train(resume_from_checkpoint=str(args.resume))
        print(f"resumed at step {int(args.resume.name.rpartition('-')[2])}")
    else:
        trainer.train()
        trainer.save_model()
    total = sum(p.double().abs().sum().item() for p in model.parameters())
    print(f"finished at step {trainer.state.global_step}: {total!r}")


main()
