"""Updates traced after a warm-up and replayed as flat lists of kernel calls, without autograd.

Three entry points: `compile_update` makes an update that is traced and replayed; `affine` is a
layer and `unroll` a recurrent cell over T steps, both differentiable. `product`, `tanh`, `mean` and
`row_norm` are their small companions. Nothing else is imported from inside this package, and it
imports nothing of rlbench but `config`. Start reading with `compiled_update.py`.

What can be traced: a function of named tensors that calls the same kernels in the same order every
time. It may read parameters and constants that live as long as the update, and overwrite them. What
cannot:

- reading a tensor's value, or branching on one (`.item()`, `.numpy()`, `if x.sum() > 0`);
- making tensors from numbers or arrays: they would stay as they were in the trace;
- drawing random numbers, as dropout does, and modules of a user's own, which may: learners leave
  these updates untraced;
- numbers of Python that change: the trace holds them as they were. A change is detected (see
  `compiled_update`), and ends replaying with a warning.

On CPUs, traced and untraced updates give the same bits, since both call the kernels in
`dense_kernels` and `recurrent_kernels`, and every rule in `elementwise_rules` and `indexing_rules`
rounds as torch's kernel does. A run may therefore start untraced, be resumed, and go on traced, and
`record=false` changes no number. Torch's own layers, means and norms round otherwise, so untraced
updates do not use them either, although on networks of 64 units they would take half the time.
"""

from rlbench.learning.compile.compiled_update import CompiledUpdate, compile_update
from rlbench.learning.compile.dense_kernels import affine, mean, product, row_norm, tanh
from rlbench.learning.compile.recurrent_kernels import unroll

__all__ = [
    "CompiledUpdate",
    "affine",
    "compile_update",
    "mean",
    "product",
    "row_norm",
    "tanh",
    "unroll",
]
