"""Ask transformers and vLLM the same questions, greedily; print what each saw and said as JSON.

python tests/engines/answers.py MODEL DATA
"""

import json
import sys
import tempfile
from typing import Any

import torch
from PIL import Image
from vllm import LLM, SamplingParams

from vtkit.data.cv_bench import load_cv_bench
from vtkit.models.inputs import batch_inputs, left_padding, message
from vtkit.models.loading import load_model, load_processor
from vtkit.sampling import vllm_engine
from vtkit.sampling.generation import banned_of, ends_of

NEW = 64
Said = tuple[list[int], list[int], list[float]]  # prompt, completion, its log-probabilities


def by_transformers(model: Any, processor: Any, rows: list[dict[str, Any]]) -> list[Said]:
    with torch.no_grad(), left_padding(processor):
        inputs = batch_inputs(processor, [message(row) for row in rows], [[] for _ in rows])
        out = model.generate(
            **inputs, do_sample=False, max_new_tokens=NEW, suppress_tokens=banned_of(processor),
            return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
    (end,) = ends_of(model, processor)
    scores = torch.stack(out.scores, 1).log_softmax(-1)  # (rows, tokens, vocabulary)
    said = []
    for row, (tokens, mask) in enumerate(
        zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True)
    ):
        written = out.sequences[row, len(tokens) :].tolist()
        written = written[: written.index(end) + 1] if end in written else written
        prompt = [token for token, real in zip(tokens, mask, strict=True) if real]
        known = [scores[row, place, token].item() for place, token in enumerate(written)]
        said.append((prompt, written, known))
    return said


def by_vllm(llm: LLM, processor: Any, prompts: list[dict[str, Any]]) -> list[Said]:
    greedy = SamplingParams(
        temperature=0.0, max_tokens=NEW, logprobs=0, logit_bias=vllm_engine.banned(processor)
    )
    said = []
    for output in llm.generate(prompts, sampling_params=greedy, use_tqdm=False):
        (best,) = output.outputs
        pairs = zip(best.token_ids, best.logprobs, strict=True)
        known = [logprobs[token].logprob for token, logprobs in pairs]
        said.append((list(output.prompt_token_ids), list(best.token_ids), known))
    return said


def resized(row: dict[str, Any], place: int) -> dict[str, Any]:
    """The row with a picture of another size, and now and then with transparency."""
    sizes = [(100, 75), (333, 217), (72, 60), (50, 90)]
    picture = row["image"].resize(sizes[place % len(sizes)], Image.Resampling.LANCZOS)
    if place % 2:
        picture = picture.convert("RGBA")
        picture.putalpha(128)
    return {**row, "image": picture}


def main(model: str, data: str) -> None:
    processor = load_processor(model, prompt="base")
    rows = list(load_cv_bench(data, rows=32))
    twice = [
        {"prompt": row["prompt"], "images": [row["image"], other["image"]]}
        for row, other in zip(rows[:8], rows[8:16], strict=True)
    ]
    other_sizes = [resized(row, place) for place, row in enumerate(rows[:16])]
    torch_model = load_model(model)
    folder = vllm_engine.write_folder(model, processor, tempfile.mkdtemp())
    llm = LLM(
        str(folder), seed=0, dtype="float32", limit_mm_per_prompt=vllm_engine.picture_limits(2)
    )
    found = {}
    for name, asked in {"one": rows, "two": twice, "resized": other_sizes}.items():
        prompts = [vllm_engine._prompt(processor, row) for row in asked]
        found[name] = {
            "sent": [prompt["prompt_token_ids"] for prompt in prompts],
            "transformers": by_transformers(torch_model, processor, asked),
            "vllm": by_vllm(llm, processor, prompts),
        }
    # What stock TRL 1.16 sends: image tokens expanded already.
    prompt, *_ = found["one"]["transformers"][0]
    expanded = {**vllm_engine._prompt(processor, rows[0]), "prompt_token_ids": prompt}
    found["expanded"] = by_vllm(llm, processor, [expanded])[0]
    # Pictures as they are stored; the kit's folder tells vLLM to resize none.
    stored = [
        {
            "prompt_token_ids": sent,
            "multi_modal_data": {"image": [row["image"]]},
            "mm_processor_kwargs": {"do_resize": True},
        }
        for sent, row in zip(found["resized"]["sent"], other_sizes, strict=True)
    ]
    found["stored"] = by_vllm(llm, processor, stored)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
