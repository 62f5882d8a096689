"""What names say: which entries can be a checkpoint, what wrote a directory, its last-written part, its step. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from runctl_agent.records import Kind

WEIGHTS_SUFFIXES = frozenset(
    {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".safetensors", ".npz", ".h5", ".msgpack", ".distcp", ".ubj"}
)
SUFFIXES = WEIGHTS_SUFFIXES | {".json"}

_NEVER = re.compile(r"\..*|tmp-.*|.*\.(?:tmp|lock|orbax-checkpoint-tmp-.*)", re.DOTALL)
_LOGS = frozenset({"runs", "wandb", "lightning_logs"})

CONFIGS = ("config.json", "adapter_config.json")
"""Either of them at the top level makes Hugging Face's files there the checkpoint `final`."""

_FINAL = frozenset(
    {
        *CONFIGS,
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
        "preprocessor_config.json",
        "processor_config.json",
        "video_preprocessor_config.json",
        "training_args.bin",
        "trainer_state.json",
    }
)
_MODEL = re.compile(
    r"(?:(?:pytorch_|adapter_|flax_|tf_)?model|diffusion_pytorch_model)"
    r"(?:-\d+-of-\d+)?\.(?:bin|safetensors|h5|msgpack)(?:\.index\.json)?"
)
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.[a-z]+)")
_INDEX = re.compile(r"(.*)(\.[a-z]+)\.index\.json")
_TRAINER = re.compile(
    r"(?:trainer_state\.json|training_args\.bin|(?:optimizer|scheduler|scaler)\.(?:pt|bin)|rng_state(?:_\d+)?\.pth)"
)
_RANK = re.compile(r"(?:.*/)?(?:rng_state_|(?:[a-z0-9]+_)?zero_pp_rank_)(\d+)(?:_mp_rank_\d+_optim_states\.pt|\.pth)")
_TEMPORARY = re.compile(r"\..*|tmp.*|.*[._-]tmp.*|.*\.(?:lock|part|partial|incomplete)")
_HUGGINGFACE = re.compile(r"checkpoint-\d+")
_DEEPSPEED = re.compile(r"global_step\d+")
_ORBAX = frozenset({"_CHECKPOINT_METADATA", "orbax.checkpoint", "commit_success.txt", "manifest.ocdbt", "_sharding"})

_STEPS = (
    re.compile(r"(?:step|iter(?:ation)?)s?[=_-]?(\d{1,15})(?![\d.]\d)(?!\d)", re.IGNORECASE),
    re.compile(r"(?:checkpoint|ckpt)[=_-]?(\d{1,15})(?!\d)", re.IGNORECASE),
    re.compile(r"(?<![A-Za-z])ba(\d{1,15})(?!\d)"),  # MosaicML Composer's batch, ep1-ba500-rank0.pt
)
_ALONE = re.compile(r"(?<![A-Za-z0-9.])(\d{1,15})(?![A-Za-z0-9]|\.\d)")


def suffix(name: str) -> str:
    """The last suffix in lower case, with its dot; empty if there is none."""
    base = name.rpartition("/")[2]
    dot = base.rfind(".")
    return base[dot:].lower() if dot > 0 else ""


def carries_weights(name: str) -> bool:
    return suffix(name) in WEIGHTS_SUFFIXES


def never(name: str) -> bool:
    """Whether this top-level name can't be a checkpoint: hidden, temporary, a lock, a folder of logs."""
    return name in _LOGS or _NEVER.fullmatch(name) is not None


def wanted(name: str, include: Iterable[str], exclude: Iterable[str]) -> bool:
    return any(fnmatchcase(name, p) for p in include) and not any(fnmatchcase(name, p) for p in exclude)


def part_of_final(name: str) -> bool:
    """Whether this is one of Hugging Face's own names for a model, tokenizer or configuration."""
    return name in _FINAL or _MODEL.fullmatch(name) is not None


def temporary(path: str) -> bool:
    """Whether a file inside a directory looks like one that its writer takes away again."""
    return any(_TEMPORARY.fullmatch(part) for part in path.lower().split("/"))


def is_trainers_name(name: str) -> bool:
    """Whether Hugging Face's Trainer names its checkpoints so."""
    return _HUGGINGFACE.fullmatch(name) is not None


def directory_kind(name: str, paths: Collection[str]) -> Kind | None:
    """What wrote a directory of these files; None: it is no checkpoint. `paths` are relative to it."""
    if _DEEPSPEED.fullmatch(name):
        return Kind.DEEPSPEED if paths else None
    if is_trainers_name(name) and any(_TRAINER.fullmatch(p) for p in paths):
        return Kind.HUGGINGFACE
    if any(p.rpartition("/")[2] in _ORBAX for p in paths):
        return Kind.ORBAX
    sharded = any("/" not in p and (p == ".metadata" or p.endswith(".distcp")) for p in paths)
    if sharded and ("meta.pt" in paths or suffix(name) == ".ckpt"):
        return Kind.LIGHTNING
    if sharded:
        return Kind.DCP
    if not any(carries_weights(p) for p in paths):
        return None
    return Kind.LIGHTNING if suffix(name) == ".ckpt" else Kind.DIRECTORY


def last_part(kind: Kind, paths: Collection[str]) -> str | None:
    """The file this kind's writer closes last; None: it has no such file, and only quiet time or a rename tells."""
    if kind is Kind.HUGGINGFACE:
        return "trainer_state.json"
    if kind is Kind.DCP:
        return ".metadata"
    if kind is Kind.LIGHTNING and any(p == ".metadata" or p.endswith(".distcp") for p in paths):
        return "meta.pt"  # saved by rank 0 after the sharded state
    return None


def rank_of(path: str) -> int | None:
    """The rank that wrote this file by itself, with no barrier after it: Hugging Face's random state, ZeRO's optimizer."""
    match = _RANK.fullmatch(path)
    return int(match[1]) if match else None


def missing_shard(paths: Collection[str]) -> str | None:
    """A file that `model-00001-of-00003.safetensors` or `model.safetensors.index.json` promises and that isn't there."""
    sets: dict[tuple[str, int, str], set[int]] = {}
    for match in filter(None, map(_SHARD.fullmatch, paths)):
        sets.setdefault((match[1], int(match[3]), match[4]), set()).add(int(match[2]))
    for (stem, total, end), numbers in sorted(sets.items()):
        lacks = next((n for n in range(1, total + 1) if n not in numbers), None)
        if lacks is not None and 0 not in numbers:
            return f"{stem}-{lacks:05d}-of-{total:05d}{end}"
    stems = {(stem, end) for stem, _, end in sets}
    for match in filter(None, map(_INDEX.fullmatch, paths)):
        if (match[1], match[2]) not in stems:
            return f"{match[1]}-00001-of-*{match[2]}"
    return None


def shape(paths: Iterable[str]) -> frozenset[str]:
    """The paths with the step taken out, comparable between the checkpoints of one training."""
    return frozenset(_DEEPSPEED.sub("global_step", path) for path in paths)


def step_from_name(name: str) -> int | None:
    """The step a name bears: after `step`, `iter` or `checkpoint`, else its only number that stands alone."""
    for pattern in _STEPS:
        found = pattern.findall(name)
        if found:
            return int(found[-1])
    alone = _ALONE.findall(name)
    return int(alone[0]) if len(alone) == 1 else None
