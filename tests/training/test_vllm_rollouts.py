"""Rollouts by vLLM: TRL gets the right settings, a stand-in for vLLM the right prompts."""

import os
from types import SimpleNamespace

import pytest
import torch
from shared.problems import write, write_text_base
from trl.generation.vllm_generation import VLLMGeneration

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.models.adapters import freeze
from vtkit.models.loading import load_model, load_processor
from vtkit.models.shapes import load_shape
from vtkit.planning import memory
from vtkit.runs.rollouts import load_rollouts
from vtkit.sampling import vllm_engine
from vtkit.training import arguments, train, vllm_rollouts, vllm_weights

LONG = " The lamp is in b3, the cup in d3. Wait, left. </think> <answer> left </answer>"


@pytest.fixture
def written(fake_vllm, hunch_base):
    """A stand-in with long and short completions in turn; each token has log-probability -30."""
    tokenizer = load_processor(hunch_base, prompt="base").tokenizer
    completions = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in (LONG, " 2")]
    fake_vllm.LLM.completion = lambda prompt: completions[len(fake_vllm.LLM.expanded) % 2]
    fake_vllm.LLM.logprob = -30.0
    return fake_vllm.LLM


@pytest.fixture
def settings(tiny, tmp_path):
    return {**tiny, "run_dir": tmp_path / "run", "max_steps": 1, "max_completion_length": 60}


# -------------------------------------------------------------------------------------- which mode


def test_profiles_of_gpus_take_vllm_where_it_is(fake_vllm):
    for profile in ("gpu80", "paper", "gpu24", "t4"):
        assert vllm_rollouts.mode(resolve_config(profile=profile)) == "colocate"
    assert vllm_rollouts.mode(resolve_config(profile="mini")) == "off"
    assert vllm_rollouts.mode(resolve_config("sft", "gpu80")) == "off"


def test_auto_works_without_vllm_and_says_so(capsys):
    assert vllm_rollouts.mode(resolve_config(profile="gpu80")) == "off"
    said = capsys.readouterr().out
    assert said.startswith("rollouts by transformers: vLLM ") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"vllm": "server"}, "vllm_url: '' is not an address such as http://localhost:8000"),
     ({"vllm": "server", "vllm_url": "localhost:8000"}, "'localhost:8000' is not an address")],
)  # fmt: skip
def test_what_cannot_be_is_refused(changes, message, fake_vllm):
    with pytest.raises(UserError, match=message):
        vllm_rollouts.mode(resolve_config(**changes))


def test_under_fsdp_the_steps_of_a_base_in_4_bits_would_be_lost(fake_vllm, monkeypatch):
    config = resolve_config(profile="t4").replace(vllm="colocate")
    assert vllm_rollouts.mode(config) == "colocate"
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="under FSDP .* set vllm to off, or adapter to lora"):
        vllm_rollouts.mode(config)


def test_on_a_cpu_only_a_vllm_for_cpus_samples_and_only_if_asked_for(
    fake_vllm, monkeypatch, settings, capsys
):
    monkeypatch.setattr(vllm_rollouts, "pick_device", lambda: ("cpu", ""))
    colocated = resolve_config(**settings, vllm="colocate")
    with pytest.raises(UserError, match="this build computes on cuda and the model is on cpu"):
        train.make_trainer(colocated)
    fake_vllm.platforms.current_platform.device_type = "cpu"
    assert vllm_rollouts.mode(colocated) == "colocate"
    assert vllm_rollouts.mode(colocated.replace(vllm="auto")) == "off"
    assert "rollouts by transformers: vLLM is for a GPU" in capsys.readouterr().out
    with pytest.raises(UserError, match="a server weights from a CUDA device only"):
        vllm_rollouts.mode(colocated.replace(vllm="server", vllm_url="http://a:8000"))


def test_an_engine_without_weights_to_replace_is_refused(fake_vllm, settings):
    fake_vllm.LLM.parameters = [torch.ones(2), torch.empty(0)]
    with pytest.raises(UserError, match="vllm: vLLM packs its weights on a CPU.* set vllm to off"):
        train.make_trainer(resolve_config(**settings, vllm="colocate"))


def test_unknown_values_name_the_nearest():
    with pytest.raises(UserError, match="vllm: no 'colocated'; did you mean 'colocate'"):
        resolve_config(vllm="colocated")
    with pytest.raises(UserError, match="vllm_memory: -1 is too small"):
        resolve_config(vllm_memory=-1)


# ---------------------------------------------------------------------------------------- training


