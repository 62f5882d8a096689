from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.disk import kinds
from runctl_agent.records import Kind


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("step=500.ckpt", 500),
        ("epoch=3-step=500.ckpt", 500),
        ("epoch=3-step=500-v1.ckpt", 500),
        ("iter_0000500", 500),
        ("global_step500", 500),
        ("model_step_500.pt", 500),
        ("checkpoint_500.pt", 500),
        ("ckpt-12.pt", 12),
        ("ep1-ba500-rank0.pt", 500),
        ("step1000-unsharded", 1000),
        ("0000500.pt", 500),
        ("500", 500),
        ("epoch_3.pt", 3),
        ("epoch=3-val_loss=0.12.ckpt", 3),
        ("last.pt", None),
        ("gpt2.pt", None),
        ("model-00001-of-00002.safetensors", None),
        ("final", None),
        ("best-2026-11-23.pt", None),
        ("step=" + "9" * 40, None),
    ],
)
def test_step_from_name(name: str, step: int | None) -> None:
    assert kinds.step_from_name(name) == step


@given(st.text(max_size=60))
def test_any_name_gives_an_answer(name: str) -> None:
    step = kinds.step_from_name(name)
    assert step is None or step >= 0
    kinds.never(name)
    kinds.part_of_final(name)
    kinds.temporary(name)
    kinds.missing_shard([name])
    kinds.directory_kind(name, [name])


@pytest.mark.parametrize(
    "name",
    [
        *("model.pt.tmp", ".tmpXq3.safetensors", "tmp-checkpoint-5", "5.orbax-checkpoint-tmp-17", "last.pt.lock"),
        *(".hidden.pt", ".runctl", ".runctl-staging", "runs", "wandb", "lightning_logs"),
    ],
)
def test_never_a_checkpoint(name: str) -> None:
    assert kinds.never(name)


@pytest.mark.parametrize("name", ["last.pt", "checkpoint-5", "running.pt", "runs.pt", "tmp_model.pt", "lock.pt"])
def test_may_be_a_checkpoint(name: str) -> None:
    assert not kinds.never(name)


@pytest.mark.parametrize(
    ("name", "paths", "kind"),
    [
        ("checkpoint-5", ["model.safetensors", "trainer_state.json"], Kind.HUGGINGFACE),
        ("checkpoint-5", ["model.safetensors", "training_args.bin"], Kind.HUGGINGFACE),
        ("checkpoint-5", ["model.safetensors", "config.json"], Kind.DIRECTORY),
        ("checkpoint-5", ["config.json"], None),
        ("global_step5", ["mp_rank_00_model_states.pt"], Kind.DEEPSPEED),
        ("step-5", [".metadata", "__0_0.distcp"], Kind.DCP),
        ("step-5", ["__0_0.distcp"], Kind.DCP),
        ("epoch=0-step=3.ckpt", [".metadata", "__0_0.distcp"], Kind.LIGHTNING),
        ("any", [".metadata", "__0_0.distcp", "meta.pt"], Kind.LIGHTNING),
        ("epoch=0-step=3.ckpt", ["checkpoint/mp_rank_00_model_states.pt", "latest"], Kind.LIGHTNING),
        ("100", ["_CHECKPOINT_METADATA", "default/manifest.ocdbt"], Kind.ORBAX),
        ("100", ["orbax.checkpoint", "pytree/d/abc"], Kind.ORBAX),
        ("mine", ["deep/down/model.pt"], Kind.DIRECTORY),
        ("logs", ["events.out.tfevents.1", "meta.json"], None),
        ("empty", [], None),
    ],
)
def test_directory_kind(name: str, paths: list[str], kind: Kind | None) -> None:
    assert kinds.directory_kind(name, paths) is kind


def test_last_part() -> None:
    assert kinds.last_part(Kind.HUGGINGFACE, []) == "trainer_state.json"
    assert kinds.last_part(Kind.DCP, ["__0_0.distcp"]) == ".metadata"
    assert kinds.last_part(Kind.LIGHTNING, [".metadata", "__0_0.distcp"]) == "meta.pt"
    assert kinds.last_part(Kind.LIGHTNING, ["latest", "checkpoint/a.pt"]) is None
    assert kinds.last_part(Kind.DEEPSPEED, ["a.pt"]) is None


def test_missing_shard() -> None:
    one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    assert kinds.missing_shard([one, two, "model.safetensors.index.json"]) is None
    assert kinds.missing_shard([one]) == two
    assert kinds.missing_shard([two]) == one
    assert kinds.missing_shard(["model.safetensors.index.json"]) == "model-00001-of-*.safetensors"
    assert kinds.missing_shard(["model.safetensors", "config.json"]) is None


def test_ranks() -> None:
    assert kinds.rank_of("rng_state_3.pth") == 3
    assert kinds.rank_of("global_step5/bf16_zero_pp_rank_2_mp_rank_00_optim_states.pt") == 2
    assert kinds.rank_of("global_step5/zero_pp_rank_0_mp_rank_00_optim_states.pt") == 0
    assert kinds.rank_of("rng_state.pth") is None
    assert kinds.rank_of("model.safetensors") is None


def test_final_names() -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors", "pytorch_model-00001-of-00002.bin", "adapter_model.bin"):
        assert kinds.part_of_final(name)
    assert kinds.part_of_final("model.safetensors.index.json")
    for name in ("last.pt", "my_model.bin", "metrics.json", "README.md"):
        assert not kinds.part_of_final(name)


def test_include_and_exclude() -> None:
    assert kinds.wanted("a.pt", ["*"], [])
    assert not kinds.wanted("a.pt", ["best*"], [])
    assert not kinds.wanted("A.pt", ["a*"], [])
    assert not kinds.wanted("a.pt", ["*"], ["a*"])
