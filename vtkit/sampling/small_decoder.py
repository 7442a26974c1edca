"""Decode a small model on a CPU in few operations, where Python costs more than arithmetic.

Forward passes of one token by :mod:`vtkit.sampling.fused_weights`; keys and values grow in place.
Numbers are those of transformers up to rounding. Delete the two files, and the lines of
:mod:`vtkit.sampling.decoding` that ask for them, the day a library does that.
"""

import re
from collections.abc import MutableMapping
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch.nn.functional import pad

from vtkit.sampling.fused_weights import FusedWeights
from vtkit.sampling.prefix_cache import PrefixCache

_SMALL = 50_000_000  # parameters; with more, arithmetic costs more than Python, and a copy is large
_BLOCK = 32  # tokens by which the store of keys and values grows
_AGREES: MutableMapping[Any, bool] = WeakKeyDictionary()  # of each model, looked at once
_WEIGHT = re.compile(
    r"embed_tokens\.weight|norm\.weight|layers\.\d+\.(mlp\.(gate|up|down)_proj\.weight|"
    r"(input|post_attention)_layernorm\.weight|"
    r"self_attn\.([qkv]_proj\.(weight|bias)|o_proj\.weight|[qk]_norm\.weight))"
)


class SmallDecoder(FusedWeights):
    """A copy of a small model's language part that agrees with it."""

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
        ids = torch.arange(1, 6).view(1, -1) % len(self.embedding)
        with self.reading(model):
            read = {"input_ids": ids[:, :3], "attention_mask": ids[:, :3] ** 0}
            prefix = PrefixCache(model, read)
        if not self.fits(prefix):
            return False
        sequences = Sequences.begin(self, prefix, torch.tensor([0]))
        found = torch.cat([prefix.logits, *map(sequences.append, ids[0, 3:].unsqueeze(1))])
        expected = model(input_ids=ids, attention_mask=ids**0).logits[0, 2:].float()
        return torch.allclose(found.log_softmax(-1), expected.log_softmax(-1), atol=1e-3)


class Sequences:
    """Sequences that grow by a token at a time.

    In shapes: n sequences, h heads of keys and values, d numbers of a head, t tokens of the longest
    sequence; others are padded left."""

    def __init__(
        self, decoder: SmallDecoder, store: torch.Tensor, bias: torch.Tensor,
        positions: torch.Tensor, used: int,
    ):  # fmt: skip
        self._decoder = decoder
        self._store = store  # keys and values, (layers, 2, n * h, at least t, d)
        self._bias = bias  # (n * h, 1, at least t), minus infinity where there is padding
        self._positions = positions  # (n,), of the next token
        self._used = used  # t

    @classmethod
    def begin(cls, decoder: SmallDecoder, prefix: PrefixCache, rows: torch.Tensor) -> Self:
        """The prompts with these numbers; one may come several times."""
        pairs = [torch.stack([decoder.paired(keys), values]) for keys, values in prefix.pairs]
        store = torch.stack(pairs)[:, :, rows].flatten(2, 3)
        bias = torch.zeros(prefix.mask.shape).masked_fill(prefix.mask == 0, -torch.inf)
        bias = bias[rows].repeat_interleave(decoder.kv_heads, 0).unsqueeze(1)
        positions = prefix.mask.sum(1) + prefix.shift.squeeze(1)
        return cls(decoder, store, bias, positions[rows], bias.shape[2])

    def take(self, rows: torch.Tensor) -> "Sequences":
        """The sequences with these numbers, in this order."""
        heads = torch.arange(self._decoder.kv_heads)
        kept = (rows.unsqueeze(1) * len(heads) + heads).flatten()
        bias = self._bias[kept, :, : self._used]
        unused = int(bias.isfinite().any(0).int().argmax())
        store = self._store[:, :, kept, unused : self._used]
        used = self._used - unused
        return Sequences(self._decoder, store, bias[..., unused:], self._positions[rows], used)

    def join(self, other: "Sequences") -> "Sequences":
        """These sequences, then others."""
        used = max(self._used, other._used)
        stores, biases = zip(self._padded_to(used), other._padded_to(used), strict=True)
        positions = torch.cat([self._positions, other._positions])
        return Sequences(self._decoder, torch.cat(stores, 2), torch.cat(biases), positions, used)

    def _padded_to(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Store and bias, padded left to this many tokens."""
        more, used = (0, 0, length - self._used, 0), self._used
        bias = pad(self._bias[..., :used], more[2:], value=-torch.inf)
        return pad(self._store[..., :used, :], more), bias

    def append(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append a token to each sequence, (n,), and return logits of the next, (n, vocabulary)."""
        decoder, n, t = self._decoder, len(tokens), self._used
        if t == self._bias.shape[-1]:
            self._store = pad(self._store, (0, 0, 0, _BLOCK))
            self._bias = pad(self._bias, (0, _BLOCK))
        self._used = used = t + 1
        heads, kv_heads, width = decoder.heads, decoder.kv_heads, decoder.width
        rotations, hidden = decoder.rotations(self._positions), decoder.embedding[tokens]
        bias, keys, values = self._bias[..., :used], *self._store[..., :used, :].unbind(1)
        new = self._store[..., t, :].unflatten(2, (n, kv_heads))
        layers = zip(decoder.layers, new, keys.transpose(2, 3), values, strict=True)
        for layer, own, seen_keys, seen_values in layers:
            found = decoder.seen(layer, hidden, rotations)
            own.copy_(found[:, heads:].unflatten(1, (2, kv_heads)).transpose(0, 1))
            queries = found[:, :heads].reshape(n * kv_heads, -1, width)
            shares = torch.baddbmm(bias, queries, seen_keys).softmax(-1)
            hidden = decoder.after(layer, hidden, torch.bmm(shares, seen_values).view(n, -1))
        self._positions = self._positions + 1
        return decoder.normed(hidden) @ decoder.head


def _is_small(model: Any) -> bool:
    weights = list(model.get_decoder().parameters())
    plain = all(weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in weights)
    few = sum(weight.numel() for weight in weights) <= _SMALL
    return plain and few and not torch.is_autocast_enabled("cpu")


def _is_known(model: Any) -> bool:
    """Tell whether the weights are those that are copied; ``agrees`` sees whether others differ."""
    decoder, config = model.get_decoder(), model.config.get_text_config()
    if not all(_WEIGHT.fullmatch(name) for name, _ in decoder.named_parameters()):
        return False
    epsilons = {m.variance_epsilon for m in decoder.modules() if hasattr(m, "variance_epsilon")}
    windows = {getattr(layer.self_attn, "sliding_window", None) for layer in decoder.layers}
    turns = decoder.rotary_emb.rope_type == "default" and config.hidden_act == "silu"
    return turns and len(epsilons) == 1 and windows == {None}
