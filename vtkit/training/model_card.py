"""The model card of a run's final checkpoint, in place of TRL's, and its upload to the hub.

``python -m vtkit.training card RUN`` writes it again; with ``--push user/name`` it uploads it.
"""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from vtkit.config.reward_names import from_file
from vtkit.config.run_config import PLACES, RunConfig
from vtkit.data.formats import FORMATS
from vtkit.errors import UserError, first_line
from vtkit.files import ROOT, atomic_write
from vtkit.hub import HUB_REVISIONS, may_be_hub_id
from vtkit.models.prompts import get_template
from vtkit.rendering import markdown, plain, templates
from vtkit.runs.checkpoints import NOT_MODEL
from vtkit.runs.contents import manifest_or_none
from vtkit.runs.manifest import file_hashes, package_versions
from vtkit.runs.marks import CARD
from vtkit.runs.records import MINIATURE, benchmark_name, best_scores, compared_scores
from vtkit.stats import at_step, percent

_SEAL = "\n<!-- vtkit: "
_REVISIONS = HUB_REVISIONS | {kind.hub: kind.revision for kind in FORMATS.values() if kind.hub}


def write_card(config: RunConfig, checkpoint: Path) -> Path:
    """Write the card into ``checkpoint``, unless it is there, or was edited, which is said."""
    path, text = checkpoint / CARD, _sealed(card(config))
    there = path.read_text("utf-8", "replace") if path.is_file() else None
    if there is not None and there != _sealed(there.rpartition(_SEAL)[0]):
        print(f"{path} was not written by the kit, or edited since: it stays as it is", flush=True)
    elif there != text:
        with atomic_write(path) as handle:
            handle.write(text)
    return path


def _sealed(text: str) -> str:
    """A card with a last line that tells later whether somebody edited it."""
    return f"{text}{_SEAL}{hashlib.sha256(text.encode()).hexdigest()[:16]} -->\n"


def card(config: RunConfig) -> str:
    """The card of a trained run, in Markdown with the hub's YAML header."""
    on_hub, text_only = _on_hub(config), config.train_format in ("text", "countdown")
    header = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation" if text_only else "image-text-to-text",
        **({"base_model": config.model} if config.model in on_hub else {}),
        **({"datasets": [config.train_data]} if config.train_data in on_hub else {}),
        "tags": ["vtkit", config.algorithm, "r1-zero"],
    }
    environment = templates(Path(__file__).with_name("templates"))
    return environment.get_template("model_card.md").render(
        config=config,
        header=yaml.safe_dump(header, sort_keys=False),
        miniature=MINIATURE if config.is_miniature else None,
        benchmark=benchmark_name(config.run_dir),
        scores=_scores(config),
        best=best_scores(config.run_dir)[config.algorithm],
        sources=_sources(config),
        settings=yaml.safe_dump(_settings(config), sort_keys=False).strip(),
        versions=package_versions(),
        chat_template=get_template(config.prompt).strip(),
        at_step=at_step,
    )


def _scores(config: RunConfig) -> str | None:
    """A table of the last scores of base model, supervised baseline and GRPO, if there are any."""
    names = {"base": "base model", "sft": "supervised baseline", "grpo": "GRPO"}
    scores = {name: score for name, score in compared_scores(config.run_dir).items() if score}
    if not scores:
        return None
    tasks = sorted({task for score in scores.values() for task in score["tasks"]})
    rows = []
    for name, score in scores.items():
        shares = [score["accuracy"], score["format_failures"]]
        shares += [score["tasks"].get(task) for task in tasks]
        step, n = str(score["step"]), str(score["accuracy"]["n"])
        rows.append([names[name], step, n, *map(percent, shares)])
    return markdown(["", "step", "n", "accuracy", "no answer found", *map(plain, tasks)], rows)


def _sources(config: RunConfig) -> list[str]:
    """A line for each hub repository and file that was read, with its revision or hash."""
    on_hub, lines = _on_hub(config), []
    for name in (config.model, config.train_data, config.benchmark_data):
        if name in on_hub and name in _REVISIONS:
            lines.append(f"- `{name}`, revision `{_REVISIONS[name]}`")
        elif name not in on_hub and may_be_hub_id(name):
            lines.append(f"- `{name}`: a folder of that name, not what the hub has under it")
    return lines + [
        f"- `{Path(path).name}`, sha256 `{entry['sha256']}`"
        for path, entry in file_hashes(config, _files_read(config)).items()
    ]


def _files_read(config: RunConfig) -> dict[str, Any]:
    """The local files that the run's manifest names."""
    return (manifest_or_none(config.run_dir) or {"files": {}})["files"]


def _on_hub(config: RunConfig) -> set[str]:
    """What of model and data came from the hub: no folder of that name is here, or was read."""
    names = {config.model, config.train_data, config.benchmark_data}
    read = _files_read(config)
    return {
        name
        for name in names
        if (name in _REVISIONS or (name == config.model and may_be_hub_id(name)))
        and not (ROOT / name).exists()
        and not any(path.startswith(f"{name}/") for path in read)
    }


def _settings(config: RunConfig) -> dict[str, Any]:
    """Everything that decides the result; folders only by their names."""
    settings = {name: value for name, value in config.to_dict().items() if name not in PLACES}
    for name in ("model", "train_data", "benchmark_data"):
        if Path(settings[name]).is_absolute():
            settings[name] = Path(settings[name]).name
    own = {name: from_file(name) for name in settings["rewards"]}
    settings["rewards"] = [
        f"{Path(one.file).name}:{one.function}" if one else name for name, one in own.items()
    ]
    return settings


def check_push(repository: str) -> None:
    """Refuse before training what could not be uploaded after it."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented

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

    Args:
        api: a ``huggingface_hub.HfApi``. A repository that it creates is private.
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
        again = f"python -m vtkit.training card {checkpoint.parents[1]} --push {repository}"
        raise UserError(
            f"push_to_hub: {repository}: {first_line(error)}; the checkpoint stays in "
            f"{checkpoint}, `{again}` tries again"
        ) from error
    return f"https://huggingface.co/{repository}"
