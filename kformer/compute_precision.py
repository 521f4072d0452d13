"""Which precision to compute in."""

from typing import Any, Literal

import torch
from torch import nn


def precision_of(precision: Literal["auto", "bf16", "fp32"]) -> Literal["bf16", "fp32"]:
    """The precision that a setting stands for on this machine."""
    return "bf16" if computes_in_bf16(precision) else "fp32"


def device_kind() -> str:
    """What this process computes on, such as ``cpu`` or ``cuda``."""
    device = torch.accelerator.current_accelerator()
    return device.type if device else "cpu"


def computes_in_bf16(precision: Literal["auto", "bf16", "fp32"]) -> bool:
    """Whether to compute under bf16 autocast; ``auto`` asks the hardware."""
    return hardware_computes_in_bf16() if precision == "auto" else precision == "bf16"


def hardware_computes_in_bf16() -> bool:
    """Whether the GPU, or without one the CPU, computes in bf16 rather than emulating it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def narrow_states(first_layer: nn.Module) -> None:
    """Lets states be in bf16 from the first layer of an encoder on, under autocast on a CPU.

    There a layer norm keeps the precision of what it is given: states that start in fp32 stay so,
    and every matrix product casts them anew. On a GPU autocast brings layer norms to fp32 anyway.
    """
    first_layer.register_forward_pre_hook(_narrowed)


def _narrowed(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    states, *others = args
    if states.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return None
    return (states.to(torch.get_autocast_dtype("cpu")), *others)
