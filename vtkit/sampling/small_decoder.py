"""Decode a small model on a CPU in few operations, where Python costs more than arithmetic.

The forward pass of one token, with a model's own weights: projections that read the same input are
one product, norms' weights and the scale of attention are folded into them, keys and values grow in
place. Numbers are those of transformers up to rounding. Delete this file, and the two lines of
:mod:`vtkit.sampling.decoding` that ask for it, the day a library does that.
"""

from collections.abc import MutableMapping
from typing import Any, NamedTuple, Self
from weakref import WeakKeyDictionary

import torch
from torch.nn.functional import pad, rms_norm, silu

from vtkit.sampling.prefix_cache import PrefixCache

_SMALL = 50_000_000  # parameters; with more, arithmetic costs more than Python, and a copy is large
_BLOCK = 32  # tokens by which the store of keys and values grows
_AGREES: MutableMapping[Any, bool] = WeakKeyDictionary()  # of each model, looked at once
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_NORMS = {"q_norm", "k_norm"}  # of some models, of each head
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}
_Store = tuple[torch.Tensor, torch.Tensor]
_PARTS = {"embed_tokens", "layers", "norm", "rotary_emb"}


class _Layer(NamedTuple):
    """Weights of a layer, (in, out) each; queries and keys ordered as :func:`_paired` says."""

    qkv: torch.Tensor  # to queries, keys and values
    bias: torch.Tensor
    norms: torch.Tensor | None  # of queries and keys, (heads, width)
    out: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class SmallDecoder:
    """A copy of a model's language part: it is of use until the model's weights change."""

    @torch.no_grad()
    def __init__(self, model: Any):
        decoder, config = model.get_decoder(), model.config.get_text_config()
        attention = decoder.layers[0].self_attn
        self.heads, self.width = config.num_attention_heads, attention.head_dim
        self.kv_heads = config.num_key_value_heads
        self.epsilon = decoder.norm.variance_epsilon
        self.embedding = decoder.embed_tokens.weight
        head = model.get_output_embeddings().weight
        self.head = (head * decoder.norm.weight).t().contiguous()
        self.layers = [self._layer(layer) for layer in decoder.layers]
        self._rotary, self._rotations = decoder.rotary_emb, self.embedding.new_empty(0, 0)

    @classmethod
    def of(cls, model: Any) -> Self | None:
        """A decoder of this model; None where transformers' own forward pass is to be used."""
        if not (_is_known(model) and _is_small(model)):
            return None
        decoder = cls(model)
        if model not in _AGREES:
            _AGREES[model] = decoder.agrees(model)
        return decoder if _AGREES[model] else None

    def fits(self, prefix: PrefixCache) -> bool:
        """Tell whether prompts were read as the weights are: autocast may be within the model."""
        return {read.dtype for pair in prefix.pairs for read in pair} == {self.embedding.dtype}

    @torch.no_grad()
    def agrees(self, model: Any) -> bool:
        """Tell whether a short text has the log-probabilities that the model itself finds."""
        ids = torch.arange(1, 5).view(1, -1) % len(self.embedding)
        prefix = PrefixCache(model, {"input_ids": ids[:, :2], "attention_mask": ids[:, :2] ** 0})
        if not self.fits(prefix):
            return False
        sequences = Sequences.begin(self, prefix, torch.tensor([0]))
        found = torch.cat([sequences.append(ids[:, place]) for place in (2, 3)])
        expected = model(input_ids=ids, attention_mask=ids**0).logits[0, 2:].float()
        return torch.allclose(found.log_softmax(-1), expected.log_softmax(-1), atol=1e-3)

    def rotations(self, positions: torch.Tensor) -> torch.Tensor:
        """Rotations (n, 1, width / 2) of queries and keys at positions (n,), complex."""
        most = int(positions.max())
        if most >= len(self._rotations):
            places = torch.arange(most + 256).view(1, -1)
            cos, sin = self._rotary(self.embedding, places)
            self._rotations = torch.complex(cos[0], sin[0])[:, : self.width // 2]
        return self._rotations[positions].unsqueeze(1)

    def normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """RMS norm without its weight, over the last dimension."""
        return rms_norm(hidden, hidden.shape[-1:], eps=self.epsilon)

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        weights = [part.weight * layer.input_layernorm.weight for part in parts]
        biases = [torch.zeros(len(p.weight)) if p.bias is None else p.bias for p in parts]
        norms = None
        if hasattr(attention, "q_norm"):
            queries = self._paired(attention.q_norm.weight * attention.scaling)
            keys = self._paired(attention.k_norm.weight)
            norms = torch.cat([queries.expand(self.heads, -1), keys.expand(self.kv_heads, -1)])
        for of in (weights, biases):
            of[0], of[1] = (self._paired(one) for one in of[:2])
            if norms is None:
                of[0] = of[0] * attention.scaling
        gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
        return _Layer(
            torch.cat(weights).t().contiguous(), torch.cat(biases), norms,
            attention.o_proj.weight.t().contiguous(),
            (gate_up * layer.post_attention_layernorm.weight).t().contiguous(),
            mlp.down_proj.weight.t().contiguous(),
        )  # fmt: skip

    def _paired(self, weight: torch.Tensor) -> torch.Tensor:
        """Rows of a projection such that the two numbers that rotate together are neighbours."""
        halves = weight.unflatten(0, (-1, 2, self.width // 2))
        return halves.transpose(1, 2).flatten(0, 2)


class Sequences:
    """Sequences that grow by a token at a time.

    In shapes: n sequences, h heads of keys and values, d numbers of a head, t tokens of the longest
    sequence; others are padded left."""

    def __init__(
        self, decoder: SmallDecoder, stores: list[_Store], bias: torch.Tensor,
        positions: torch.Tensor, used: int,
    ):  # fmt: skip
        self._decoder = decoder
        self._stores = stores  # of each layer: keys and values, (n * h, at least t, d)
        self._bias = bias  # (n, 1, at least t), minus infinity where there is padding
        self._positions = positions  # (n,), of the next token
        self._used = used  # t
        self._padded = bool(bias.any())

    @classmethod
    def begin(cls, decoder: SmallDecoder, prefix: PrefixCache, rows: torch.Tensor) -> Self:
        """The prompts with these numbers; one may come several times."""
        half = decoder.width // 2
        stores = []
        for keys, values in prefix.pairs:
            keys = keys.unflatten(-1, (2, half)).transpose(-1, -2).flatten(-2)
            stores.append((keys[rows].flatten(0, 1), values[rows].flatten(0, 1)))
        bias = torch.zeros(prefix.mask.shape).masked_fill(prefix.mask == 0, -torch.inf)
        positions = prefix.mask.sum(1) + prefix.shift.squeeze(1)
        return cls(decoder, stores, bias[rows].unsqueeze(1), positions[rows], bias.shape[1])

    def take(self, rows: torch.Tensor) -> "Sequences":
        """The sequences with these numbers, in this order."""
        bias = self._bias[rows, :, : self._used]
        unused = 0 if not self._padded else int(bias.isfinite().any(0).int().argmax())
        heads = torch.arange(self._decoder.kv_heads)
        kept = (rows.unsqueeze(1) * len(heads) + heads).flatten()
        stores = [
            (keys[kept, unused : self._used], values[kept, unused : self._used])
            for keys, values in self._stores
        ]
        positions, used = self._positions[rows], self._used - unused
        return Sequences(self._decoder, stores, bias[..., unused:], positions, used)

    def join(self, other: "Sequences") -> "Sequences":
        """These sequences, then others."""
        used = max(self._used, other._used)
        mine, bias = self._padded_to(used)
        theirs, more_bias = other._padded_to(used)
        stores = [
            (torch.cat([keys, more_keys]), torch.cat([values, more_values]))
            for (keys, values), (more_keys, more_values) in zip(mine, theirs, strict=True)
        ]
        bias = torch.cat([bias, more_bias])
        positions = torch.cat([self._positions, other._positions])
        return Sequences(self._decoder, stores, bias, positions, used)

    def _padded_to(self, length: int) -> tuple[list[_Store], torch.Tensor]:
        """Stores and bias, padded left to this many tokens."""
        more, used = (0, 0, length - self._used, 0), self._used
        stores = [(pad(k[:, :used], more), pad(v[:, :used], more)) for k, v in self._stores]
        return stores, pad(self._bias[..., :used], more[2:], value=-torch.inf)

    def append(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append a token to each sequence, (n,), and return logits of the next, (n, vocabulary)."""
        decoder, n, t = self._decoder, len(tokens), self._used
        if t == self._bias.shape[-1]:
            more = (0, 0, 0, _BLOCK)
            self._stores = [(pad(keys, more), pad(values, more)) for keys, values in self._stores]
            self._bias = pad(self._bias, (0, _BLOCK))
        self._used = used = t + 1
        heads, kv_heads, width = decoder.heads, decoder.kv_heads, decoder.width
        rotations, hidden = decoder.rotations(self._positions), decoder.embedding[tokens]
        for layer, (keys, values) in zip(decoder.layers, self._stores, strict=True):
            found = torch.addmm(layer.bias, decoder.normed(hidden), layer.qkv)
            found = found.view(n, -1, width)
            to_rotate, own_values = found[:, : heads + kv_heads], found[:, heads + kv_heads :]
            if layer.norms is not None:
                to_rotate = decoder.normed(to_rotate) * layer.norms
            pairs = torch.view_as_complex(to_rotate.unflatten(-1, (-1, 2)))
            rotated = torch.view_as_real(pairs * rotations).flatten(-2)
            keys[:, t] = rotated[:, heads:].reshape(-1, width)
            values[:, t] = own_values.reshape(-1, width)
            queries = rotated[:, :heads].reshape(n * kv_heads, -1, width)
            scores = queries @ keys[:, :used].transpose(1, 2)
            if self._padded:
                scores.view(n, heads, used).add_(self._bias[..., :used])
            found = scores.softmax(-1) @ values[:, :used]
            hidden = torch.addmm(hidden, found.view(n, -1), layer.out)
            gate, value = (decoder.normed(hidden) @ layer.gate_up).chunk(2, dim=-1)
            hidden = torch.addmm(hidden, silu(gate) * value, layer.down)
        self._positions = self._positions + 1
        return decoder.normed(hidden) @ decoder.head


def _is_small(model: Any) -> bool:
    weights = list(model.get_decoder().parameters())
    plain = all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in weights)
    few = sum(weight.numel() for weight in weights) <= _SMALL
    return plain and few and not torch.is_autocast_enabled("cpu")


def _is_known(model: Any) -> bool:
    """Tell whether the parts are those that are read here, and do what they are read as."""
    decoder, config = model.get_decoder(), model.config.get_text_config()
    if _names(decoder) != _PARTS or type(decoder.embed_tokens) is not torch.nn.Embedding:
        return False
    if decoder.rotary_emb.rope_type != "default" or config.hidden_act != "silu":
        return False
    norms = [decoder.norm]
    for layer in decoder.layers:
        if _names(layer) != _LAYER or _names(layer.mlp) != _MLP:
            return False
        attention, mlp = layer.self_attn, layer.mlp
        if _names(attention) - _NORMS != _ATTENTION or getattr(attention, "sliding_window", None):
            return False
        products = [getattr(attention, name) for name in _ATTENTION]
        products += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
        if any(type(product) is not torch.nn.Linear for product in products):
            return False
        norms += [layer.input_layernorm, layer.post_attention_layernorm]
        norms += [getattr(attention, name) for name in _NORMS & _names(attention)]
    epsilons = {getattr(norm, "variance_epsilon", None) for norm in norms}
    return len(epsilons) == 1 and None not in epsilons


def _names(module: Any) -> set[str]:
    return {name for name, _ in module.named_children()}
