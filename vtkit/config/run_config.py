"""The one flat configuration of a run: its fields, what they may hold, and its file.

Recipes and profiles (:mod:`vtkit.config.recipes`) resolve to it; a run folder keeps it as
config.yaml.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model, model_validator

from vtkit.config.values import (
    Names,
    Strict,
    choices_of,
    read_given,
    read_model,
    read_yaml,
    split_names,
    write_yaml,
)

# Options of a command, never set in a YAML file: a run's folder name cannot lie.
IDENTITY = ("recipe", "profile", "seed", "run_dir")
# Where results go and where a server is; whatever these say, the results are the same.
PLACES = ("run_dir", "trackers", "push_to_hub", "vllm_url")

STATIC = "other"
"""``question_type`` of every static question of SAT: counting, relations, depth on one picture."""
SUBSETS = ("static", "dynamic", "all")
SAMPLES = ("first", "random")
Trackers = Annotated[list[Literal["tensorboard", "wandb", "trackio"]], BeforeValidator(split_names)]


class RunConfig(Strict):
    """Everything that determines a run. configs/ has the values, each with its reason."""

    recipe: str = Field(description="which system is reproduced")
    profile: str = Field(description="at which scale")
    seed: int = Field(ge=0, description="seed of data order, sampling and initialisation")
    run_dir: str = Field(description="folder of the run")

    algorithm: Literal["grpo", "sft"] = Field(description="how the model is trained")
    model: str = Field(description="base model: folder or hub id")
    prompt: Literal[
        "base",
        "base_direct",
        "instruct",
        "instruct_direct",
        "instruct_number",
        "r1_system",
        "r1_zero",
    ] = Field(description="chat template")
    train_format: Literal["sat", "r1-v", "journey", "open-r1", "text", "countdown"] = Field(
        "sat",
        description="columns of the data; sat is scored on CV-Bench, others on held-out rows of "
        "their own",
    )
    train_data: str = Field(description="training data: folder or hub id")
    train_rows: int = Field(ge=0, description="rows to train on; 0 = all")
    train_subset: Literal[SUBSETS] = Field(
        "static",
        description="static questions, as published, or those in which something moves, or both",
    )
    train_sample: Literal[SAMPLES] = Field(
        "first", description="the first rows of the file, as published, or random ones of all"
    )
    train_types: Names = Field([], description="only these question types; empty = all")
    max_images: int = Field(1, ge=1, description="rows with more pictures are left out")
    benchmark_data: str = Field(description="benchmark: folder or hub id")
    benchmark_rows: int = Field(ge=0, description="questions of the benchmark to score; 0 = all")
    rewards: Names = Field(min_length=1, description="reward functions, added up")
    reward_rules: Literal["careful", "paper", "r1-v", "journey", "open-r1-multimodal"] = Field(
        description="whose rules accuracy and format follow"
    )

    max_steps: int = Field(ge=1, description="optimizer steps")
    num_generations: int = Field(ge=2, description="completions per prompt (the group)")
    prompts_per_step: int = Field(ge=1, description="prompts a step; SFT: this x num_generations")
    per_device_batch_size: int = Field(ge=1, description="completions per forward pass")
    learning_rate: float = Field(ge=0, description="peak learning rate of GRPO")
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = Field(
        description="shape of the learning rate"
    )
    warmup_steps: int = Field(ge=0, description="steps of linear warm-up")
    max_grad_norm: float = Field(ge=0, description="gradient norm is clipped to this")
    sft_learning_rate: float = Field(
        ge=0, description="peak learning rate of the supervised baseline"
    )
    sft_steps: int = Field(ge=1, description="optimizer steps of the supervised baseline")

    cold_start: int = Field(0, ge=0, description="format examples to learn before GRPO; 0 = none")
    beta: float = Field(ge=0, description="weight of the KL term; 0 = no reference model")
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = (
        Field(description="how token losses are averaged")
    )
    scale_rewards: Literal["group", "none"] = Field(
        description="divide advantages by the group's std"
    )
    epsilon_high: float = Field(0.2, ge=0, description="upper clip of the probability ratio")
    spare_prompts: int = Field(
        0, ge=0, description="prompts sampled on top, to replace groups without spread"
    )
    temperature: float = Field(ge=0.01, description="sampling temperature of rollouts")
    top_k: int = Field(ge=0, description="sample among the k likeliest tokens; 0 = all")
    max_completion_length: int = Field(ge=1, description="tokens a rollout may have")

    eval_steps: int = Field(ge=1, description="score the benchmark every so many steps")
    eval_batch_size: int = Field(
        ge=0, description="questions per batch when scoring; 0 = the most that fit in memory"
    )
    eval_max_new_tokens: int = Field(ge=1, description="tokens an answer may have when scoring")
    save_steps: int = Field(ge=1, description="write a checkpoint every so many steps")
    max_pixels: int = Field(ge=1, description="larger pictures are shrunk to this many pixels")
    min_pixels: int = Field(ge=1, description="smaller pictures are enlarged to this many pixels")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        description="precision of forward passes; weights that train stay float32"
    )
    gradient_checkpointing: bool = Field(description="recompute activations to save memory")

    adapter: Literal["none", "lora", "qlora"] = Field(
        "none", description="all weights train, or low-rank adapters, or these on a base in 4 bits"
    )
    lora_rank: int = Field(16, ge=1, description="rank of the adapters")
    lora_alpha: int = Field(32, ge=1, description="adapters count lora_alpha / lora_rank times")
    freeze: Literal["none", "vision", "language"] = Field(
        "none", description="part that stays as it is, adapters included"
    )
    pictures: Literal["original", "blank", "shuffled"] = Field(
        "original",
        description="as they are, or a control: grey ones, or another row's, in training and "
        "scoring",
    )
    vllm: Literal["off", "auto", "colocate", "server"] = Field(
        "off",
        description="who samples rollouts: transformers (off), vLLM on the training GPU or on a "
        "server; auto: colocate where vLLM and a GPU are there",
    )
    vllm_url: str = Field("", description="address of the vLLM server (python -m vtkit.sampling)")
    vllm_memory: float = Field(
        0.0,
        ge=0,
        description="share of a GPU for a colocated vLLM; 0 = what weights and a step's keys and "
        "values take",
    )
    trackers: Trackers = Field(
        [], description="who else gets the metrics; TensorBoard always does, where installed"
    )
    push_to_hub: str = Field("", description="repository for the final checkpoint, as user/name")

    @property
    def steps(self) -> int:
        """Optimizer steps of the algorithm."""
        return self.max_steps if self.algorithm == "grpo" else self.sft_steps

    def to_dict(self) -> dict[str, Any]:
        """All fields, in order, as plain values."""
        return self.model_dump()

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with other values, checked like every other source of values."""
        return build(self.to_dict() | check_values(changes, "parameters"))

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
HELP = {name: field.description for name, field in RunConfig.model_fields.items()}
CHOICES = {name: choices_of(annotation) for name, annotation in FIELDS.items()}
"""The words that a field may hold; empty where any value of its type will do."""
_SETTINGS = create_model(
    "_SETTINGS",
    __base__=Strict,
    **{
        name: (Annotated[field.annotation, Field(), *field.metadata], None)
        for name, field in RunConfig.model_fields.items()
    },
)
"""The same fields, none of which is required."""


def check_values(values: Mapping[str, Any], source: str, *, text: bool = True) -> dict[str, Any]:
    """The values, each in its field's type.

    Args:
        source: what errors name, a file or "parameters".
        text: whether strings may be a command line's (``"1e-4"``).

    Raises:
        UserError: a key that no field has, or a value that its field does not allow.
    """
    return read_given(_SETTINGS, values, source, text=text)


def build(values: Mapping[str, Any], source: str = "parameters") -> RunConfig:
    """A RunConfig whose fields also fit each other.

    Raises:
        UserError: a value is missing or wrong, or two fields contradict each other.
    """
    return read_model(RunConfig, values, source, "start a new run folder")


def save_config(config: RunConfig, path: str | Path) -> None:
    """Write a configuration as YAML."""
    write_yaml(path, config.to_dict())


def read_config(path: str | Path) -> RunConfig:
    """Read what :func:`save_config` wrote.

    Raises:
        UserError: the file is missing, damaged, or from a version with other fields.
    """
    return build(read_yaml(Path(path)), str(path))
