"""Claim: the kernel that is chosen for products with frozen weights is the fastest of those that this machine has.

For every shape of a decoding step (packed), a reference pass and a training step (forward, backward) it prints
operations a second by kernel. The ratio is the least over the shapes: chosen / the best of all. Products of adapters
are too small for any library but torch's own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from measuring import options, report, seconds
from paring.maths.products import Kernel, PackedLinear, available, kernel, product, using

DECODING, TRAINING = (8, 32, 128, 512), (512, 1024, 4096)
"""Rows of a decoding step, and of a pass over whole completions."""
LEAST_SECONDS = 0.02
"""A turn of one kernel repeats its product for so long."""


@dataclass(frozen=True)
class Shape:
    """A product of `rows` inputs [rows, I] with a frozen weight [O, I]; `made` gives the call under the kernel in
    use."""

    name: str
    rows: int
    outputs: int
    inputs: int
    made: Callable[[Tensor, Tensor], Callable[[], Tensor]]

    @property
    def operations(self) -> int:
        return 2 * self.rows * self.outputs * self.inputs


def packed(x: Tensor, weight_OI: Tensor) -> Callable[[], Tensor]:
    linear = PackedLinear(weight_OI, None)
    return lambda: linear(x)


def forward(x: Tensor, weight_OI: Tensor) -> Callable[[], Tensor]:
    return lambda: product(x, weight_OI)


def backward(x: Tensor, weight_OI: Tensor) -> Callable[[], Tensor]:
    """The gradient dy W, of a weight that is held as [I, O]."""
    weight_IO = weight_OI.T.contiguous()
    return lambda: product(x, weight_IO.T)


def shapes_of(path: str) -> Iterator[Shape]:
    # Here: transformers looks for a package named kernels, and imports this file instead when a script beside it runs.
    from transformers import AutoConfig

    from paring.policy.loading import SHIPPED

    config = AutoConfig.from_pretrained(SHIPPED.get(path, path)).get_text_config()
    hidden, middle, size = (
        config.hidden_size,
        config.intermediate_size,
        config.hidden_size // config.num_attention_heads,
    )
    qkv = (config.num_attention_heads + 2 * config.num_key_value_heads) * size
    linear = {"qkv": (qkv, hidden), "o": (hidden, hidden), "gate_up": (2 * middle, hidden), "down": (hidden, middle)}
    for rows in DECODING:
        for name, (outputs, inputs) in (linear | {"head": (config.vocab_size, hidden)}).items():
            yield Shape(f"decoding {name}", rows, outputs, inputs, packed)
    for rows in TRAINING:
        for name, (outputs, inputs) in linear.items():
            yield Shape(f"training {name}", rows, outputs, inputs, forward)
            yield Shape(f"gradient {name}", rows, inputs, outputs, backward)


def rates(shape: Shape, kernels: list[Kernel], rounds: int) -> dict[str, float]:
    """Operations a second by kernel, the best of several turns, A B A B."""
    x, weight_OI = torch.randn(shape.rows, shape.inputs), torch.randn(shape.outputs, shape.inputs)
    best = dict.fromkeys(kernels, 0.0)
    calls = {}
    for name in kernels:
        with using(name):
            calls[name] = shape.made(x, weight_OI)
            calls[name]()
    for turn in range(rounds * len(kernels)):
        name = kernels[turn % len(kernels)]
        with using(name):
            times = max(1, round(LEAST_SECONDS / seconds(calls[name])))
            spent = seconds(lambda name=name, times=times: [calls[name]() for _ in range(times)])
        best[name] = max(best[name], times * shape.operations / spent)
    return {name: rate / 1e9 for name, rate in best.items()}


@torch.no_grad()
def main() -> None:
    parser = options(__doc__, "model", at_least=0.95, rounds=5, threads=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    kernels: list[Kernel] = [name for name in get_args(Kernel) if available(name)]
    chosen, table = kernel(), {}
    for shape in shapes_of(arguments.model):
        found = rates(shape, kernels, arguments.rounds)
        table[f"{shape.name} {shape.rows} x {shape.inputs} -> {shape.outputs}"] = found
        print(f"{shape.name:18} {shape.rows:5} x {shape.inputs:5} -> {shape.outputs:5}  ", end="")
        print("  ".join(f"{name} {rate:6.1f}" for name, rate in found.items()), flush=True)
    shares = {name: found[chosen] / max(found.values()) for name, found in table.items()}
    worst = min(shares, key=shares.__getitem__)
    report(
        arguments,
        "products with frozen weights, operations a second: the kernel chosen / the best of all, at the least shape",
        shares[worst],
        chosen=chosen,
        least_at=worst,
        gflops=table,
    )


if __name__ == "__main__":
    main()
