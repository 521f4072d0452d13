"""Which precision to compute in."""

from typing import Literal

import torch


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
