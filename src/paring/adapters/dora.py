"""DoRA: a linear layer whose weight is divided into the length of its rows and their direction."""

import torch
from torch import Tensor, nn

from paring.adapters.first_rows import Draw, uniform_rows
from paring.adapters.lowrank import LowRankLinear


class DoraLinear(LowRankLinear):
    """y = g * (W x + s B A x) + b, g = m / |W + s B A|      (DoRA, arXiv 2402.09353, eq. 5)

    |.| is the norm of each row (of each output), and `m_O` [out] is trained beside A and B. It starts at |W|, so that a
    new adapter leaves the function as it was. No gradient goes through the norm (sec. 4.3). The base must have a dense
    weight, whose update is made for its norms at every pass. `dropout` acts on the input of s B A x alone.
    """

    def __init__(
        self,
        base: nn.Module,
        *,
        rank: int,
        scale: float,
        generator: torch.Generator,
        draw: Draw = uniform_rows,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(base, rank=rank, scale=scale, generator=generator, draw=draw, dropout=dropout, dtype=dtype)
        self.m_O = nn.Parameter(self._weight_OI().norm(dim=1).to(self.A_RI.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], in the type of the base's output."""
        y = super().forward(x)
        if not self.enabled:
            return y
        gain_O, bias_O = self.gain_O.to(y.dtype), dict(self.base.named_parameters(recurse=False)).get("bias")
        return y * gain_O if bias_O is None else (y - bias_O) * gain_O + bias_O

    @property
    def gain_O(self) -> Tensor:
        """g = m / |W + s B A|: [out]."""
        return self.m_O / self._row_norm_O()

    @property
    def changes_nothing(self) -> bool:
        return super().changes_nothing and torch.equal(self.m_O, self._weight_OI().norm(dim=1).to(self.m_O.dtype))

    @torch.no_grad()
    def delta_OI(self) -> Tensor:
        """The update that is added to W: [out, in], in fp32."""
        weight_OI = self._weight_OI()
        return self.gain_O[:, None] * (weight_OI + super().delta_OI()) - weight_OI

    def _weight_OI(self) -> Tensor:
        weight = self.dense_base().weight.detach().float()
        return weight.T if self.is_transposed else weight

    @torch.no_grad()
    def _row_norm_O(self) -> Tensor:
        """|W + s B A| of each row, in fp32; above 0 where a row is 0, and then m is 0."""
        return (self._weight_OI() + super().delta_OI()).norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
