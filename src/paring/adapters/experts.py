"""Experts in a model, and the linear modules that weigh or choose them."""

from torch import nn

from paring.adapters.linear import features_of


def routers(model: nn.Module) -> set[str]:
    """Paths of the linear modules that weigh or choose experts.

    They stand beside the experts and give one number for each (and perhaps one for none of them), or one number in all.
    What stands in one part of the block with such a module is of the router too, unless the part leads back to as many
    features as came in, as an expert does."""
    experts = {path: count for path, module in model.named_modules() if path and (count := stacked_experts(module)) > 1}
    found: set[str] = set()
    for path, count in experts.items():
        holder = model.get_submodule(path)
        has_more = any(True for child in holder.children() for _ in child.parameters())
        block = path if has_more and not isinstance(holder, nn.ModuleList) else path.rpartition(".")[0]
        for name, part in model.get_submodule(block).named_children():
            place = f"{block}.{name}".removeprefix(".")
            if any(f"{one}.".startswith(f"{place}.") for one in experts):
                continue
            inside = {f"{place}.{below}".rstrip("."): features_of(one) for below, one in part.named_modules()}
            linear = {inner: features for inner, features in inside.items() if features is not None}
            widths = {outputs for _, outputs in linear.values()}
            entering = next(iter(linear.values()), (0, 0))[0]
            if not widths.isdisjoint({1, count, count + 1}) and entering not in widths:
                found.update(linear)
    return found


def stacked_experts(module: nn.Module) -> int:
    """How many experts a module holds itself, 0 for none: matrices stacked in one parameter [E, ., .], or a list of
    modules that are alike."""
    if isinstance(module, nn.ModuleList):
        kinds = {(type(one), tuple(parameter.shape for parameter in one.parameters())) for one in module}
        return len(module) if len(kinds) == 1 else 0
    stacked = [parameter for parameter in module.parameters(recurse=False) if parameter.ndim == 3]
    is_convolution = isinstance(module, nn.Conv1d | nn.ConvTranspose1d)
    return stacked[0].shape[0] if stacked and not is_convolution else 0


def lists_of_experts(model: nn.Module) -> list[str]:
    """Paths of the lists of modules that are alike, beside which a router has a row for each."""
    found = []
    for path, module in model.named_modules():
        count = stacked_experts(module) if isinstance(module, nn.ModuleList) else 0
        block, _, name = path.rpartition(".")
        beside = (one for part, one in model.get_submodule(block).named_parameters() if not part.startswith(f"{name}."))
        if count > 1 and any(one.ndim and one.shape[0] == count for one in beside):
            found.append(path)
    return found
