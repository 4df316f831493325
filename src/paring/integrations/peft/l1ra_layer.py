"""The layer of L1RA in PEFT: y = W x + s B diag(c) A x over any linear base, several adapters side by side."""

import warnings
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from paring.adapters.linear import LinearLike
from paring.adapters.lowrank import LowRankLinear
from paring.integrations.peft.l1ra_config import GatedConfig

if TYPE_CHECKING:
    from peft.utils.quantization_utils import QuantizationBackend


class Weight(nn.Module):
    """One parameter, `weight`, whose axis `rank_axis` counts components. It takes the rank of what it is loaded with:
    a checkpoint may have been written after a rank event."""

    def __init__(self, value: Tensor, *, rank_axis: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(value)
        self.rank_axis = rank_axis

    # What it does not read it hands on, whatever torch adds to it.
    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        loaded = state_dict.get(f"{prefix}weight")
        if loaded is not None and loaded.dim() == self.weight.dim():
            shape = list(self.weight.shape)
            shape[self.rank_axis] = loaded.shape[self.rank_axis]
            if shape != list(self.weight.shape):
                self.weight.grad = None
                self.weight.data = self.weight.new_empty(shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


class L1raLinear(nn.Module, BaseTunerLayer):
    """`l1ra_A` [rank, in], `l1ra_B` [out, rank] and the gates `l1ra_c` [rank], each by adapter name.

    "Linear" must be part of the name: by it PEFT finds, for "all-linear", what has an adapter already."""

    adapter_layer_names = ("l1ra_A", "l1ra_B", "l1ra_c")
    other_param_names = ("scaling", "l1ra_dropout")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: GatedConfig, rank: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.l1ra_A = nn.ModuleDict()
        self.l1ra_B = nn.ModuleDict()
        self.l1ra_c = nn.ModuleDict()
        self.l1ra_dropout = nn.ModuleDict()
        self.scaling: dict[str, float] = {}
        self.merged_adapters: list[str] = []
        self._disable_adapters = False
        self._active_adapter = adapter_name
        self.in_features, self.out_features = _features(self.get_base_layer())
        self.update_layer(adapter_name, config, rank)

    def update_layer(self, adapter_name: str, config: GatedConfig, rank: int) -> None:
        """Add an adapter. It starts with B = 0 and c = 1, so that the function stays as it was."""
        A_RI = config.method.draw(rank, self.in_features, torch.default_generator)
        B_OR = torch.zeros(self.out_features, rank)
        if not config.init_weights:
            B_OR.normal_(0, 0.1)
        self.l1ra_A[adapter_name] = Weight(A_RI, rank_axis=0)
        self.l1ra_B[adapter_name] = Weight(B_OR, rank_axis=1)
        self.l1ra_c[adapter_name] = Weight(torch.ones(rank), rank_axis=0)
        self.l1ra_dropout[adapter_name] = nn.Dropout(config.lora_dropout) if config.lora_dropout else nn.Identity()
        self.scaling[adapter_name] = config.scale
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """[..., in] -> [..., out], in the type of the base's output."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        y = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return y
        for name in self.active_adapters:
            if name in self.l1ra_A:
                A_RI, B_OR, c_R = self.factors(name)
                u = functional.linear(self.l1ra_dropout[name](self._cast_input_dtype(x, A_RI.dtype)), A_RI)
                update = functional.linear(u, (B_OR * c_R).to(B_OR.dtype)) * self.scaling[name]
                y = y + update.to(y.dtype)
        return y

    def factors(self, adapter: str) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
        """A [R, I], B [O, R] and c [R]: the parameters themselves."""
        name = f"{adapter}.weight"
        return self.l1ra_A.get_parameter(name), self.l1ra_B.get_parameter(name), self.l1ra_c.get_parameter(name)

    def rank(self, adapter: str) -> int:
        return len(self.factors(adapter)[2])

    def low_rank(self, adapter: str) -> LowRankLinear:
        """One adapter as the core knows it. It shares the parameters, so its resize is ours; its base is hollow."""
        hollow = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        dropout = self.l1ra_dropout[adapter]
        view = LowRankLinear(
            hollow,
            rank=1,
            scale=self.scaling[adapter],
            generator=torch.Generator(),
            gated=True,
            dropout=dropout.p if isinstance(dropout, nn.Dropout) else 0.0,
        )
        view.A_RI, view.B_OR, view.c_R = self.factors(adapter)
        return view

    @torch.no_grad()
    def get_delta_weight(self, adapter: str) -> Tensor:
        """s B diag(c) A in the layout of the base's weight, in fp32."""
        delta_OI = self.low_rank(adapter).delta_OI()
        return delta_OI.T if isinstance(self.get_base_layer(), Conv1D) else delta_OI

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Write W + s B diag(c) A into the base, adapter by adapter. With `safe_merge`, ValueError instead of a base
        that is no longer finite."""
        for name in check_adapters_to_merge(self, adapter_names):
            if name in self.l1ra_A:
                self._add_to_base(self.get_delta_weight(name), check=safe_merge, name=name)
                self.merged_adapters.append(name)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Take the merged adapters out of the base again."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        while self.merged_adapters:
            name = self.merged_adapters.pop()
            if name in self.l1ra_A:
                self._add_to_base(-self.get_delta_weight(name), check=False, name=name)

    def _add_to_base(self, delta: Tensor, *, check: bool, name: str) -> None:
        base = self.get_base_layer()
        held = base.weight
        assert isinstance(held, Tensor)
        backend = None if held.dtype.is_floating_point else _quantization(base)
        weight = backend.get_base_weight(base) if backend else held.data
        # Computed in fp32 and cast last, as our own merge does.
        total = (weight.float() + delta.to(weight.device)).to(weight.dtype)
        if check and not torch.isfinite(total).all():
            raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
        if backend:
            backend.set_base_weight(self, total)
        else:
            held.data = total

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True


def _features(base: nn.Module) -> tuple[int, int]:
    """Inputs and outputs. Raises ValueError where the base is no linear map."""
    if isinstance(base, Conv1D):
        return base.weight.shape[0], base.weight.shape[1]
    if isinstance(base, LinearLike) and not isinstance(base, nn.Bilinear):
        return base.in_features, base.out_features
    raise ValueError(
        f"Target module {base} is not supported. Currently, only linear modules are: torch.nn.Linear, their quantised "
        "kinds, and transformers' Conv1D."
    )


def _quantization(base: nn.Module) -> "QuantizationBackend":
    """PEFT's way to read and write a quantised weight. Raises ValueError where there is none."""
    try:
        from peft.utils.quantization_utils import resolve_quantization_backend  # from PEFT 0.20 on

        backend = resolve_quantization_backend(base)
    except ModuleNotFoundError:
        backend = None
    if backend is None or not backend.supports_merge:
        raise ValueError(
            f"an adapter cannot be merged into a {type(base).__name__} here: load the model without quantisation, the "
            "adapter onto it, and merge there; or use PEFT 0.20 or newer, which can for bitsandbytes"
        )
    return backend
