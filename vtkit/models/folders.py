"""What a model's folder says about it, before anything of it is loaded."""

from pathlib import Path

from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.models.families import FAMILIES, ORIGINAL
from vtkit.models.family import Family
from vtkit.models.published import published_config


def base_of(folder: str | Path) -> str | None:
    """The base of a folder's adapter; None for other folders."""
    path = Path(folder) / "adapter_config.json"
    if not path.is_file():
        return None
    config = read_json(path)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(base, str) or not base:
        raise UserError(f"{path}: base_model_name_or_path is missing; set it to the base model")
    return base


def require_whole(model: str | Path) -> None:
    """Refuse to train an adapter further: TRL would make it a part of the frozen reference."""
    if base := base_of(model):
        raise UserError(f"{model}: is an adapter, not a base to train; set `model` to {base}")


def model_type(model: str | Path) -> str | None:
    """The ``model_type`` of a folder or hub id, None if unknown; an adapter has its base's."""
    model = base_of(model) or model
    path = Path(model) / "config.json"
    if path.is_file():
        config = read_json(path)
        return config.get("model_type") if isinstance(config, dict) else None
    if known := published_config(str(model)):
        return known["model_type"]
    from transformers import AutoConfig  # slow

    try:
        return AutoConfig.from_pretrained(model).model_type
    except (OSError, ValueError):
        return None  # loading it says what is wrong


def family_in(model: str | Path) -> Family:
    """The family of a folder or a hub id; the original's where that cannot be told yet."""
    return FAMILIES.get(str(model_type(model)), ORIGINAL)
