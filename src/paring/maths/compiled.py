"""The fused operations of compiled.c: whether they are there, which way is in use, and how they are called.

They are optional: an installation builds them where it finds a C compiler (setup.py). Torch gives the same numbers but
for rounding, so a run writes down which way it went."""

import ctypes
import sysconfig
from contextlib import AbstractContextManager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from paring.maths.products import within

Way = Literal["torch", "compiled"]
SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = SOURCE.with_name("_compiled" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so"))
LANES, LARGEST_HEAD = 8, 512
"""The compiled code serves sizes that LANES divides, and heads of at most so many numbers: LANES and MOST there."""
_chosen: Literal["auto"] | Way = "auto"


def _work(function: str, addresses: str, counts: str, numbers: str) -> Any:
    """The struct that this function of compiled.c takes, by the names of its fields: of arrays their addresses. What is
    not set is 0, or no array."""
    kinds = ((addresses, ctypes.c_void_p), (counts, ctypes.c_int64), (numbers, ctypes.c_float))
    fields = [(name, kind) for names, kind in kinds for name in names.split()]
    return type(function, (ctypes.Structure,), {"_fields_": fields})


Norm = _work("paring_norm", "x added weight sum y", "rows size", "epsilon")
NormBackward = _work("paring_norm_backward", "x weight dy dx", "rows size", "epsilon")
SwiGlu = _work("paring_swiglu", "gate up y copy", "rows size stride", "")
SwiGluBackward = _work("paring_swiglu_backward", "gate up dy d_gate d_up", "rows size stride", "")
Attention = _work(
    "paring_attend",
    "query new_key new_value prompt_key prompt_value own_key own_value out group prompt_length first copy query_norm "
    "key_norm cosine sine",
    "rows heads key_heads size query_row new_key_row new_value_row prompt_slots own_row own_head slot window",
    "scale epsilon",
)


def call(work: ctypes.Structure) -> None:
    """Run the function of compiled.c that takes this struct, on the threads of torch."""
    getattr(_code(), type(work).__name__)(ctypes.byref(work), torch.get_num_threads())


@cache
def _code() -> ctypes.CDLL | None:
    """None where it was not built, or for another kind of machine, or from another version of the source. Its threads
    are those of torch's OpenMP; where torch has another, it takes one."""
    try:
        code = ctypes.CDLL(str(LIBRARY))
        built_from = ctypes.c_char_p(ctypes.addressof(ctypes.c_char.in_dll(code, "paring_source"))).value or b""
    except (OSError, ValueError):
        return None
    if built_from.decode() != sha256(SOURCE.read_bytes()).hexdigest():
        return None
    for work in (Norm, NormBackward, SwiGlu, SwiGluBackward, Attention):
        function = getattr(code, work.__name__)
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int64], None
    team = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    code.paring_use_team.argtypes, code.paring_use_team.restype = [ctypes.c_void_p], None
    code.paring_use_team(ctypes.cast(team, ctypes.c_void_p) if team else None)
    return code


def best_way() -> Way:
    return "torch" if _code() is None else "compiled"


def way() -> Way:
    """The way in use."""
    return best_way() if _chosen == "auto" else _chosen


def use(chosen: Literal["auto"] | Way) -> None:
    """From here on fused operations go this way; "auto": compiled where it was built. It is of the process. Raises
    ValueError where it was not built."""
    global _chosen
    if chosen == "compiled" and _code() is None:
        raise ValueError(
            'model.fused = "compiled": this installation was made without a C compiler (gcc 12 or newer), or of '
            'other source; install paring again where there is one, or set "auto", in run.toml where a run is resumed, '
            "which then goes on in other rounding"
        )
    _chosen = chosen


def using(chosen: Way) -> AbstractContextManager[None]:
    """Within it, fused operations go this way."""
    return within(use, chosen, _chosen)


def serves(*parts: Tensor) -> bool:
    """Whether the compiled code is in use and takes these: no gradient, fp32 on a CPU, a last axis that is dense and
    divisible."""
    return (
        way() == "compiled"
        and not torch.is_grad_enabled()
        and all(
            part.dtype == torch.float32 and part.is_cpu and part.stride(-1) == 1 and part.shape[-1] % LANES == 0
            for part in parts
        )
    )
