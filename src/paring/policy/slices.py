"""A base that is divided among processes, of whose files each reads its own parts: no process ever holds the whole."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import cast

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedConfig, PreTrainedModel

from paring.policy.sharding import Indivisible, shard
from paring.policy.stored_model import INDEX, ONE, weight_files
from paring.policy.stored_weights import StoredWeight, WeightFile, stored_weights
from paring.policy.wrappers import is_wrapper


def load_in_parts(
    config: PreTrainedConfig, device: torch.device, source: str, *, dtype: torch.dtype, **options: object
) -> tuple[PreTrainedModel, set[str]]:
    """The model, divided, with the parts of this process. `options`: those of transformers. No weight is missing.

    Raises Indivisible where the files are not safetensors, or hold weights that transformers makes of others by more
    than stacking experts."""
    if is_wrapper(config) or "gguf_file" in options or getattr(config, "quantization_config", None) is not None:
        raise Indivisible("only causal language models in safetensors that are not quantised are read in parts")
    with without_numbers():
        # This function of transformers has no type.
        made = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    model = cast("PreTrainedModel", made)
    shard(model, device)
    local = bool(options.get("local_files_only", False))
    if not (files := weight_files(source, local=local)):
        raise Indivisible(f"neither {ONE} nor {INDEX} is there")
    if missing := sorted(_fill(model, files, device)):
        raise Indivisible(f"its files do not hold {len(missing)} of its weights by their names ({missing[0]}, ...)")
    with suppress(OSError):  # where there is none, that of the configuration stays
        model.generation_config = GenerationConfig.from_pretrained(source, local_files_only=local)
    return model, set()


@contextmanager
def without_numbers() -> Iterator[None]:
    """Within it the parameters of modules that are made stand on the meta device. Buffers have their numbers."""

    def put_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta:
            return parameter
        return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)

    # Its type leaves out that a hook may give another parameter.
    hook = register_module_parameter_registration_hook(cast("Callable[..., None]", put_on_meta))
    try:
        yield
    finally:
        hook.remove()


def _fill(model: PreTrainedModel, files: list[str], device: torch.device) -> set[str]:
    """Give the model the numbers of the files, in place; a tied tensor is read once. Returns the names that they lack.
    Raises Indivisible."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    tensors |= {name: one for name, one in model.state_dict().items() if name not in tensors}  # buffers that are stored
    read: dict[int, Tensor] = {}
    with ExitStack() as opened:
        readers = [opened.enter_context(safe_open(file, framework="pt")) for file in files]
        stored = stored_weights(model, cast("list[WeightFile]", readers))
        for name, one in tensors.items():
            if name in stored and id(one) not in read:
                stored[name].check(name, one.shape)
                read[id(one)] = _read(stored[name], one, device)
    named = {name: read[id(one)] for name, one in tensors.items() if id(one) in read}
    model.load_state_dict(named, strict=False, assign=True)
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(device)
    return tensors.keys() - named.keys()


def _read(stored: StoredWeight, like: Tensor, device: torch.device) -> Tensor:
    """The part of a stored weight that this process holds of `like`, in its type."""
    from torch.distributed.tensor import DTensor

    if not isinstance(like, DTensor):
        whole = stored.rows(0, len(like) if like.dim() else 1)
        return nn.Parameter(whole.to(device, like.dtype, copy=True), requires_grad=False)
    mesh = like.device_mesh
    rows, most = len(like.to_local()), -(-len(like) // mesh.size())  # the last processes may have fewer, or none
    start = min(mesh.get_local_rank() * most, len(like))
    own = torch.empty(rows, *like.shape[1:], dtype=like.dtype, device=device)
    if rows:
        own.copy_(stored.rows(start, start + rows))
    placed = DTensor.from_local(own, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride())
    return nn.Parameter(placed, requires_grad=False)
