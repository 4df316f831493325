"""Claim: decoding's attention, by compiled code or else batched products with one softmax, keeps up with torch's fused
kernel.

The peer is that kernel asked twice, for a group's prompt and for the rows' own tokens, and the two answers joined by
their log-sum-exp: an internal operator of the CPU, and more code. Keys and values are random; no row leaves. What is
timed is attention alone."""

import time
from argparse import Namespace
from functools import partial

import torch
from torch import Tensor

from measuring import in_turn, median_ratio, options, report
from paring.rollout.cache import Prefill, Rows

FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


class FusedRows(Rows):
    """The same layout by the fused kernel, for rows of whole groups in order, and plain scores alone."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None, **_):
        rows, heads, _, size = query.shape
        query_LHUD = query.reshape(rows, key.shape[1], -1, size)
        self._make_room(layer, key, key.shape[1], (size, size))
        own_key_LHKD, own_value_LHKD = self.own_layers[layer]
        own_key_LHKD[:, :, self.slot], own_value_LHKD[:, :, self.slot] = key[:, :, 0], value[:, :, 0]
        seen = self._seen(window)
        own_key_LHKD, own_value_LHKD = own_key_LHKD[:, :, seen], own_value_LHKD[:, :, seen]
        own, own_normaliser = FUSED(query_LHUD, own_key_LHKD, own_value_LHKD, scale=scale)
        prompt_key_PHKD, prompt_value_PHKD = self.prompt_layers[layer]
        table_PGHUD = query_LHUD.unflatten(0, self.row_PG.shape)
        groups, places, key_heads, repeats, _ = table_PGHUD.shape
        query_PHQD = table_PGHUD.transpose(1, 2).reshape(groups, key_heads, places * repeats, size)
        bias_PHQK = self._bias(window, prompt_key_PHKD.shape[2])[::places, ..., : prompt_key_PHKD.shape[2]]
        bias_PHQK = bias_PHQK.expand(-1, -1, places * repeats, -1)
        parts = FUSED(query_PHQD, prompt_key_PHKD, prompt_value_PHKD, attn_mask=bias_PHQK, scale=scale)
        prompt, normaliser = (
            part.reshape(groups, key_heads, places, repeats, -1).transpose(1, 2).flatten(0, 1) for part in parts
        )
        share = torch.sigmoid(normaliser - own_normaliser[..., None])
        return torch.lerp(own, prompt, share).reshape(rows, 1, heads, size)


@torch.no_grad()
def decoded(kind: type[Rows], arguments: Namespace) -> tuple[float, Tensor]:
    """Seconds a step, and what came out of the last."""
    torch.manual_seed(0)
    device, groups = torch.device("cpu"), arguments.rows // arguments.group
    prompts = Prefill([arguments.prompt] * groups, device)
    for layer in range(arguments.layers):
        keys, values = torch.randn(2, 1, arguments.key_heads, arguments.prompt * groups, arguments.head_size)
        prompts.layers[layer] = prompts._padded(keys), prompts._padded(values)
    cache = kind(device)
    cache.join(prompts, arguments.group)
    spent, out = 0.0, torch.empty(0)
    for _ in range(arguments.new_tokens):
        query = torch.randn(arguments.rows, 1, arguments.heads, arguments.head_size).transpose(1, 2)
        key, value = torch.randn(2, arguments.rows, arguments.key_heads, 1, arguments.head_size)
        start = time.perf_counter()
        for layer in range(arguments.layers):
            out = cache.attend(layer, query, key, value, scale=arguments.head_size**-0.5, window=None)
        spent += time.perf_counter() - start
        cache.advance()
    return spent / arguments.new_tokens, out


def main() -> None:
    sizes = {"rows": 32, "group": 8, "prompt": 105, "new_tokens": 96, "pairs": 3}
    shape = {"layers": 30, "heads": 9, "key_heads": 3, "head_size": 64}
    arguments = options(__doc__, at_least=0.85, **sizes, **shape).parse_args()
    sides = [partial(decoded, kind, arguments) for kind in (Rows, FusedRows)]
    ours, fused = in_turn(arguments.pairs, *sides)
    (seconds, outs), (fused_seconds, fused_outs) = zip(*ours, strict=True), zip(*fused, strict=True)
    report(
        arguments,
        "decoding attention, seconds: torch's fused kernel / ours",
        median_ratio(fused_seconds, seconds),
        milliseconds=[1e3 * one for one in seconds],
        milliseconds_fused=[1e3 * one for one in fused_seconds],
        largest_difference=float((outs[-1] - fused_outs[-1]).abs().max()),
    )


if __name__ == "__main__":
    main()
