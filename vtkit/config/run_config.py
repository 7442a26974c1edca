"""The one flat configuration of a run: its fields, what they may hold, and its config.yaml."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, create_model, model_validator

from vtkit.config.reward_names import check_names
from vtkit.config.values import (
    Folder,
    Names,
    Strict,
    choices_of,
    read_given,
    read_model,
    read_yaml,
    split_names,
    write_yaml,
)
from vtkit.files import ROOT

# Options of a command, never set in a YAML file: a run's folder name cannot lie.
IDENTITY = ("recipe", "profile", "seed", "run_dir")
# Where results go and where a server is; whatever these say, the results are the same.
PLACES = ("run_dir", "trackers", "push_to_hub", "vllm_url")
# What a single notebook does around the training; they may change in the folder of a trained run.
NOTEBOOK_SETTINGS = ("samples", "lab_steps", "with_sft", "launcher", "pairs")
LAUNCHERS = tuple(sorted(path.stem for path in ROOT.glob("configs/accelerate/*.yaml")))
MINIATURES = ("mini", "quick")
"""The profiles of the miniature."""

STATIC = "other"
"""``question_type`` of every static question of SAT: counting, relations, depth on one picture."""
Subset = Literal["static", "dynamic", "all"]
Sample = Literal["first", "random"]
SUBSETS, SAMPLES = get_args(Subset), get_args(Sample)
MODEL_TYPES = ("qwen2_vl", "qwen2")
"""``model_type`` of the models that can be trained: with pictures, and text only."""
Rewards = Annotated[Names, AfterValidator(check_names)]
# So many that nothing can need more; a number typed wrong is refused, not waited for.
_MANY, _TOKENS, _PIXELS = 10**9, 2**15, 2**28
Trackers = Annotated[list[Literal["tensorboard", "wandb", "trackio"]], BeforeValidator(split_names)]


def _about(help: str, default: Any = ..., **limits: Any) -> Any:
    return Field(default, description=help, **limits)


class RunConfig(Strict):
    """Everything that determines a run. configs/ has the values, each with its reason."""

    recipe: str = _about("which system is reproduced")
    profile: str = _about("at which scale")
    seed: int = _about("seed of data order, sampling and initialisation", ge=0, le=2**32 - 1)
    run_dir: Folder = _about("folder of the run")

    algorithm: Literal["grpo", "sft"] = _about("how the model is trained")
    model: Folder = _about("base model: folder or hub id")
    prompt: Literal[
        "base", "base_direct", "instruct", "instruct_direct", "instruct_number", "r1_system",
        "r1_zero",
    ] = _about("chat template")  # fmt: skip
    train_format: Literal["sat", "r1-v", "journey", "open-r1", "text", "countdown"] = _about(
        "columns of the data; sat is scored on CV-Bench, others on held-out rows of their own",
        "sat",
    )
    train_data: Folder = _about("training data: folder or hub id")
    train_rows: int = _about("rows to train on; 0 = all", ge=0, le=_MANY)
    train_subset: Subset = _about(
        "static questions, as published, or those in which something moves, or both", "static"
    )
    train_sample: Sample = _about(
        "the first rows of the file, as published, or random ones of all", "first"
    )
    train_types: Names = _about("only these question types; empty = all", [])
    max_images: int = _about("rows with more pictures are left out", 1, ge=1, le=100)
    benchmark_data: Folder = _about("benchmark: folder or hub id")
    benchmark_rows: int = _about("questions of the benchmark to score; 0 = all", ge=0, le=_MANY)
    rewards: Rewards = _about(
        "reward functions, added up: accuracy, format, length, random, countdown, or FILE.py:NAME",
        min_length=1,
    )
    reward_rules: Literal["careful", "paper", "r1-v", "journey", "open-r1-multimodal"] = _about(
        "whose rules accuracy and format follow"
    )

    max_steps: int = _about("optimizer steps", ge=1, le=_MANY)
    num_generations: int = _about("completions per prompt (the group)", ge=2, le=2**16)
    prompts_per_step: int = _about("prompts a step; SFT: this x num_generations", ge=1, le=2**16)
    per_device_batch_size: int = _about("completions per forward pass", ge=1, le=2**16)
    learning_rate: float = _about("peak learning rate of GRPO", ge=0)
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = _about(
        "shape of the learning rate"
    )
    warmup_steps: int = _about("steps of linear warm-up", ge=0, le=_MANY)
    max_grad_norm: float = _about("gradient norm is clipped to this", ge=0)
    sft_learning_rate: float = _about("peak learning rate of the supervised baseline", ge=0)
    sft_steps: int = _about("optimizer steps of the supervised baseline", ge=1, le=_MANY)

    cold_start: int = _about("format examples to learn before GRPO; 0 = none", 0, ge=0, le=_MANY)
    beta: float = _about("weight of the KL term; 0 = no reference model", ge=0)
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = (
        _about("how token losses are averaged")
    )
    scale_rewards: Literal["group", "none"] = _about("divide advantages by the group's std")
    epsilon_high: float = _about("upper clip of the probability ratio", 0.2, ge=0, le=1000)
    spare_prompts: int = _about(
        "prompts sampled on top, to replace groups without spread", 0, ge=0, le=2**16
    )
    temperature: float = _about("sampling temperature of rollouts", ge=0.01)
    top_k: int = _about("sample among the k likeliest tokens; 0 = all", ge=0, le=_MANY)
    max_completion_length: int = _about("tokens a rollout may have", ge=1, le=_TOKENS)

    eval_steps: int = _about("score the benchmark every so many steps", ge=1, le=_MANY)
    eval_batch_size: int = _about(
        "questions per batch when scoring; 0 = the most that fit in memory", ge=0, le=2**16
    )
    eval_max_new_tokens: int = _about("tokens an answer may have when scoring", ge=1, le=_TOKENS)
    save_steps: int = _about("write a checkpoint every so many steps", ge=1, le=_MANY)
    max_pixels: int = _about("larger pictures are shrunk to this many pixels", ge=1, le=_PIXELS)
    min_pixels: int = _about("smaller pictures are enlarged to this many pixels", ge=1, le=_PIXELS)
    dtype: Literal["float32", "bfloat16", "float16"] = _about(
        "precision of forward passes; weights that train stay float32"
    )
    gradient_checkpointing: bool = _about("recompute activations to save memory")
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = _about(
        "attention of transformers: torch's, every score written out, or the package flash-attn "
        "on a GPU",
        "sdpa",
    )
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] = _about(
        "Adam's moments in float32, in 8 bits by bitsandbytes (embeddings stay in float32), or "
        "these moved out of a full GPU",
        "adamw",
    )

    adapter: Literal["none", "lora", "qlora"] = _about(
        "all weights train, or low-rank adapters, or these on a base in 4 bits", "none"
    )
    lora_rank: int = _about("rank of the adapters", 16, ge=1, le=2**12)
    lora_alpha: int = _about("adapters count lora_alpha / lora_rank times", 32, ge=1, le=2**16)
    freeze: Literal["none", "vision", "language"] = _about(
        "part that stays as it is, adapters included", "none"
    )
    pictures: Literal["original", "blank", "shuffled"] = _about(
        "as they are, or a control: grey ones, or another row's, in training and scoring",
        "original",
    )
    vllm: Literal["off", "auto", "colocate", "server"] = _about(
        "who samples rollouts: transformers (off), vLLM on the training GPU or on a server; auto: "
        "colocate where vLLM and a GPU are there",
        "off",
    )
    vllm_url: str = _about("address of the vLLM server (python -m vtkit.sampling)", "")
    vllm_memory: float = _about(
        "share of a GPU for a colocated vLLM; 0 = what weights and a step's keys and values take",
        0.0, ge=0, le=1,
    )  # fmt: skip
    vllm_sleep: bool = _about(
        "a colocated vLLM gives its memory back between rollouts; weights are sent anew each time",
        False,
    )
    trackers: Trackers = _about(
        "who else gets the metrics; TensorBoard always does, where installed", []
    )
    push_to_hub: str = _about("repository for the final checkpoint, as user/name", "")

    samples: int = _about(
        "notebook 00: completions of the base model to sample", 512, ge=8, le=_MANY
    )
    lab_steps: int = _about(
        "notebook 02: steps of each small run; 0: replay kept ones", 40, ge=0, le=_MANY
    )
    with_sft: bool = _about("notebook 03: train the supervised baseline too", True)
    launcher: Literal[("", *LAUNCHERS)] = _about(  # type: ignore[valid-type]  # names of files
        "notebook 03: file of configs/accelerate that starts several processes; empty: this one", ""
    )
    pairs: int = _about(
        "notebook 04: pairs in each arm of the causal test; 0: leave it out", 200, ge=0, le=_MANY
    )

    @property
    def steps(self) -> int:
        """Optimizer steps of the algorithm."""
        return self.max_steps if self.algorithm == "grpo" else self.sft_steps

    @property
    def is_miniature(self) -> bool:
        """Whether the model is the miniature, whose data and models this kit makes."""
        return self.profile in MINIATURES

    @property
    def paid(self) -> list[str]:
        """The rewards that are paid: none in supervised training."""
        return self.rewards if self.algorithm == "grpo" else []

    def to_dict(self) -> dict[str, Any]:
        """All fields, in order, as plain values."""
        return self.model_dump()

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with other values, checked like every other source of values."""
        changed = read_given(SETTINGS, changes, "parameters", text=True)
        return read_model(RunConfig, self.to_dict() | changed, "parameters")

    @model_validator(mode="after")
    def _fields_fit(self) -> "RunConfig":
        """Fields that contradict each other, and rewards that cannot judge the data's answers."""
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} is above max_pixels {self.max_pixels}")
        sums = self.train_format == "countdown"
        if "countdown" in self.rewards and not sums:
            raise ValueError("rewards: countdown judges train_format countdown only; use accuracy")
        if sums and "accuracy" in self.rewards and self.reward_rules != "careful":
            raise ValueError(
                f"reward_rules: {self.reward_rules} compares answers and cannot judge Countdown's, "
                "of which many are right; set it to careful, or rewards to countdown"
            )
        completions = self.prompts_per_step * self.num_generations
        if completions % self.per_device_batch_size:
            raise ValueError(
                f"prompts_per_step x num_generations = {completions} completions a step cannot be "
                f"split into batches of {self.per_device_batch_size}; set per_device_batch_size to "
                "a divisor"
            )
        return self


