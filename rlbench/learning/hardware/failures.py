"""Failures of a GPU and lack of memory, in one line with a way out. Imports no torch.

They are known by the words of torch, CUDA and the system: in part they are plain RuntimeErrors.
"""

from __future__ import annotations

import re
from typing import NamedTuple

GO_ON = "add --device cpu to the same command, which goes on from what was saved"
INSTALL = "https://pytorch.org/get-started/locally"
LESS = "fewer seeds at once, or a smaller batch_size or buffer_size, need less"


class Fault(NamedTuple):
    """A kind of failure: the words it is known by, what is wrong, and what to do."""

    words: str
    what: str
    way_out: str


FAULTS = (
    Fault(
        r"CUDA out of memory|CUDA error: out of memory|(CUBLAS|CUDNN)\w*_ALLOC_FAILED",
        "the GPU has too little memory",
        f"free memory there and repeat the command, or {GO_ON}; {LESS} (first rlbench rm RUN)",
    ),
    Fault(
        r"DefaultCPUAllocator: (can't|not enough)|^std::bad_alloc|[Cc]annot allocate memory"
        r"|failed to map segment",
        "this process can have no more memory",
        "end other programs or raise its limit (ulimit -v, or that of its container or job), and "
        f"repeat the command, which goes on from what was saved; {LESS} (first rlbench rm RUN)",
    ),
    Fault(
        r"no kernel image is available",
        "this torch has no kernels for this GPU",
        f"install a torch whose CUDA knows the card ({INSTALL}) and repeat the command, or {GO_ON}",
    ),
    Fault(
        r"driver on your system is too old|driver version is insufficient",
        "the GPU's driver is older than this torch's CUDA",
        f"update the driver, or install a torch for it ({INSTALL}), and repeat the command, or "
        + GO_ON,
    ),
    Fault(
        r"device-side assert triggered",
        "a kernel found a value that cannot be, such as an index or a label out of range",
        f"{GO_ON} and, if it happens there too, says where",
    ),
    Fault(
        r"invalid device ordinal",
        "there is no GPU of this number",
        f"leave the number out (--device cuda), or {GO_ON}",
    ),
    Fault(
        r"No CUDA GPUs are available|no CUDA-capable device|Found no NVIDIA driver"
        r"|not compiled with CUDA",
        "torch finds no GPU here",
        f"make CUDA_VISIBLE_DEVICES and the driver show one and repeat the command, or {GO_ON}",
    ),
    Fault(
        r"initialize NVML|nvml\w* |NVML|driver initialization failed|CUDA unknown error"
        r"|busy or unavailable|initialization error|Cannot re-initialize CUDA|cudaGetDeviceCount",
        "CUDA could not be started",
        f"see whether nvidia-smi works and repeat the command, or {GO_ON}",
    ),
    Fault(
        r"CUDA error|CUDA driver error|cuDNN error|CUDNN_STATUS_|CUBLAS_STATUS_|cublas\w* ",
        "CUDA failed",
        f"repeat the command, which goes on from what was saved, or {GO_ON}",
    ),
)


def explained(error: BaseException) -> str:
    """Return what the machine lacks and what to do, in a line; empty if that was not the cause."""
    if isinstance(error, MemoryError):
        text = f"Cannot allocate memory: {error}" if str(error) else "Cannot allocate memory"
    elif isinstance(error, RuntimeError | AssertionError | OSError | ImportError):
        text = str(error)
    else:
        return ""
    fault = next((each for each in FAULTS if re.search(each.words, text)), None)
    if fault is None:
        return ""
    said = text.strip().splitlines()[0].removesuffix(".")
    if details := re.search(r"Tried to allocate [\d.]+ \w+", text):
        said = details[0][0].lower() + details[0][1:]
        if free := re.search(r"total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free", text):
            said += f", {free[2]} of {free[1]} are free"
    return f"{fault.what} ({said}): {fault.way_out}"
