"""The model card of a run's final checkpoint, and its way to the hub.

TRL's own card names the method and the library. This one is written from the run's files: what was
trained on which bytes, with which settings, how well it answers (with intervals), and what it is
not. It replaces TRL's README.md in the checkpoint.

    python -m vtkit.training card runs/visualthinker-mini-s0                      # write it (again)
    python -m vtkit.training card runs/visualthinker-mini-s0 --push user/name     # and upload the checkpoint
"""

from pathlib import Path
from typing import Any

import yaml

from vtkit.config.run_config import PLACES, RunConfig
from vtkit.data.formats import FORMATS
from vtkit.errors import UserError, first_line
from vtkit.files import ROOT, atomic_write, read_json
from vtkit.hub import HUB_REVISIONS
from vtkit.models.prompts import get_template
from vtkit.runs.checkpoints import NOT_MODEL
from vtkit.runs.manifest import file_hashes, package_versions
from vtkit.runs.records import MINIATURE, benchmark_name, best_scores, compared_scores
from vtkit.stats import at_step, percent

CARD = "README.md"
_REVISIONS = HUB_REVISIONS | {kind.hub: kind.revision for kind in FORMATS.values() if kind.hub}
LIMITS = """\
- Not an assistant: it was trained to answer questions of one kind (see its data above), under one
  prompt (the chat template in this folder), and nothing else was measured.
- Reflection in its completions ("wait, let me check") is a style that was rewarded when the answer was
  right; a phrase is no proof that anything was checked.
- One seed. The intervals say how much the accuracy would vary with other questions, not with
  another run.
- Nothing was done about safety, bias or facts beyond what the base model has."""


def write_card(config: RunConfig, checkpoint: Path) -> Path:
    """Write the card into ``checkpoint``; a card that says the same already is left alone.

    Raises:
        UserError: a file of the run is missing or damaged, or the card cannot be written.
    """
    path, text = checkpoint / CARD, card(config)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as handle:
            handle.write(text)
    return path


def card(config: RunConfig) -> str:
    """The card of a trained run, in Markdown with the hub's YAML header."""
    on_hub = not (ROOT / config.model).exists()
    reads_text_only = config.train_format in ("text", "countdown")
    header = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation" if reads_text_only else "image-text-to-text",
        **({"base_model": config.model} if on_hub else {}),
        **({"datasets": [config.train_data]} if config.train_data in _REVISIONS else {}),
        "tags": ["vtkit", config.algorithm, "r1-zero"],
    }
    method = "GRPO with rule-based rewards" if config.algorithm == "grpo" else "supervised tuning"
    mini = [MINIATURE, ""] if config.profile.startswith("mini") else []
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {config.recipe}, profile {config.profile}, seed {config.seed}",
        "",
        f"`{config.model}` after {method}: recipe `{config.recipe}` of vtkit, which reproduces "
        "VisualThinker-R1-Zero (arXiv 2503.05132) and its comparisons.",
        "",
        *mini,
        f"## Accuracy on {benchmark_name(config.run_dir)}",
        "",
        *_scores(config),
        "",
        "Greedy decoding; share of questions answered right, 95 % Wilson intervals in brackets.",
        "",
        "## What it was trained on",
        "",
        *_sources(config),
        "",
        "## Settings",
        "",
        "```yaml",
        yaml.safe_dump(_settings(config), sort_keys=False).strip(),
        "```",
        "",
        f"Versions: {', '.join(f'{name} {v}' for name, v in package_versions().items())}.",
        "",
        "## How to ask it",
        "",
        "Load folder and processor with transformers, and render questions with the chat template "
        "that comes with them: it is part of what was trained.",
        "",
        "```jinja",
        get_template(config.prompt).strip(),
        "```",
        "",
        "## What it is not",
        "",
        LIMITS,
        "",
        "Base model and data have licences of their own, which hold for this model too.",
        "",
    ]
    return "\n".join(parts)


def _scores(config: RunConfig) -> list[str]:
    names = {"base": "base model", "sft": "supervised baseline", "grpo": "GRPO"}
    scores = {name: score for name, score in compared_scores(config.run_dir).items() if score}
    if not scores:
        return ["Not measured."]
    tasks = sorted({task for score in scores.values() for task in score["tasks"]})
    columns = ["accuracy", "no answer found", *tasks]
    rows = [["", "step", "n", *columns], ["---"] * (3 + len(columns))]
    for name, score in scores.items():
        kinds = [score["accuracy"], score["format_failures"]]
        kinds += [score["tasks"].get(task) for task in tasks]
        step, n = str(score["step"]), str(score["accuracy"]["n"])
        rows.append([names[name], step, n, *map(percent, kinds)])
    best = best_scores(config.run_dir)[config.algorithm]
    more = f"The best scored step, by the same questions: {at_step(best)}." if best else ""
    return [*(f"| {' | '.join(row)} |" for row in rows), "", more]


def _sources(config: RunConfig) -> list[str]:
    """One line a file or hub repository, with the bytes that were read."""
    manifest = Path(config.run_dir) / "manifest.json"
    known = read_json(manifest)["files"] if manifest.exists() else {}
    revisions = [
        f"- `{name}`, revision `{_REVISIONS[name]}`"
        for name in (config.train_data, config.benchmark_data)
        if name in _REVISIONS and not (ROOT / name).exists()
    ]
    files = [
        f"- `{Path(path).name}`, sha256 `{entry['sha256']}`"
        for path, entry in file_hashes(config, known).items()
    ]
    return revisions + files or ["Not recorded."]


def _settings(config: RunConfig) -> dict[str, Any]:
    """Everything that decides the result; folders only by their names."""
    settings = config.to_dict()
    for name in PLACES:
        del settings[name]
    for name in ("model", "train_data", "benchmark_data"):
        if Path(settings[name]).is_absolute():
            settings[name] = Path(settings[name]).name
    return settings


def check_push(repository: str) -> None:
    """Refuse, before hours of training, what could not be uploaded after them.

    Raises:
        UserError: not a repository name, or there is no token.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"push_to_hub: {first_line(error)}; give it as user/name") from None
    if "/" not in repository:
        raise UserError(f"push_to_hub: '{repository}' has no owner; give it as user/name")
    if not get_token():
        raise UserError(
            "push_to_hub: there is no token of the Hugging Face hub; "
            "`hf auth login` or set HF_TOKEN, or leave push_to_hub empty"
        )


def push(checkpoint: Path, repository: str, api: Any = None) -> str:
    """Upload a checkpoint without what only resuming needs; returns its address.

    A new repository is private: making it public is the owner's decision.

    Args:
        api: a ``huggingface_hub.HfApi``.

    Raises:
        UserError: see :func:`check_push`; or the hub refused, or cannot be reached.
    """
    from huggingface_hub import HfApi

    check_push(repository)
    api = api or HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=str(checkpoint), ignore_patterns=NOT_MODEL,
            commit_message=f"vtkit: {checkpoint.name}",
        )  # fmt: skip
    except Exception as error:  # hub, HTTP and operating system errors have no common ancestor
        raise UserError(
            f"push_to_hub: {repository}: {first_line(error)}; the checkpoint stays in {checkpoint}, "
            f"`python -m vtkit.training card {checkpoint.parents[1]} --push {repository}` tries again"
        ) from error
    return f"https://huggingface.co/{repository}"