@pytest.mark.slow
def test_training_with_a_colocated_vllm(written, settings, capsys):
    config = resolve_config(seed=7, **settings, vllm="colocate", spare_prompts=2)
    train.train(config)
    (started,) = written.started
    assert started["model"] == str(config.run_dir) + "/engine"
    assert started["max_num_seqs"] == 16 and started["seed"] == config.seed == 7
    assert started["dtype"] == "float32" and started["quantization"] is None
    assert started["limit_mm_per_prompt"] == {"image": 1, "video": 0}
    ((prompts, sampling),) = written.calls
    assert len(prompts) == 24, "a step's completions and two spare groups, at once"
    processor = load_processor(config.model, prompt="base")
    for prompt, whole in zip(prompts, written.expanded, strict=True):
        assert prompt["prompt_token_ids"].count(processor.image_token_id) == 1
        assert whole.count(processor.image_token_id) == 16
        assert len(whole) + 60 <= started["max_model_len"]
        picture = prompt["multi_modal_data"]["image"]
        assert picture.size == (64, 64) and picture.mode == "RGB", "as the model reads it"
    assert sampling["logit_bias"] == {
        processor.image_token_id: -100,
        processor.video_token_id: -100,
    }
    assert sampling["max_tokens"] == 60 and sampling["temperature"] == config.temperature
    assert set(load_rollouts(config.run_dir).to_pandas().finish_reason) == {"stop"}
    assert len(written.weights) > 50, "the policy's weights are sent before it samples"
    assert written.asked == ["reset_prefix_cache", "reset_encoder_cache"], "once a step"
    assert "rollouts by vLLM next to the training" in capsys.readouterr().out


@pytest.mark.slow
def test_asleep_it_keeps_no_weights_which_are_sent_before_each_rollout(written, settings):
    config = resolve_config(**settings, vllm="colocate", vllm_sleep=True).replace(max_steps=2)
    train.train(config)
    step = ["wake weights", "reset_prefix_cache", "reset_encoder_cache", "wake kv_cache", "sleep 2"]
    assert written.asked == ["sleep 2", *step, *step]
    assert written.started[0]["enable_sleep_mode"] and len(written.calls) == 2
    plain = vllm_rollouts.arguments(config.replace(vllm_sleep=False), "colocate")
    assert not plain["vllm_enable_sleep_mode"]


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_what_was_read_of_pictures_is_kept_while_the_vision_part_is_frozen(
    adapter, written, settings
):
    train.train(resolve_config(**settings, vllm="colocate", adapter=adapter, freeze="vision"))
    assert written.asked == ["reset_prefix_cache"]


def ratios(settings, **changes):
    """Smallest and largest weight that a token of the rollouts has."""
    config = resolve_config(**settings, vllm="colocate")
    trainer = train.make_trainer(config)
    for name, value in changes.items():
        setattr(trainer, name, value)
    trainer.train()
    (logs,) = [log for log in trainer.state.log_history if "loss" in log]
    return [logs[f"sampling/importance_sampling_ratio/{name}"] for name in ("min", "max")], logs


@pytest.mark.slow
def test_answers_whose_probabilities_differ_are_not_dropped(written, settings):
    (least, most), logs = ratios(settings)
    assert (least, most) == (vllm_rollouts.RATIO, vllm_rollouts.RATIO)
    assert logs["grad_norm"] > 0
    # The default of TRL: nothing is left to learn from.
    stock = {"mode": "sequence_mask", "clip_max": 3.0}
    names = {f"vllm_importance_sampling_{name}": value for name, value in stock.items()}
    (least, most), logs = ratios(settings, **names)
    assert (least, most) == (0, 0) and logs["grad_norm"] == 0


def test_truncated_sampling_has_no_ratio(fake_vllm):
    paper = resolve_config(profile="paper")
    assert paper.top_k == 50
    assert not vllm_rollouts.arguments(paper, "colocate")["vllm_importance_sampling_correction"]
    whole = vllm_rollouts.arguments(paper.replace(top_k=0), "colocate")
    assert whole["vllm_importance_sampling_correction"]
    assert whole["vllm_importance_sampling_mode"] == "token_truncate"
    assert vllm_rollouts.arguments(paper, "off") == {}


