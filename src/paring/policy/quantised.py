"""Frozen layers in 4 or 8 bits: how they are loaded, and 4-bit ones on a CPU mended.

There bitsandbytes samples in another precision than it trains, or computes wrong numbers."""

from copy import copy
from functools import partial
from importlib.util import find_spec
from logging import ERROR, getLogger

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers import BitsAndBytesConfig, PreTrainedConfig


def quantised_options(kind: str, dtype: torch.dtype, device: torch.device) -> dict[str, object]:
    """transformers' arguments for a base in "4bit" or "8bit", which goes to its device while it is loaded; for "none"
    there are none. `dtype`: in which it computes. Raises ModuleNotFoundError without the extra `quantised`."""
    if kind == "none":
        return {}
    if lacking := _lacking():
        raise ModuleNotFoundError(f'model.quantisation = "{kind}" {lacking}')
    config = BitsAndBytesConfig(
        load_in_4bit=kind == "4bit",
        load_in_8bit=kind == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def stored_options(config: PreTrainedConfig, device: torch.device) -> dict[str, object]:
    """The same for a checkpoint whose weights bitsandbytes has quantised before they were stored; for others there are
    none. Raises ValueError without the extra `quantised`."""
    given: object = getattr(config, "quantization_config", None)
    if not isinstance(given, dict) or given.get("quant_method") != "bitsandbytes":
        return {}
    if lacking := _lacking():
        raise ValueError(f"the checkpoint is quantised by bitsandbytes, which {lacking}")
    return {"device_map": {"": device}}


def _lacking() -> str | None:
    """The missing packages, in words; None where all are there. bitsandbytes is then silent."""
    missing = [name for name in ("bitsandbytes", "accelerate") if find_spec(name) is None]
    if missing:
        return f'needs {" and ".join(missing)}: pip install "paring[quantised]"'
    # It warns of its cast to fp16 at every call of every layer.
    getLogger("bitsandbytes.autograd._functions").setLevel(ERROR)
    return None


def mend(base: nn.Module, dtype: torch.dtype) -> None:
    """Make the 4-bit layers of a base, in place, compute in `dtype`, sample in the precision in which they train, and
    with the numbers that they hold. On a GPU nothing else has to be mended.

    On a CPU with AVX-512 BF16, bitsandbytes packs weights again for a pass without a gradient and computes in bf16
    then: that is switched off. And its CPU kernel (0.50) takes each row for the beginning of a block of 64 numbers,
    which blocks are not where the in-features are no multiple of 64: such weights would come back wrong by a third to a
    half, so they are dequantised as the one row of numbers that they are.

    Raises ValueError for a weight that is no whole number of blocks."""
    for path, module in base.named_modules():
        if type(module).__name__ == "Linear4bit":
            vars(module).update(support_avx512bf16_for_cpu=False, compute_dtype=dtype, compute_type_is_set=True)
            weight = module.get_parameter("weight")
            if weight.device.type != "cpu":
                continue
            state = vars(weight)["quant_state"]
            if state.shape[-1] % state.blocksize == 0:
                continue
            if state.shape.numel() % state.blocksize:
                raise ValueError(
                    f"{path} [{state.shape[0]}, {state.shape[1]}] is no whole number of blocks of {state.blocksize}: "
                    'bitsandbytes would compute wrong numbers on a CPU; use model.quantisation = "8bit" or "none"'
                )
            vars(module)["forward"] = partial(_forward, module)


def weight_OI(module: nn.Module) -> Tensor:
    """The weight that a 4-bit layer stands for, in the type in which it was given."""
    from bitsandbytes.functional import dequantize_4bit

    weight = module.get_parameter("weight")
    state = vars(weight)["quant_state"]
    one_row = copy(state)
    one_row.shape = torch.Size((state.shape.numel() // state.blocksize, state.blocksize))
    return dequantize_4bit(weight.data, one_row).view(state.shape)


def _forward(module: nn.Module, x: Tensor) -> Tensor:
    """As of Linear4bit: in its compute type, and back in that of x."""
    dtype = vars(module).get("compute_dtype") or x.dtype
    y = _Product.apply(x.to(dtype), module)
    bias = dict(module.named_parameters(recurse=False)).get("bias")
    return (y if bias is None else y + bias.to(dtype)).to(x.dtype)


class _Product(torch.autograd.Function):
    """W x. The backward dequantises again: no dense weight is kept."""

    @staticmethod
    def forward(ctx, x: Tensor, module: nn.Module) -> Tensor:
        ctx.module = module
        return functional.linear(x, weight_OI(module).to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator drops names
        return dy @ weight_OI(ctx.module).to(dy.dtype), None
