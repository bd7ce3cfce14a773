"""How much memory a plan takes, told before it is taken."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from rlbench.errors import UserError


def readable(count: float) -> str:
    """Bytes as people write them: `44.8 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def describe(parts: dict[str, int]) -> str:
    """`46.2 MB (replay 44.8 MB, networks 1.4 MB)`, largest first."""
    listed = sorted(parts.items(), key=lambda part: -part[1])
    inside = ", ".join(f"{name} {readable(size)}" for name, size in listed if size)
    return f"{readable(sum(parts.values()))}" + (f" ({inside})" if inside else "")


def available(device: torch.device) -> int:
    """Free bytes on the device; for a CPU also within the limit of a container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    try:
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):
        pass  # no such limit ("max") or no such system
    return free


def check(parts: dict[str, int], device: torch.device, who: str) -> None:
    """Refuse with the numbers what does not fit."""
    free = available(device)
    if sum(parts.values()) > free:
        raise UserError(
            f"{who} would take {describe(parts)} of memory on {device}, and {readable(free)} are "
            "free: use fewer seeds at once, or a smaller buffer_size, n_steps, n_envs or net_arch"
        )
