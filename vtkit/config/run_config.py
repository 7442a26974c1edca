"""The one flat configuration of a run: its fields, what they may hold, and its file.

Recipes and profiles (:mod:`vtkit.config.recipes`) resolve to it, a run folder keeps it as config.yaml.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from vtkit.config.values import cast_all, read_yaml
from vtkit.errors import UserError, suggest
from vtkit.files import atomic_write

# Arguments of their own; never set in a YAML file, so that a run's folder name cannot lie.
IDENTITY = ("recipe", "profile", "seed", "run_dir")
# Where results go and where a server is; whatever these say, the results are the same.
PLACES = ("run_dir", "trackers", "push_to_hub", "vllm_url")

STATIC = "other"
"""``question_type`` of every static question of SAT: counting, relations, depth on one picture."""
SUBSETS = ("static", "dynamic", "all")
SAMPLES = ("first", "random")


def _about(
    help: str,
    *,
    choices: Iterable[str] = (),
    minimum: float | None = None,
    unset: Any = dataclasses.MISSING,
) -> Any:
    """A field; ``unset`` makes the value of one that no file has to set."""
    about = {"help": help, "choices": tuple(choices), "minimum": minimum}
    return dataclasses.field(default_factory=unset, metadata=about)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that determines a run. configs/ has the values, each with its reason."""

    recipe: str = _about("which system is reproduced")
    profile: str = _about("at which scale")
    seed: int = _about("seed of data order, sampling and initialisation", minimum=0)
    run_dir: str = _about("folder of the run")

    algorithm: str = _about("how the model is trained", choices=("grpo", "sft"))
    model: str = _about("base model: folder or hub id")
    prompt: str = _about(
        "chat template",
        choices=(
            *("base", "base_direct", "instruct", "instruct_direct"),
            *("instruct_number", "r1_system", "r1_zero"),
        ),
    )
    train_format: str = _about(
        "columns of the data; sat is scored on CV-Bench, others on held-out rows of their own",
        choices=("sat", "r1-v", "journey", "open-r1", "text", "countdown"),
        unset=lambda: "sat",
    )
    train_data: str = _about("training data: folder or hub id")
    train_rows: int = _about("rows to train on; 0 = all", minimum=0)
    train_subset: str = _about(
        "static questions, as published, or those in which something moves, or both",
        choices=SUBSETS, unset=lambda: "static",
    )  # fmt: skip
    train_sample: str = _about(
        "the first rows of the file, as published, or random ones of all",
        choices=SAMPLES, unset=lambda: "first",
    )  # fmt: skip
    train_types: list = _about("only these question types; empty = all", unset=list)
    max_images: int = _about("rows with more pictures are left out", minimum=1, unset=lambda: 1)
    benchmark_data: str = _about("benchmark: folder or hub id")
    benchmark_rows: int = _about("questions of the benchmark to score; 0 = all", minimum=0)
    rewards: list[str] = _about("reward functions, added up")
    reward_rules: str = _about(
        "whose rules accuracy and format follow",
        choices=("careful", "paper", "r1-v", "journey", "open-r1-multimodal"),
    )

    max_steps: int = _about("optimizer steps", minimum=1)
    num_generations: int = _about("completions per prompt (the group)", minimum=2)
    prompts_per_step: int = _about("prompts a step; SFT: this x num_generations", minimum=1)
    per_device_batch_size: int = _about("completions per forward pass", minimum=1)
    learning_rate: float = _about("peak learning rate of GRPO", minimum=0)
    lr_scheduler: str = _about(
        "shape of the learning rate",
        choices=("constant", "constant_with_warmup", "linear", "cosine"),
    )
    warmup_steps: int = _about("steps of linear warm-up", minimum=0)
    max_grad_norm: float = _about("gradient norm is clipped to this", minimum=0)
    sft_learning_rate: float = _about("peak learning rate of the supervised baseline", minimum=0)
    sft_steps: int = _about("optimizer steps of the supervised baseline", minimum=1)

    cold_start: int = _about("format examples to learn before GRPO; 0 = none", minimum=0, unset=int)
    beta: float = _about("weight of the KL term; 0 = no reference model", minimum=0)
    loss_type: str = _about(
        "how token losses are averaged",
        choices=("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
    )
    scale_rewards: str = _about("divide advantages by the group's std", choices=("group", "none"))
    epsilon_high: float = _about(
        "upper clip of the probability ratio", minimum=0, unset=lambda: 0.2
    )
    spare_prompts: int = _about(
        "prompts sampled on top, to replace groups without spread", minimum=0, unset=int
    )
    temperature: float = _about("sampling temperature of rollouts", minimum=0.01)
    top_k: int = _about("sample among the k likeliest tokens; 0 = all", minimum=0)
    max_completion_length: int = _about("tokens a rollout may have", minimum=1)

    eval_steps: int = _about("score the benchmark every so many steps", minimum=1)
    eval_batch_size: int = _about(
        "questions per batch when scoring; 0 = the most that fit in memory", minimum=0
    )
    eval_max_new_tokens: int = _about("tokens an answer may have when scoring", minimum=1)
    save_steps: int = _about("write a checkpoint every so many steps", minimum=1)
    max_pixels: int = _about("larger pictures are shrunk to this many pixels", minimum=1)
    min_pixels: int = _about("smaller pictures are enlarged to this many pixels", minimum=1)
    dtype: str = _about(
        "precision of forward passes; weights that train stay float32",
        choices=("float32", "bfloat16", "float16"),
    )
    gradient_checkpointing: bool = _about("recompute activations to save memory")

    adapter: str = _about(
        "all weights train, or low-rank adapters, or these on a base in 4 bits",
        choices=("none", "lora", "qlora"),
        unset=lambda: "none",
    )
    lora_rank: int = _about("rank of the adapters", minimum=1, unset=lambda: 16)
    lora_alpha: int = _about(
        "adapters count lora_alpha / lora_rank times", minimum=1, unset=lambda: 32
    )
    freeze: str = _about(
        "part that stays as it is, adapters included",
        choices=("none", "vision", "language"),
        unset=lambda: "none",
    )
    pictures: str = _about(
        "as they are, or a control: grey ones, or another row's, in training and scoring",
        choices=("original", "blank", "shuffled"),
        unset=lambda: "original",
    )
    vllm: str = _about(
        "who samples rollouts: transformers (off), vLLM on the training GPU or on a server; auto: "
        "colocate where vLLM and a GPU are there",
        choices=("off", "auto", "colocate", "server"),
        unset=lambda: "off",
    )
    vllm_url: str = _about("address of the vLLM server (python -m vtkit.sampling)", unset=str)
    vllm_memory: float = _about(
        "share of a GPU for a colocated vLLM; 0 = what weights and a step's keys and values take",
        minimum=0,
        unset=float,
    )
    trackers: list = _about(
        "who else is told the metrics; TensorBoard always is, where installed",
        choices=("tensorboard", "wandb", "trackio"), unset=list,
    )  # fmt: skip
    push_to_hub: str = _about("repository for the final checkpoint, as user/name", unset=str)

    def to_dict(self) -> dict[str, Any]:
        """All fields, in order, as plain values."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with other values, checked like every other source of values."""
        return build(self.to_dict() | check_values(changes, "parameters", FIELDS))


FIELDS: dict[str, Any] = get_type_hints(RunConfig)
HELP = {f.name: f.metadata["help"] for f in dataclasses.fields(RunConfig)}
CHOICES = {f.name: f.metadata["choices"] for f in dataclasses.fields(RunConfig)}
REQUIRED = [
    f.name for f in dataclasses.fields(RunConfig) if f.default_factory is dataclasses.MISSING
]


def save_config(config: RunConfig, path: str | Path) -> None:
    """Write every resolved value as YAML, atomically."""
    import yaml

    with atomic_write(path) as handle:
        yaml.safe_dump(config.to_dict(), handle, sort_keys=False, allow_unicode=True)


def read_config(path: str | Path) -> RunConfig:
    """Read what :func:`save_config` wrote.

    Raises:
        UserError: the file is missing, damaged, or from a version with other fields.
    """
    values = check_values(read_yaml(Path(path)), str(path), FIELDS)
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise UserError(f"{path} does not say {', '.join(missing)}; start a new run folder")
    return build(values)


def check_values(
    values: Mapping[str, Any], source: str, known: Mapping[str, Any]
) -> dict[str, Any]:
    """The values, each cast to its field's type.

    Args:
        source: what errors name, a file or "parameters".
        known: the fields that may be set there, with their types.

    Raises:
        UserError: a key that may not be set, or a value that its field does not allow.
    """
    own = [key for key in values if key in IDENTITY and key not in known]
    if own:
        raise UserError(f"{source}: '{own[0]}' is not set here; use --{own[0].replace('_', '-')}")
    result = cast_all(values, known, source)
    limits = {f.name: f.metadata for f in dataclasses.fields(RunConfig)}
    for key in result:
        choices, minimum = limits[key]["choices"], limits[key]["minimum"]
        items = result[key] if isinstance(result[key], list) else [result[key]]
        strange = [str(item) for item in items if choices and item not in choices]
        if strange:
            raise UserError(f"{source}: {key}: no '{strange[0]}'{suggest(strange[0], choices)}")
        if minimum is not None and result[key] < minimum:
            raise UserError(f"{source}: {key}: {result[key]} is too small; at least {minimum}")
    return result


def build(values: Mapping[str, Any]) -> RunConfig:
    """A RunConfig whose fields also fit each other.

    Args:
        values: of all fields, each checked.

    Raises:
        UserError: two fields contradict each other.
    """
    config = RunConfig(**values)
    if config.min_pixels > config.max_pixels:
        raise UserError(
            f"parameters: min_pixels {config.min_pixels} is above max_pixels {config.max_pixels}"
        )
    _check_rewards(config)
    completions = config.prompts_per_step * config.num_generations
    batch = config.per_device_batch_size
    if completions % batch:
        raise UserError(
            f"parameters: prompts_per_step x num_generations = {completions} completions a step "
            f"cannot be split into batches of {batch}; set per_device_batch_size to a divisor"
        )
    return config


def _check_rewards(config: RunConfig) -> None:
    """Rewards that can judge what the data ask for."""
    sums = config.train_format == "countdown"
    if "countdown" in config.rewards and not sums:
        raise UserError(
            "parameters: rewards: countdown judges train_format countdown only; use accuracy"
        )
    if sums and "accuracy" in config.rewards and config.reward_rules != "careful":
        raise UserError(
            f"parameters: reward_rules: {config.reward_rules} compares answers and cannot judge "
            "Countdown's, of which many are right; set it to careful, or rewards to countdown"
        )
