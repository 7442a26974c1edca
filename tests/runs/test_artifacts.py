"""Names of data and models that are nowhere, refused before a run's folder is written."""

import pytest

from vtkit import __main__ as cli
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import save_config
from vtkit.errors import UserError
from vtkit.hub import is_hub_id
from vtkit.models.families import FAMILIES
from vtkit.runs.artifacts import require_origins
from vtkit.training import __main__ as training

TO_DOWNLOAD = "put the parquet files there, or name another folder or, to download it, "
MISTYPED = [
    (["-p", "train_data", "data/mni"], "train_data: no 'data/mni' here; did you mean 'data/mini'?"),
    (["-p", "train_data", "array/SAt"], "no 'array/SAt' here; did you mean 'array/SAT'?"),
    (["-p", "model", "models/mini-bsae"], "model: no .* did you mean 'models/mini-base'?"),
    (["-p", "model", "quen"], "model: no 'quen' here; name a folder that has a model, or a hub id"),
    (["-p", "benchmark_data", "/no/x"], f"{TO_DOWNLOAD}nyu-visionx/CV-Bench"),
    (["--recipe", "r1-v", "-p", "train_data", "r1-v"], "did you mean 'data/mini/r1-v'?"),
    (["-p", "train_data", "d" * 300], "train_data: 'ddd"),
    (["-p", "rewards", "accuracy,kindness"], "rewards: no 'kindness'; known are"),
    (["-p", "rewards", "acuracy"], "rewards: no 'acuracy'; did you mean 'accuracy'?"),
    (["-p", "rewards", "format,format"], "rewards: format, format names one twice"),
    (["-p", "rewards", "mine.py:format"], "rewards: mine.py:format is called like a built-in"),
]


@pytest.mark.parametrize("command", [training.main, cli.main], ids=["train", "run"])
@pytest.mark.parametrize(("arguments", "message"), MISTYPED)
def test_a_mistyped_name_is_refused_and_no_folder_is_left(
    command, arguments, message, tmp_path, capsys
):
    assert command([*arguments, "--run-dir", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    before, _, after = message.partition(" .* ")
    assert err.startswith("error: parameters: ") and before in err and after in err
    assert out == "" and err.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [training.main, cli.main], ids=["train", "run"])
def test_a_reward_s_file_is_tried_before_there_is_a_folder(command, tmp_path, capsys):
    name = tmp_path / "mine.py"
    name.write_text("def brevity(completion, **kwargs):\n    return [1]")
    place = ["--run-dir", str(tmp_path / "run"), "-p", "rewards"]
    assert command([*place, f"{name}:brevty"]) == 2
    assert command([*place, f"{name}:brevity"]) == 2
    assert command([*place, f"accuracy,{tmp_path}/mien.py:brevity"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"error: rewards: {name}: no function 'brevty'; did you mean 'brevity'?",
        f"error: rewards: {name}, line 1: brevity takes 'completion', which no run gives; "
        "did you mean 'completions'?",
        f"error: rewards: no file '{tmp_path}/mien.py' here; did you mean '{name}'?",
    ]
    assert list(tmp_path.iterdir()) == [name]


def test_a_model_of_another_type_is_refused_with_the_rest(tmp_path, capsys):
    model = tmp_path / "Llama"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    place = ["--run-dir", str(tmp_path / "run"), "-p", "model", str(model)]
    assert training.main(place) == 2
    assert capsys.readouterr().err == (
        f"error: parameters: model: {model}: model_type is 'llama', none of "
        f"{', '.join(FAMILIES)}; choose a model of one of these families, restore its "
        "config.json, or add a family (docs/families.md)\n"
    )
    assert list(tmp_path.iterdir()) == [model]


def test_a_model_in_the_hub_s_cache_is_looked_at_too(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    found = {"owner/llama": str(tmp_path / "config.json")}
    cache = "huggingface_hub.try_to_load_from_cache"
    monkeypatch.setattr(cache, lambda model, name: found.get(model))
    with pytest.raises(UserError, match="owner/llama: model_type is 'llama', none of qwen2_vl"):
        require_origins(resolve_config(run_dir=tmp_path / "run", model="owner/llama"))
    require_origins(resolve_config(run_dir=tmp_path / "run", model="Qwen/Qwen2-VL-2B"))


def test_with_several_seeds_nothing_has_begun(tmp_path, capsys):
    place = ["--seeds", "0,1", "--run-dir", str(tmp_path / "run")]
    assert cli.main([*place, "-p", "model", "models/mini-bsae"]) == 2
    assert "did you mean 'models/mini-base'?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "place",
    [
        *({"recipe": name} for name in ("r1-v", "r1-multimodal-journey", "deepseek-r1-zero")),
        *({"profile": "gpu80", "recipe": name} for name in ("visualthinker", "open-r1-multimodal")),
        {"model": "models/mini-instruct-talkative"},
        {"model": "models/mini-base-qwen3-vl"},
        {"model": "Qwen/Qwen2-VL-7B"},
    ],
)
def test_what_can_be_made_or_downloaded_is_not_missing(place, tmp_path):
    require_origins(resolve_config(run_dir=tmp_path / "run", **place))


def test_a_neighbour_is_named_and_data_that_no_hub_has(tmp_path):
    (tmp_path / "train.parquet").touch()
    wrong = resolve_config(run_dir=tmp_path / "run", train_data=str(tmp_path / "trian.parquet"))
    with pytest.raises(UserError, match="did you mean '.*/train.parquet'"):
        require_origins(wrong)
    journey = resolve_config("r1-multimodal-journey", "gpu80", run_dir=tmp_path / "run")
    with pytest.raises(UserError, match="no 'data/journey' here; put the parquet files there, or"):
        require_origins(journey)


def test_a_run_that_has_its_folder_is_not_asked(tmp_path):
    config = resolve_config(run_dir=tmp_path / "run", train_data=str(tmp_path / "gone"))
    with pytest.raises(UserError, match="train_data"):
        require_origins(config)
    save_config(config, tmp_path / "run" / "config.yaml")
    require_origins(config)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("Qwen/Qwen2-VL-2B", True), ("models/x", False), ("runs/x", False), ("vtkit/x", False),
     ("./x", False), ("/a/b", False), ("a/b/c", False), ("gpt2", False), ("", False)],
)  # fmt: skip
def test_a_hub_id_has_an_owner_that_is_no_folder_here(name, wanted):
    assert is_hub_id(name) is wanted
