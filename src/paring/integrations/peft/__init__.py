"""L1RA as a method of PEFT (0.19 to 0.21), and a callback for Trainer and TRL. Importing this registers it."""

try:
    import peft as _peft  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("paring.integrations.peft needs PEFT: pip install 'paring[peft]'", name="peft") from error

from paring.integrations.peft.callback import L1raCallback
from paring.integrations.peft.l1ra_config import L1raConfig, L1raReferenceConfig
from paring.integrations.peft.l1ra_layer import L1raLinear
from paring.integrations.peft.l1ra_model import L1raModel, adapters_of, register, save_as_lora
from paring.integrations.peft.l1ra_optimiser import l1ra_param_groups

__all__ = [
    "L1raCallback",
    "L1raConfig",
    "L1raLinear",
    "L1raModel",
    "L1raReferenceConfig",
    "adapters_of",
    "l1ra_param_groups",
    "register",
    "save_as_lora",
]

register()