@pytest.mark.slow
def test_adapters_name_their_real_base(written, settings):
    config = resolve_config(**settings, vllm="colocate", adapter="lora")
    checkpoint = train.train(config)
    assert (
        f'"base_model_name_or_path": "{config.model}"'
        in (checkpoint / "adapter_config.json").read_text()
    )


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "qlora"])
def test_adapters_are_sent_added_and_the_base_stays(adapter, written, settings):
    """Where the base is in 16 or in 4 bits, peft's merging and unmerging would change it."""
    if adapter == "qlora":
        pytest.importorskip("bitsandbytes")
    settings = {**settings, "adapter": adapter, "dtype": "bfloat16", "freeze": "vision"}
    trainer = train.make_trainer(resolve_config(**settings, vllm="colocate"))
    model, layer = trainer.model, "model.language_model.layers.0.mlp.up_proj"
    module = model.get_base_model().get_submodule(layer)
    torch.nn.init.normal_(module.lora_B["default"].weight, std=0.02)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    written.weights.clear()
    for _ in range(3):
        trainer.vllm_generation.sync_weights()
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    whole = load_model(settings["model"])
    names = {name for name, _ in whole.named_parameters()}
    assert written.weights.keys() == names, "each by its own name, and no adapter"
    sent = written.weights[f"{layer}.weight"]
    bottom, top = module.lora_A["default"].weight, module.lora_B["default"].weight
    config = trainer.model.peft_config["default"]
    added = top @ bottom * config.lora_alpha / config.r
    base = sent.float() - added
    exact = whole.get_submodule(layer).weight
    error = (base - exact).norm() / exact.norm()
    assert error < (0.004 if adapter == "lora" else 0.12), "rounded to 8 bits, or to 4"
    assert added.norm() > 0.02 * exact.norm()


def test_two_gpus_without_a_launcher_are_one_for_vllm_too(written, settings, monkeypatch, capsys):
    def two_gpus(kind):
        def arguments(**values):
            args = kind(**values)
            assert args.n_gpu <= 1
            args._n_gpu = 2
            return args

        return arguments

    monkeypatch.setattr(arguments, "GRPOConfig", two_gpus(arguments.GRPOConfig))
    trainer = train.make_trainer(resolve_config(**settings, vllm="colocate"))
    assert trainer.args.n_gpu == 1 and trainer.use_vllm
    assert "2 GPUs are visible to one process" in capsys.readouterr().out
    assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == ("0", "1")
    assert written.started[0]["tensor_parallel_size"] == 1


# ------------------------------------------------------------------------------------------ server


def test_a_server_is_told_where_it_is_and_what_not_to_sample(tmp_path):
    config = resolve_config(vllm="server", vllm_url="http://a:8000", run_dir=tmp_path)
    values = vllm_rollouts.arguments(config, "server")
    assert (values["vllm_mode"], values["vllm_server_base_url"]) == ("server", "http://a:8000")
    args, processor = SimpleNamespace(**values), load_processor(config.model, prompt="base")
    vllm_rollouts.prepare_vllm(args, config, None, processor, None, 1e9)
    assert args.generation_kwargs["logit_bias"][processor.image_token_id] == -100
    assert not (tmp_path / "engine").exists()


@pytest.mark.parametrize(("part", "posts"), [("none", 1), ("vision", 0)])
def test_a_server_forgets_pictures_that_it_read_with_older_weights(part, posts, monkeypatch):
    asked, status = [], SimpleNamespace(status_code=200)
    session = SimpleNamespace(post=lambda url: asked.append(url) or status)
    monkeypatch.setattr(VLLMGeneration, "sync_weights", lambda self: asked.append("weights"))
    generation = object.__new__(vllm_weights.Generation)
    generation.mode, generation.model = "server", load_model(resolve_config().model)
    generation.accelerator = SimpleNamespace(is_main_process=True)
    generation.vllm_client = SimpleNamespace(session=session, base_url="http://a:8000")
    freeze(generation.model, part)
    generation.sync_weights()
    assert asked == ["weights", *["http://a:8000/reset_encoder_cache"] * posts]
    status.status_code = 404
    if posts:
        with pytest.raises(UserError, match="vllm_url: http://a:8000 cannot forget .*status 404"):
            generation.sync_weights()


