"""Which precision to compute in."""

import torch


def hardware_computes_in_bf16() -> bool:
    """Whether the GPU, or without one the CPU, computes in bf16 rather than emulating it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
