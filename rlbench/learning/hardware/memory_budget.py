"""Estimates of a run's memory, checked before it is allocated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from rlbench.common.number_format import size_text
from rlbench.errors import UserError

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def describe(parts: dict[str, int]) -> str:
    """List the parts of 1 % or more, largest first: `46.2 MB (replay 44.8 MB, networks 1.4 MB)`."""
    by_size, total = sorted(parts.items(), key=lambda part: -part[1]), sum(parts.values())
    inside = ", ".join(f"{name} {size_text(size)}" for name, size in by_size if size * 100 > total)
    return f"{size_text(total)}" + (f" ({inside})" if inside else "")


def available(device: torch.device) -> int:
    """Return the free bytes of the device; for a CPU also within the limits of control groups."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *left_in_cgroups()])


def left_in_cgroups() -> Iterator[int]:
    """Yield the bytes left in each control group (version 1 or 2) of this process with a limit.

    Page cache counts as free: the kernel drops it before it refuses memory.
    """
    for folder, names in _cgroups():
        try:
            limit, used = (int((folder / name).read_text()) for name in names[:2])
            words = (folder / "memory.stat").read_text().split()
            stat = dict(zip(words[::2], words[1::2], strict=True))
            cache = sum(int(stat[f"{names[2]}{kind}_file"]) for kind in ("active", "inactive"))
        except (OSError, ValueError, KeyError):
            continue  # no limit ("max"), or the folder is not visible in a container
        yield max(limit - used + cache, 0)


def _cgroups() -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Yield the folders of this process's control groups up to the root.

    With their names of limit and usage, and the prefix of entries of `memory.stat` that include the
    groups below.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = CGROUPS, ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            root = CGROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield folder, names


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
    """Return the settings that the largest part depends on."""
    return OF_PART.get(max(parts, key=lambda name: parts[name]), "data")


def check(parts: dict[str, int], device: torch.device, who: str) -> None:
    """Raise UserError with the numbers if the memory does not suffice."""
    free = available(device)
    if sum(parts.values()) > free:
        raise UserError(
            f"{who} would take {describe(parts)} of memory on {device}, and {size_text(free)} are "
            f"free: use fewer seeds at once, or smaller {smaller(parts)}"
        )
