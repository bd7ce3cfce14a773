"""Which parameters may differ between rows of one program, and where each is searched.

One table for all agents, since a name means the same in each. A parameter that is not declared here
is structural: it changes shapes, or which kernels an update calls, so settings that differ in it
are programs of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rlbench.errors import UserError


class Parameter(NamedTuple):
    """What is declared of a parameter.

    Attributes:
        by_row: whether rows of one program may differ in it.
        range: values that are searched, as `-s` takes them; empty where nothing is usual.
        usual: whether it is searched where nobody says what to search.
    """

    by_row: bool
    range: str = ""
    usual: bool = False


_ROW, _STRUCTURE = Parameter(True), Parameter(False)

# Those that are usually searched come first, in the order of how much they tend to matter
# (Andrychowicz et al. 2021, Eimer et al. 2023).
PARAMETERS: dict[str, Parameter] = {
    "learning_rate": Parameter(True, "log:1e-5..1e-2", usual=True),
    "gamma": Parameter(True, "lin:0.9..0.999", usual=True),
    "gae_lambda": Parameter(True, "lin:0.8..1.0", usual=True),
    "clip_range": Parameter(True, "lin:0.1..0.4", usual=True),
    "ent_coef": Parameter(True, "log:1e-6..1e-1", usual=True),
    "vf_coef": Parameter(True, "lin:0.2..1.0", usual=True),
    "max_grad_norm": Parameter(True, "log:0.1..10", usual=True),
    "target_update_interval": Parameter(True, "log:10..2000", usual=True),
    "exploration_fraction": Parameter(True, "lin:0.02..0.5", usual=True),
    "exploration_final_eps": Parameter(True, "log:0.005..0.2", usual=True),
    "C": Parameter(False, "log:1e-3..1e3", usual=True),
    "n_neighbors": Parameter(False, "int:1..30", usual=True),
    "n_estimators": Parameter(False, "log:10..500", usual=True),
    # Not searched unless asked for.
    "exploration_initial_eps": Parameter(True, "lin:0.2..1.0"),
    "q_lambda": Parameter(True, "lin:0.5..1.0"),
    "tau": Parameter(True, "log:0.001..1.0"),
    "weight_decay": Parameter(True, "log:1e-6..1e-2"),
    "prioritized_alpha": Parameter(True, "lin:0.0..1.0"),
    "prioritized_beta": Parameter(True, "lin:0.0..1.0"),
    "prioritized_eps": Parameter(True, "log:1e-8..1e-2"),
    "noise_std": Parameter(True, "lin:0.0..0.5"),
    "target_policy_noise": Parameter(True, "lin:0.0..0.5"),
    "target_noise_clip": Parameter(True, "lin:0.1..1.0"),
    "alpha": Parameter(True, "lin:0.5..5.0"),
    "target_entropy": Parameter(True, "lin:-10..0"),
    "clip_range_vf": Parameter(True, "lin:0.1..0.4"),
    "noisy_sigma": Parameter(True, "lin:0.1..1.0"),
    "log_std_init": Parameter(True, "lin:-2.0..0.5"),
    "label_coef": Parameter(True, "log:0.1..10"),
    "lr_schedule": _ROW,
    "clip_schedule": _ROW,
    # Shapes, and which kernels are called how often.
    "net_arch": _STRUCTURE,
    "head_arch": _STRUCTURE,
    "critic_arch": _STRUCTURE,
    "channels": _STRUCTURE,
    "hidden_size": Parameter(False, "log:16..512"),
    "num_layers": Parameter(False, "int:1..3"),
    "top_quantiles_to_drop": Parameter(False, "int:0..5"),
    "cnn_width": Parameter(False, "log:0.25..4.0"),
    "memory_horizon": Parameter(False, "log:4..400"),
    "attention_window": Parameter(False, "log:8..128"),
    "attention_heads": Parameter(False, "2|4|8"),
    "frame_stack": Parameter(False, "int:1..4"),
    "sequence_length": Parameter(False, "log:4..64"),
    "burn_in": Parameter(False, "int:0..16"),
    "batch_size": Parameter(False, "log:16..512"),
    "n_steps": Parameter(False, "log:1..2048"),
    "n_epochs": Parameter(False, "int:1..20"),
    "n_sampled_goal": Parameter(False, "int:1..8"),
    "buffer_size": Parameter(False, "log:1000..1000000"),
    "learning_starts": Parameter(False, "log:100..10000"),
    "train_freq": Parameter(False, "log:1..64"),
    "gradient_steps": Parameter(False, "log:1..64"),
    "policy_delay": Parameter(False, "int:1..4"),
    "renorm_warmup_steps": Parameter(False, "log:100..100000"),
    "n_critics": Parameter(False, "int:1..4"),
    "n_atoms": Parameter(False, "log:11..101"),
    "n_quantiles": Parameter(False, "log:5..200"),
    "iqn_samples": Parameter(False, "log:4..64"),
    "iqn_target_samples": Parameter(False, "log:4..64"),
    "iqn_acting_samples": Parameter(False, "log:8..64"),
    "iqn_embedding": Parameter(False, "log:16..128"),
    # Numbers that a kernel takes as one for all rows.
    "dropout": Parameter(False, "lin:0.0..0.5"),
    "v_min": Parameter(False, "lin:-200..0"),
    "v_max": Parameter(False, "lin:0..200"),
    "kappa": Parameter(False, "lin:0.0..2.0"),
    # Of classical learners.
    "max_iter": _STRUCTURE,
    "max_depth": Parameter(False, "int:1..32"),
    "min_samples_leaf": Parameter(False, "int:1..20"),
}

# Of parameters that may differ: what rows have to agree in, since code branches on it.
_BRANCHES: dict[str, Callable[[Any], Any]] = {
    "gamma": lambda value: value == 0,  # without a future no successors are stored
    "ent_coef": lambda value: isinstance(value, str),  # learned
    "max_grad_norm": lambda value: value is None,
    "clip_range_vf": lambda value: value is None,
}


def differs_by_row(name: str) -> bool:
    """Return whether rows of one program may differ in this parameter."""
    return PARAMETERS.get(name, _STRUCTURE).by_row


def group_key(config: Any) -> tuple[Any, ...]:
    """Return what settings of one program have to agree in: equal for those that go together."""
    key = []
    for name in type(config).model_fields:
        value = getattr(config, name)
        if not differs_by_row(name):
            key.append(value)
        elif name in _BRANCHES:
            key.append(_BRANCHES[name](value))
    return tuple(key)


def check_together(agent: str, configs: Sequence[Any]) -> None:
    """Refuse settings that cannot be rows of one program.

    Raises:
        UserError: They differ in a structural parameter, or in what code branches on.
    """
    first = configs[0]
    for config in configs[1:]:
        for name in type(first).model_fields:
            one, other = getattr(first, name), getattr(config, name)
            if one == other:
                continue
            if not differs_by_row(name):
                raise UserError(
                    f"{agent}: settings differ in {name} ({one} and {other}), which changes the "
                    "program of updates: train these in agents of their own"
                )
            branch = _BRANCHES.get(name)
            if branch is not None and branch(one) != branch(other):
                raise UserError(
                    f"{agent}: settings with {name}={one} and {name}={other} are different "
                    "programs: train these in agents of their own"
                )