def test_a_server_with_other_pictures_is_refused(tmp_path):
    config = resolve_config(vllm="server", vllm_url="http://a:8000")
    ours = load_processor(config.model, prompt="base", max_pixels=4096)
    folder = vllm_engine.write_folder(config.model, ours, tmp_path)
    info = {"model_config": {"model": str(folder)}}
    client = SimpleNamespace(get_server_info=lambda: info)
    trainer = SimpleNamespace(
        args=SimpleNamespace(use_vllm=True, vllm_mode="server"), processing_class=ours,
        accelerator=SimpleNamespace(is_main_process=True),
        vllm_generation=SimpleNamespace(vllm_client=client),
    )  # fmt: skip
    vllm_rollouts.check_started(trainer, config)
    trainer.processing_class = load_processor(config.model, prompt="base", max_pixels=8192)
    with pytest.raises(UserError, match="vllm_url: the server's folder .* limits pictures to"):
        vllm_rollouts.check_started(trainer, config)
    info["model_config"]["model"] = "nobody/nothing"
    vllm_rollouts.check_started(trainer, config)  # says that it is not checked


def test_a_server_gets_prompts_as_they_are():
    class Stock:
        use_vllm, vllm_mode = True, "server"
        processing_class = SimpleNamespace(image_token_id=9)

        def _generate_single_turn(self, prompt_ids, *rest):
            return prompt_ids

    class Trainer(vllm_rollouts.OneTokenPerPicture, Stock):
        def _fitted(self, images):
            return images

    trainer, pictures = Trainer(), [["a picture"]]
    assert trainer._generate_single_turn([[1, 9, 9, 2]], pictures) == [[1, 9, 9, 2]]
    trainer.vllm_mode = "colocate"
    assert trainer._generate_single_turn([[1, 9, 9, 2]], pictures) == [[1, 9, 2]]
    assert trainer._generate_single_turn([[1, 9, 9, 2]], None) == [[1, 9, 9, 2]], "text only"
    trainer.use_vllm = False
    assert trainer._generate_single_turn([[1, 9, 9, 2]], pictures) == [[1, 9, 9, 2]]


@pytest.mark.slow
def test_a_text_only_model_needs_no_pictures(fake_vllm, settings, tmp_path):
    model = write_text_base(tmp_path / "base")
    for split in ("train", "test"):
        write(tmp_path / "data" / f"{split}.parquet", "text", 16, choices=["left", "right"])
    settings |= {"model": str(model), "train_data": str(tmp_path / "data")}
    trainer = train.make_trainer(resolve_config("deepseek-r1-zero", **settings, vllm="colocate"))
    trainer.train()
    ((prompts, _),) = fake_vllm.LLM.calls
    assert all(prompt.keys() == {"prompt_token_ids"} for prompt in prompts)
    longest = max(len(prompt["prompt_token_ids"]) for prompt in prompts)
    assert longest + 60 <= fake_vllm.LLM.started[0]["max_model_len"]


# ------------------------------------------------------------------------------ memory and refusals


def test_the_engines_share_is_what_plan_counts(written, settings, monkeypatch):
    monkeypatch.setattr(train, "this_machine", lambda: ("a card", 24e9, True))
    config = resolve_config(**settings, vllm="colocate")
    trainer = train.make_trainer(config)
    share = trainer.args.vllm_gpu_memory_utilization
    batch = memory.Batch(16, trainer.args.vllm_max_model_length - 60, 60, 64)
    needed = memory.engine(load_shape(config.model), config, batch, 24e9)
    assert needed <= share * 24e9 < needed + 0.01 * 24e9
    asked = train.make_trainer(config.replace(vllm_memory=0.4))
    assert asked.args.vllm_gpu_memory_utilization == 0.4


def test_a_card_that_is_too_small_is_refused(written, settings, monkeypatch):
    monkeypatch.setattr(train, "this_machine", lambda: ("a card", 1e9, True))
    with pytest.raises(UserError, match="the engine needs 2.* GB and the GPU has 1.0; set vllm to"):
        train.make_trainer(resolve_config(**settings, vllm="colocate"))


@pytest.mark.parametrize(
    ("error", "how", "message"),
    [
        (
            ValueError("Free memory on device\nmore"),
            "colocate",
            "does not fit on the GPU .Free mem",
        ),
        (ConnectionError("not up"), "server", "vllm_url: http://a:1: not up; `python -m vtkit.sam"),
        (RuntimeError("The vLLM server at http://a:1 does not"), "server", "says how to start"),
    ],
)
def test_refusals_of_vllm_are_one_line(error, how, message, fake_vllm, settings, monkeypatch):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(vllm_weights, "Generation", refuse)
    with pytest.raises(UserError, match=message):
        train.make_trainer(resolve_config(**settings, vllm=how, vllm_url="http://a:1"))
    monkeypatch.setattr(vllm_weights, "Generation", lambda *_, **__: [][0])
    with pytest.raises(IndexError):
        train.make_trainer(resolve_config(**settings, vllm=how, vllm_url="http://a:1"))
