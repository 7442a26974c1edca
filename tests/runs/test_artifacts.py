"""Names of data and models that are nowhere, refused before a run's folder is written."""

import pytest

from vtkit import __main__ as cli
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import save_config
from vtkit.errors import UserError
from vtkit.hub import is_hub_id
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
    (["-p", "train_data", "d" * 300], "train_data: no 'ddd"),
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
