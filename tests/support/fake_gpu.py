"""A GPU without memory: tensors there have shapes and a device, but no values.

Everything on the host is real, so that agents can be stepped. Kernels are called for their shapes
alone, and what a GPU would refuse, or wait for, is an error: arguments on two devices, a value read
on the host, and within a captured graph any copy from the host.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from rlbench.learning.core.capabilities import Capabilities
from rlbench.learning.hardware import graphs, transfer
from rlbench.learning.hardware.device import Choice
from rlbench.learning.networks.stack import StackedParameters

GPU = torch.device("cuda:0")
_READ = torch.ops.aten._local_scalar_dense.default
_COPIES = ("aten::_to_copy", "aten::copy_", "aten::to")


class Refused(AssertionError):
    """What a GPU cannot do, or has to wait for."""


class FakeGpu(TorchDispatchMode):
    """Runs kernels of the host as they are, and those of the GPU for their shapes.

    Attributes:
        fetched: how often values came to the host, by `transfer.fetch`.
        sent: how often they were sent.
        captured: how many graphs there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shapes = FakeTensorMode()
        self.capturing = False
        self.kernels = self.fetched = self.sent = self.captured = 0

    def __torch_dispatch__(
        self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        there = any(isinstance(x, FakeTensor) for x in tensors)
        target = kwargs.get("device")
        if not there and (target is None or torch.device(target).type != "cuda"):
            return kernel(*args, **kwargs)
        self.kernels += 1
        name = kernel._schema.name
        if name == "aten::to":
            target = next((x for x in args if isinstance(x, torch.device)), target)
        if kernel is _READ:
            raise Refused("a value of the GPU is read")
        here = [x for x in tensors if not isinstance(x, FakeTensor)]
        if name in _COPIES:
            to_host = target is not None and torch.device(target).type == "cpu"
            if to_host or (name == "aten::copy_" and here and tensors[0] is here[0]):
                raise Refused("values are copied to the host")
            if here:
                self.sent += 1
                if self.capturing and here[0].ndim:
                    raise Refused("a graph copies from the host")
        elif any(x.ndim for x in here):
            raise Refused(f"{name} has arguments on two devices")
        if name.startswith("aten::_fused_adam"):  # it has no kernel for shapes, and returns nothing
            rate = kwargs["lr"]
            assert not isinstance(rate, Tensor) or (
                rate.device == GPU and rate.dtype == torch.float32
            )
            return None
        args, kwargs = tree_map(self._fake, (args, kwargs))
        with self.shapes:
            return kernel(*args, **kwargs)

    def _fake(self, x: Any) -> Any:
        if isinstance(x, Tensor) and not isinstance(x, FakeTensor):
            return self.shapes.from_tensor(x, static_shapes=True)
        return x

    def fetch(self, tensor: Tensor) -> np.ndarray:
        assert isinstance(tensor, FakeTensor)
        self.fetched += 1
        return np.ones(tuple(tensor.shape), torch.empty(0, dtype=tensor.dtype).numpy().dtype)

    def capture(
        self, function: Callable[[], Any], device: torch.device
    ) -> tuple[Callable[[], None], Any]:
        assert device.type == "cuda"
        assert not self.capturing
        self.capturing = True
        try:
            result = function()
        finally:
            self.capturing = False
        self.captured += 1
        return lambda: None, result


_GUARD = """
#include <c10/core/impl/DeviceGuardImplInterface.h>
C10_REGISTER_GUARD_IMPL(CUDA, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA>)
"""


def load_guard(folder: Path) -> None:
    """Let this process index tensors on CUDA, which torch for CPUs aborts at: compiles for 4 s."""
    source, library = folder / "guard.cpp", folder / "guard.so"
    source.write_text(_GUARD)
    torch_folder = Path(torch.__file__).parent
    options = ["-std=c++20", "-shared", "-fPIC", f"-I{torch_folder / 'include'}"]
    links = [f"-L{torch_folder / 'lib'}", "-lc10"]
    subprocess.run(["g++", *options, str(source), "-o", str(library), *links], check=True)
    torch.ops.load_library(str(library))


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Agents that are built in this context are on a GPU without memory."""
    gpu, begin = FakeGpu(), StackedParameters.__init__

    def stacked(self: Any, module: nn.Module, device: torch.device) -> None:
        for owner in module.modules():  # parameters of the host cannot become views of the GPU
            for name, p in owner._parameters.items():
                assert p is not None
                moved = torch.zeros(p.shape, device=device)
                owner._parameters[name] = nn.Parameter(moved, p.requires_grad)
        begin(self, module, device)

    def gradients(loss: Tensor, of: Any, *_: Any, **__: Any) -> list[Tensor]:
        return [torch.zeros_like(x) for x in of]  # autograd of CUDA is not in torch for CPUs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(Capabilities, "choose_device", classmethod(lambda *_, **__: Choice(GPU)))
        patch.setattr(Capabilities, "check_memory", classmethod(lambda *_, **__: ""))
        patch.setattr(StackedParameters, "__init__", stacked)
        patch.setattr(torch.autograd, "grad", gradients)
        patch.setattr(graphs, "warm_up", lambda function, device: function())
        patch.setattr(graphs, "capture", gpu.capture)
        patch.setattr(transfer, "host_block", lambda size, device: transfer.HostBlock(size))
        patch.setattr(transfer, "fetch", gpu.fetch)
        with torch.no_grad(), gpu:
            yield gpu
