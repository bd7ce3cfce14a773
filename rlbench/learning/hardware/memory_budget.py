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
    """`46.2 MB (replay 44.8 MB, networks 1.4 MB)`, largest first, without what is below 1%."""
    listed, total = sorted(parts.items(), key=lambda part: -part[1]), sum(parts.values())
    inside = ", ".join(f"{name} {readable(size)}" for name, size in listed if size * 100 > total)
    return f"{readable(total)}" + (f" ({inside})" if inside else "")


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


OF_PART = {  # what makes a part smaller
    "replay": "buffer_size",
    "networks": "net_arch, hidden_size or frame_stack",
    "updates": "batch_size, net_arch or frame_stack",
    "rollouts": "n_steps or n_envs",
    "steps": "n_steps or n_envs",
    "environments": "n_envs or frame_stack",
    "scores": "numbers of evaluation episodes",
    "images": "n_envs, or less data",
}


def smaller(parts: dict[str, int]) -> str:
    """What the largest part depends on."""
    return OF_PART.get(max(parts, key=lambda name: parts[name]), "data")


def check(parts: dict[str, int], device: torch.device, who: str) -> None:
    """Refuse with the numbers what does not fit."""
    free = available(device)
    if sum(parts.values()) > free:
        raise UserError(
            f"{who} would take {describe(parts)} of memory on {device}, and {readable(free)} are "
            f"free: use fewer seeds at once, or smaller {smaller(parts)}"
        )
