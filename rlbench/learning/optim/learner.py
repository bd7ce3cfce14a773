"""Gradient descent on an objective: the stacked network, its optimiser, its learning rate."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from pydantic import Field as field
from pydantic import model_validator
from torch import Tensor, nn

from rlbench.config import Float
from rlbench.errors import UserError
from rlbench.learning.compile import CompiledUpdate, compile_update
from rlbench.learning.hardware import transfer
from rlbench.learning.hardware.precision import Precision, forward, products, widened
from rlbench.learning.networks.encoders import EncoderConfig, parse
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.optim.optimizers import OPTIMIZERS
from rlbench.learning.row_values import Rows, RowValues

Rule = Literal["adam", "adamw", "rmsprop", "sgd", "momentum"]

Metrics = Mapping[str, Tensor | float]  # logged: values (S,) by name of a column
Aux = dict[str, Tensor]  # for the agent alone: priorities, log-probabilities, hidden states

# An objective takes tensors by name, and returns the loss (S,), its metrics and, if any, its aux.
Objective = Callable[..., tuple[Tensor, Metrics] | tuple[Tensor, Metrics, Aux]]


class StepResult(NamedTuple):
    """What an objective returned besides its loss, without gradients."""

    metrics: Metrics
    aux: Aux


class LearnerConfig(EncoderConfig):
    """Parameters of gradient descent."""

    beta1: ClassVar[float] = 0.9  # of adam and adamw: what is kept of the mean gradient

    learning_rate: Float = field(5e-4, gt=0, description="step size of the optimiser")
    lr_schedule: Literal["constant", "linear", "cosine"] = field(
        "constant", description="linear, cosine: falls to 0 at the last step"
    )
    optimizer: Rule = field("adam", description="update rule")
    weight_decay: Float = field(0.0, ge=0, description="L2 penalty (decoupled for adamw)")
    max_grad_norm: Float | None = field(
        10.0, gt=0, description="largest gradient norm of a seed; none: no clipping"
    )
    compile: bool = field(
        False,
        description="fuse the kernels of an update by torch's compiler: takes seconds at first, "
        "then makes updates faster, and rounds differently",
    )
    record: bool = field(
        True,
        description="repeat an update from a recording of its kernels, once that pays: faster, and "
        "the same numbers. false: for objectives of your own that read what changes",
    )
    precision: Precision = field(
        "float32",
        description="of products in updates on a GPU. tf32: factors of 10 bits, bf16: of 7; "
        "faster, and the numbers are others",
    )
    normalize_obs: bool = field(
        False, description="observations minus running mean, over running deviation (vectors)"
    )

    @model_validator(mode="after")
    def _compilable(self) -> Self:
        if self.compile:
            if not self.record:
                raise UserError("compile=true compiles a recording: leave out record=false")
            static, cell = parse(self.encoder)
            if cell is not None:
                raise UserError(
                    f"compile=true is not for encoder={self.encoder}: memories have gradients of "
                    "their own, which torch's compiler refuses. Leave compile out"
                )
            if self.dropout or ":" in static:
                raise UserError(
                    "compile=true would freeze what dropout and modules of your own draw: leave it "
                    "out"
                )
            if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
                raise UserError("compile=true needs a C++ compiler (g++ or clang++) on the PATH")
        return self


class Learner:
    """A network whose parameters are one matrix, and the optimiser that updates it."""

    warm_up = True  # False: updates are traced at their first call
    whole = False  # True: a step is part of an update that is captured as a whole

    def __init__(
        self,
        network: nn.Module,
        config: LearnerConfig,
        device: torch.device,
        eps: float | None = None,
        by_row: RowValues | None = None,
    ) -> None:
        """Stack a network's parameters; `by_row` has what differs between its rows, if anything."""
        self.network: Any = network
        self.config = config
        self.stack = StackedParameters(network, device)
        self.by_row = by_row or RowValues([config], device)
        decay = self.by_row.value("weight_decay")
        if decay and len(self.stack.learned) < len(self.stack.parameters):
            raise UserError(
                "weight_decay would move parameters of the encoder that are frozen or unused: set "
                "it to 0"
            )
        rule = OPTIMIZERS[config.optimizer]
        self.samples = 0  # per seed, in all updates
        self.seconds = 0.0  # of all updates
        self.programs: dict[Objective, CompiledUpdate] = {}
        self.aux_names: dict[Objective, dict[str, None]] = {}
        self.optimizer = rule(self.stack.data, self.stack.grad, decay, eps)
        self.optimizer.beta1 = config.beta1

    def rate(self, progress: float) -> Rows:
        """Learning rate at this share of the horizon, from 0 to 1."""
        factor = {
            "constant": 1.0,
            "linear": 1.0 - progress,
            "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),  # Loshchilov & Hutter 2017
        }
        return self.by_row.each(lambda c: c.learning_rate * factor[c.lr_schedule])

    def step(
        self, objective: Objective, rate: Rows | Tensor, samples: int, **tensors: Tensor
    ) -> StepResult:
        """Take one step of every seed along the gradient of its loss, a mean over `samples`.

        `objective(**tensors)` returns the loss (S,), metrics and aux; these two are returned. Of
        what changes it reads parameters and these tensors only: pass a coefficient of a schedule as
        a tensor (as `ppo` does `clip`). A number that changes ends recording, with a warning;
        `learning/compile` describes when it is detected.
        """
        begun = time.perf_counter()
        program = self.programs.get(objective)
        if program is None:
            program = self.programs[objective] = self._program(objective)
        results = program.function(**tensors) if self.whole else program(**tensors)
        self.samples += samples
        self.optimizer.step(rate)
        self.seconds += time.perf_counter() - begun
        aux = {name: results.pop(name) for name in self.aux_names[objective]}
        return StepResult(results, aux)

    def compilations(self) -> list[dict[str, float]]:
        """Seconds that compiling took, and an update before and after it."""
        return [each for program in self.programs.values() for each in program.compilations]

    def _program(self, objective: Objective) -> CompiledUpdate:
        aux_names = self.aux_names[objective] = {}

        def gradient(**tensors: Tensor) -> dict[str, Tensor]:
            kind, device = self.config.precision, self.stack.data.device
            with products(kind, device):
                with forward(kind, device) if kind == "bf16" else nullcontext():
                    loss, metrics, *rest = objective(**tensors)
                aux: Aux = rest[0] if rest else {}
                aux_names.update(dict.fromkeys(aux))
                self.stack.backward(loss, self.by_row.tensor("max_grad_norm", 2))
            results: dict[str, Any] = {**metrics, **aux}
            return {name: widened(tensor.detach()) for name, tensor in results.items()}

        # Modules with random numbers, and a user's own, may differ between calls.
        untraced = "" if self.config.record else "record=false"
        if self.network.drawing():
            untraced = "the network has dropout or a module of your own, which may draw numbers"
        owner = getattr(objective, "__self__", self)  # of a method
        owners = [self] if owner is self else [self, owner]
        return compile_update(
            gradient,
            untraced=untraced,
            compiled=self.config.compile,
            owners=owners,
            warm_up=self.warm_up,
        )

    def broken(self, loss: Any) -> dict[int, str]:
        """Indices of seeds whose weights or last loss (S,) are not finite, with the reason."""
        finite = self.stack.finite()
        if loss is not None:
            finite &= torch.isfinite(torch.as_tensor(loss)).to(finite.device)
        diverged = [index for index, ok in enumerate(transfer.fetch(finite)) if not ok]
        return dict.fromkeys(diverged, "loss or weights became NaN or infinite")

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {
            "weights": self.stack.data,
            "optimizer": self.optimizer.state(),
            "samples": self.samples,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.stack.data.copy_(torch.as_tensor(state["weights"]))
        self.samples = state.get("samples", 0)  # not in older files
        self.optimizer.restore(state["optimizer"])

    @staticmethod
    def copies(config: LearnerConfig) -> int:
        """Number of matrices of a learner: weights, gradients and moments."""
        return 2 + len(OPTIMIZERS[config.optimizer].moments)
