"""A copy of the language part of a small model whose layers take few operations.

Projections that read the same input are one product; norms' weights and the scale of attention are
folded into them; queries and keys are ordered so that a rotation is one complex product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention, silu
from transformers.modeling_outputs import BaseModelOutputWithPast

_READ = {  # what the language part of a model may be given
    "input_ids", "inputs_embeds", "attention_mask", "position_ids", "past_key_values", "use_cache",
    "visual_pos_masks", "deepstack_visual_embeds",
}  # fmt: skip


class _Layer(NamedTuple):
    """Weights of a layer, (in, out) each; queries and keys ordered as ``_paired`` says."""

    qkv: torch.Tensor  # to queries, keys and values
    bias: torch.Tensor
    norms: torch.Tensor | None  # of queries and keys, (heads, width)
    out: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class FusedWeights:
    """Weights of a model with the parts that Qwen2 has: of use until the model's change."""

    @torch.no_grad()
    def __init__(self, model: Any):
        decoder, config = model.get_decoder(), model.config.get_text_config()
        attention = decoder.layers[0].self_attn
        self.heads, self.width = config.num_attention_heads, attention.head_dim
        self.kv_heads = config.num_key_value_heads
        self._least = {
            width: torch.tensor((width * decoder.norm.variance_epsilon) ** 0.5)
            for width in (config.hidden_size, self.width)
        }  # what :meth:`normed` divides by at least
        self.embedding = decoder.embed_tokens.weight
        head, self._last = model.get_output_embeddings().weight, _scale(decoder.norm)
        self.head = (head * self._last).t().contiguous()
        self.layers = [self._layer(layer) for layer in decoder.layers]
        self._rotary, self._rotations = decoder.rotary_emb, self.embedding.new_empty(0, 0)

    @contextmanager
    def reading(self, model: Any) -> Iterator[None]:
        """Read prompts, padded left, with this copy in the model's forward passes in the block.

        Their last hidden state alone is there for the output layer.
        """
        decoder = model.get_decoder()
        before = vars(decoder).get("forward")
        decoder.forward = partial(self._read, decoder.forward)
        try:
            yield
        finally:
            del decoder.forward
            if before is not None:
                decoder.forward = before

    def _read(self, stock: Any, **inputs: Any) -> Any:
        """What the language part returns; ``stock``: its own forward pass."""
        given = {name: value for name, value in inputs.items() if value is not None}
        deeper = given.get("deepstack_visual_embeds", [])
        if not {*given} <= _READ or len(deeper) >= len(self.layers):
            return stock(**inputs)
        hidden, mask = given.get("inputs_embeds"), given["attention_mask"].bool()
        hidden = self.embedding[given["input_ids"]] if hidden is None else hidden
        n, t = mask.shape
        cos, sin = self._rotary(hidden, given["position_ids"])
        rotations = torch.complex(cos, sin)[..., : self.width // 2].reshape(n * t, 1, -1)
        # Padding sees itself: what sees nothing is nan.
        sees = (mask[:, None, None] | torch.eye(t, dtype=torch.bool)).tril()
        hidden = hidden.flatten(0, 1)
        for number, layer in enumerate(self.layers):
            found = self.seen(layer, hidden, rotations).unflatten(0, (n, t)).transpose(1, 2)
            queries, keys, values = found.split([self.heads, self.kv_heads, self.kv_heads], 1)
            given["past_key_values"].update(self._halved(keys), values, number)
            if layer is self.layers[-1]:  # of which nothing else is used
                queries, sees = queries[..., -1:, :], sees[..., -1:, :]
                hidden = hidden.view(n, t, -1)[:, -1]
            found = scaled_dot_product_attention(
                queries, keys, values, sees, scale=1, enable_gqa=True
            )
            hidden = self.after(layer, hidden, found.transpose(1, 2).reshape(len(hidden), -1))
            if number < len(deeper):
                hidden[given["visual_pos_masks"].flatten()] += deeper[number]
        last = (self.normed(hidden) * self._last).unsqueeze(1)
        return BaseModelOutputWithPast(last, past_key_values=given["past_key_values"])

    def seen(self, layer: _Layer, hidden: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values of n tokens, (n, all heads, width)."""
        found = torch.addmm(layer.bias, self.normed(hidden), layer.qkv)
        found = found.view(len(hidden), -1, self.width)
        turned = found[:, : -self.kv_heads]
        if layer.norms is not None:
            turned.copy_(self.normed(turned) * layer.norms)
        torch.view_as_complex(turned.unflatten(-1, (-1, 2))).mul_(rotations)
        return found

    def after(self, layer: _Layer, hidden: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """What a layer makes of hidden states and what its attention found, (n, width) each."""
        hidden = torch.addmm(hidden, found, layer.out)
        gate, value = (self.normed(hidden) @ layer.gate_up).chunk(2, dim=-1)
        return torch.addmm(hidden, silu(gate) * value, layer.down)

    def rotations(self, positions: torch.Tensor) -> torch.Tensor:
        """Rotations (n, 1, width / 2) of queries and keys at positions (n,), complex."""
        most = int(positions.max())
        if most >= len(self._rotations):
            places = torch.arange(most + 256).view(1, -1)
            cos, sin = self._rotary(self.embedding, places)
            self._rotations = torch.complex(cos[0], sin[0])[:, : self.width // 2]
        return self._rotations[positions].unsqueeze(1)

    def normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """RMS norm over the last dimension, without its weight and the root of the width."""
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        return hidden / torch.hypot(length, self._least[hidden.shape[-1]])

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        weights = [part.weight * _scale(layer.input_layernorm) for part in parts]
        biases = [torch.zeros(len(p.weight)) if p.bias is None else p.bias for p in parts]
        norms = None
        if hasattr(attention, "q_norm"):
            queries = self._paired(_scale(attention.q_norm) * attention.scaling)
            keys = self._paired(_scale(attention.k_norm))
            norms = torch.cat([queries.expand(self.heads, -1), keys.expand(self.kv_heads, -1)])
        for of in (weights, biases):
            of[0], of[1] = (self._paired(one) for one in of[:2])
            if norms is None:
                of[0] = of[0] * attention.scaling
        gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
        return _Layer(
            torch.cat(weights).t().contiguous(), torch.cat(biases), norms,
            attention.o_proj.weight.t().contiguous(),
            (gate_up * _scale(layer.post_attention_layernorm)).t().contiguous(),
            mlp.down_proj.weight.t().contiguous(),
        )  # fmt: skip

    def paired(self, keys: torch.Tensor) -> torch.Tensor:
        """Keys (..., width) in the order of this copy's weights."""
        return keys.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)

    def _halved(self, keys: torch.Tensor) -> torch.Tensor:
        """Keys (..., width) of this copy in the model's order."""
        return keys.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)

    def _paired(self, weight: torch.Tensor) -> torch.Tensor:
        """Rows of a projection such that the two numbers that rotate together are neighbours."""
        halves = weight.unflatten(0, (-1, 2, self.width // 2))
        return halves.transpose(1, 2).flatten(0, 2)


def _scale(norm: Any) -> torch.Tensor:
    """What :meth:`FusedWeights.normed` leaves out of a norm."""
    return norm.weight * len(norm.weight) ** 0.5