FIELDS = {name: field.annotation for name, field in RunConfig.model_fields.items()}
REQUIRED = tuple(name for name, field in RunConfig.model_fields.items() if field.is_required())
HELP = {name: field.description or "" for name, field in RunConfig.model_fields.items()}
CHOICES = {name: choices_of(annotation) for name, annotation in FIELDS.items()}
"""The words that a field may hold; empty where any value of its type will do."""
GROUPS = {
    "algorithm": "model, data and rewards",
    "max_steps": "training",
    "cold_start": "reinforcement learning",
    "eval_steps": "scoring, checkpoints and precision",
    "adapter": "what trains, and controls",
    "vllm": "vLLM, trackers and upload",
    "samples": "single notebooks",
}
"""Titles of groups of fields, by the first field of each."""
_OPTIONAL: dict[str, Any] = {
    name: (Annotated[field.annotation, Field(), *field.metadata], None)
    for name, field in RunConfig.model_fields.items()
}
SETTINGS = create_model("SETTINGS", __base__=Strict, **_OPTIONAL)
"""The same fields, none of which is required."""


def save_config(config: RunConfig, path: str | Path) -> None:
    write_yaml(path, config.to_dict())


def read_config(path: str | Path) -> RunConfig:
    """Read what :func:`save_config` wrote; a UserError names what is missing or damaged."""
    return read_model(RunConfig, read_yaml(Path(path)), str(path), "start a new run folder")
