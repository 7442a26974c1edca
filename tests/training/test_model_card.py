"""The model card says what the run's files say; the upload is what it claims to be."""

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
import yaml

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import save_config
from vtkit.errors import UserError
from vtkit.files import ROOT, read_json
from vtkit.hub import HUB_REVISIONS
from vtkit.runs import replay
from vtkit.runs.checkpoints import NOT_MODEL
from vtkit.runs.manifest import file_hashes
from vtkit.runs.marks import WHOLE, begin, mark_whole
from vtkit.runs.replay import unpacked
from vtkit.training import __main__ as training
from vtkit.training import model_card, train

REFERENCE = unpacked(replay.REFERENCE / "visualthinker-mini-s0", rows=False)


@pytest.fixture
def run(tmp_path, mini_data):
    """A finished run: the reference's scores, with a checkpoint."""
    shutil.copytree(REFERENCE / "evals", tmp_path / "run" / "evals")
    shutil.copytree(REFERENCE / "sft", tmp_path / "run" / "sft")
    paths = {"train_data": str(mini_data), "benchmark_data": str(mini_data)}
    config = resolve_config(run_dir=tmp_path / "run", **paths)
    save_config(config, tmp_path / "run" / "config.yaml")
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint-100"
    begin(checkpoint)
    mark_whole(checkpoint)
    return SimpleNamespace(config=config, checkpoint=checkpoint)


@pytest.fixture
def hub(monkeypatch):
    """A hub that remembers what it was asked, and a user with a token."""
    asked = []

    class Api:
        def create_repo(self, *args, **options):
            asked.append(("create", *args, options))

        def upload_folder(self, **options):
            asked.append(("upload", options))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")
    return asked


def test_the_card_has_the_numbers_of_the_run(run):
    text = model_card.write_card(run.config, run.checkpoint).read_text()
    final = read_json(REFERENCE / "evals" / "step-000100.json")
    found = final["accuracy"]
    cell = f"{found['value']:.1%} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
    (row,) = [line for line in text.splitlines() if line.startswith("| GRPO")]
    assert cell in row and f"| {found['n']} |" in row
    assert "| base model | 0 |" in text and "| supervised baseline |" in text
    for task in final["tasks"]:
        assert task in text
    scores = [read_json(path) for path in sorted((REFERENCE / "evals").glob("step-*.json"))]
    best = max(scores[1:], key=lambda score: score["accuracy"]["value"])
    assert f"best scored step, by the same questions: {best['accuracy']['value']:.1%} at" in text


def test_the_card_has_settings_bytes_and_limits(run):
    text = model_card.card(run.config)
    header = yaml.safe_load(text.split("---")[1])
    assert header["library_name"] == "transformers" and "grpo" in header["tags"]
    assert "base_model" not in header  # a folder of ours is no hub model
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert settings["loss_type"] == "dr_grpo" and settings["max_steps"] == 100
    for entry in file_hashes(run.config, {}).values():
        assert entry["sha256"] in text
    assert "What it is not" in text and "no evidence about the 2B model" in text
    assert str(run.config.run_dir) not in text and str(run.config.train_data) not in text


def test_the_card_of_the_2b_model_names_hub_and_revision(tmp_path):
    config = resolve_config("visualthinker-plus", "paper", run_dir=tmp_path)
    save_config(config, tmp_path / "config.yaml")
    text = model_card.card(config)
    header = yaml.safe_load(text.split("---")[1])
    assert header["base_model"] == "Qwen/Qwen2-VL-2B" and header["datasets"] == ["array/SAT"]
    assert HUB_REVISIONS["array/SAT"] in text and "Not measured." in text
    assert "miniature" not in text


def test_writing_it_again_changes_nothing(run):
    path = model_card.write_card(run.config, run.checkpoint)
    before = path.stat().st_mtime_ns
    model_card.write_card(run.config, run.checkpoint)
    assert path.stat().st_mtime_ns == before


def test_nothing_is_uploaded_unless_asked(run, hub, monkeypatch):
    monkeypatch.setattr(train, "finished", lambda config: True)
    assert train.train(run.config) == run.checkpoint
    assert hub == [] and (run.checkpoint / "README.md").exists()
    train.train(run.config.replace(push_to_hub="someone/model"))
    (create, upload) = hub
    assert create == ("create", "someone/model", {"private": True, "exist_ok": True})
    assert upload[1]["repo_id"] == "someone/model"
    assert upload[1]["folder_path"] == str(run.checkpoint)


def test_what_only_resuming_needs_stays_here():
    kept = ("README.md", "model.safetensors", "config.json", "chat_template.jinja")
    left = ("optimizer.pt", "rng_state_0.pth", "training_args.bin", "trainer_state.json", WHOLE)
    filtered = huggingface_hub.utils.filter_repo_objects(
        [*kept, *left, "global_step100/mp_rank_00_model_states.pt"],
        ignore_patterns=NOT_MODEL,
    )
    assert tuple(filtered) == kept


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("someone/model", None, "there is no token .* `hf auth login` or set HF_TOKEN"),
        ("model", "hf_x", "'model' has no owner; give it as user/name"),
        ("some one/model", "hf_x", "give it as user/name"),
    ],
)
def test_what_cannot_be_uploaded_is_said_before_training(run, monkeypatch, name, token, message):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
    monkeypatch.setattr(train, "make_trainer", lambda config: pytest.fail("it trained"))
    with pytest.raises(UserError, match=f"push_to_hub: .*{message}"):
        train.train(run.config.replace(push_to_hub=name))


def test_a_refused_upload_says_how_to_try_again(run, hub):
    class Refusing:
        def create_repo(self, *_, **__):
            raise OSError("403 Forbidden\nlong story")

    with pytest.raises(UserError) as caught:
        model_card.push(run.checkpoint, "someone/model", Refusing())
    said = str(caught.value)
    assert "403 Forbidden" in said and "long story" not in said
    assert f"python -m vtkit.training card {run.config.run_dir} --push someone/model" in said


def test_the_command_writes_and_uploads(run, hub, capsys):
    assert training.main(["card", run.config.run_dir, "--push", "someone/model"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [str(run.checkpoint / "README.md"), "https://huggingface.co/someone/model"]
    assert training.main(["card", str(ROOT / "configs")]) == 2
    assert "config.yaml is missing" in capsys.readouterr().err
