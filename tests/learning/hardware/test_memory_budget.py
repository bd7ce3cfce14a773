"""Sizes that no machine has: refused in one line with the bytes, before anything is built."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from commands import here
from gymnasium import spaces
from lockstep import make
from worlds import World

from rlbench.agents import C51, DQN, IQN, PPO, PQN, QRDQN, SAC, Rainbow
from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware import memory_budget

LARGE = "1000000000000"
CART, PENDULUM = ["--env", "CartPole-v1"], ["--env", "Pendulum-v1"]
DIGITS = ["--env", "rlbench/Classify-Digits-v0"]


def sized(agent: str, env: list[str], *parameters: str, more: Any = ()) -> list[str]:
    return [agent, *env, *(arg for p in parameters for arg in ("-p", p)), *more]


ABSURD = [
    sized("dqn", CART, "net_arch=1000000,1000000"),
    sized("dqn", CART, "net_arch=10000000000,10000000000"),
    sized("dqn", CART, f"net_arch={10**30}"),
    sized("dqn", CART, f"head_arch={LARGE},{LARGE}"),
    sized("dqn", CART, f"batch_size={LARGE}"),
    sized("dqn", CART, f"buffer_size={LARGE}"),
    sized("dqn", CART, f"buffer_size={10**30}"),
    sized("dqn", CART, f"n_steps={LARGE}", f"buffer_size={LARGE}"),
    sized("dqn", CART, f"n_steps={LARGE}"),
    sized("dqn", CART, f"frame_stack={LARGE}"),
    sized("dqn", CART, f"frame_stack={10**30}"),
    sized("dqn", CART, "encoder=lstm", f"hidden_size={LARGE}"),
    sized("dqn", CART, "encoder=gru", "hidden_size=1000000"),
    sized("dqn", CART, "encoder=gru", f"hidden_size={LARGE}", "memory_horizon=9"),
    sized("dqn", CART, "encoder=lstm", f"sequence_length={LARGE}", f"batch_size={LARGE}"),
    sized("dqn", CART, "encoder=lstm", f"burn_in={LARGE}"),
    sized("dqn", CART, "encoder=attention", f"attention_window={LARGE}"),
    sized("ppo", CART, "encoder=attention", f"hidden_size={4 * LARGE}"),
    sized("dqn", CART, "noisy=true", "net_arch=1000000,1000000"),
    sized("dqn", CART, "layer_norm=true", f"net_arch={LARGE}"),
    sized("dqn", CART, "prioritized=true", f"buffer_size={LARGE}"),
    sized("c51", CART, f"n_atoms={LARGE}"),
    sized("qr-dqn", CART, f"n_quantiles={LARGE}"),
    sized("iqn", CART, f"iqn_samples={LARGE}"),
    sized("iqn", CART, f"iqn_target_samples={LARGE}"),
    sized("iqn", CART, f"iqn_acting_samples={LARGE}"),
    sized("iqn", CART, f"iqn_embedding={LARGE}"),
    sized("dqn", ["--env", "rlbench/Catch-v0"], f"frame_stack={LARGE}"),
    sized("dqn", CART, more=["--n-envs", LARGE]),
    sized("dqn", CART, "net_arch=4096,4096", more=["--seeds", "100000"]),
    sized("dqn", CART, more=["--eval-episodes", LARGE]),
    sized("random", CART, more=["--n-envs", LARGE]),
    sized("ppo", CART, f"n_steps={LARGE}"),
    sized("ppo", CART, "net_arch=1000000,1000000", "ortho_init=true"),
    sized("ppo", CART, more=["--n-envs", LARGE]),
    sized("a2c", CART, f"n_steps={LARGE}", "encoder=rnn"),
    sized("reinforce", CART, f"frame_stack={LARGE}"),
    sized("pqn", CART, f"n_steps={LARGE}"),
    sized("pqn", CART, f"head_arch={LARGE}"),
    sized("sac", PENDULUM, f"batch_size={LARGE}"),
    sized("sac", PENDULUM, f"n_critics={LARGE}"),
    sized("td3", PENDULUM, f"buffer_size={LARGE}"),
    sized("td3", PENDULUM, "net_arch=1000000,1000000"),
    sized("supervised", DIGITS, f"batch_size={LARGE}"),
    sized("supervised", DIGITS, "net_arch=1000000,1000000"),
    sized("sb3-dqn", CART, "net_arch=1000000,1000000"),
    sized("sb3-dqn", CART, f"batch_size={LARGE}"),
    sized("sb3-qrdqn", CART, f"n_quantiles={LARGE}"),
    sized("sb3-ppo", CART, f"net_arch={LARGE}"),
    sized("sb3-ppo", CART, f"n_steps={LARGE}"),
    sized("sb3-sac", PENDULUM, f"net_arch={LARGE}"),
]


@pytest.mark.parametrize("args", ABSURD, ids=lambda args: " ".join(args[::2])[:60])
def test_absurd_sizes_are_refused(
    args: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, in no time (imports on a busy machine apart), and nothing is
    written."""
    begun = time.perf_counter()
    assert here("run", *args, "--no-preset", "-n", "100", "--out", tmp_path) == 2
    assert time.perf_counter() - begun < 20
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "would take" in error or "is too small for" in error or "is more than" in error
    assert not list(tmp_path.iterdir())


MADE: list[tuple[Any, dict[str, Any]]] = [
    (DQN, {"layer_norm": True, "dueling": True, "head_arch": (5, 3)}),
    (DQN, {"encoder": "lstm", "hidden_size": 6, "memory_horizon": 5}),
    (Rainbow, {"n_atoms": 5, "encoder": "gru"}),
    (DQN, {"encoder": "attention", "hidden_size": 6, "attention_heads": 2, "num_layers": 2}),
    (C51, {"n_atoms": 7}),
    (QRDQN, {}),
    (IQN, {"iqn_embedding": 9}),
    (PPO, {"ortho_init": True, "encoder": "worlds:Own"}),
    (PQN, {"frame_stack": 3}),
    (SAC, {"n_critics": 3}),
]


@pytest.mark.parametrize(("kind", "given"), MADE)
def test_networks_are_weighed_right(kind: Any, given: dict[str, Any]) -> None:
    """Without being built they have as many parameters as those that are."""
    agent = make(kind, lambda: World("vector", "box" if kind is SAC else "discrete"), 2, **given)
    sizes = agent.config, agent.spec, agent.action_space, 2, agent.n_envs
    told = agent.estimate_bytes(*sizes)["networks"]
    held = sum(sum(p.numel() for p in each.stack.parameters) for each in agent.learners())
    copies = agent.learner.copies(agent.config)
    target = held if kind in (DQN, Rainbow, C51, QRDQN, IQN) else 0
    if kind is SAC:
        target = sum(p.numel() for p in agent.critic_learner.stack.parameters)
    assert told == 4 * (copies * held + target)


def test_nothing_is_drawn_to_weigh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No array is made for a network that is weighed."""
    agent = make(DQN, World, 2)
    monkeypatch.setattr(np, "stack", None)
    sizes = agent.config, agent.spec, agent.action_space, 2, 1
    assert agent.estimate_bytes(*sizes)["networks"]


def test_in_python_too() -> None:
    given: dict[str, Any]
    for given in ({"net_arch": (10**6, 10**6)}, {"n_envs": 10**12}, {"batch_size": 10**12}):
        with pytest.raises(UserError, match=r"would take .* of memory on cpu"):
            DQN("CartPole-v1", device="cpu", **given)


def test_the_largest_part_names_what_to_make_smaller() -> None:
    cases = {"batch_size": "batch_size", "buffer_size": "buffer_size", "n_envs": "n_envs"}
    for name, said in cases.items():
        given: dict[str, Any] = {name: 10**12}
        with pytest.raises(UserError, match=f"or smaller {said}"):
            DQN("CartPole-v1", device="cpu", **given)


MB = 10**6
CACHE = f"anon {50 * MB}\nshmem {10 * MB}\nactive_file {600 * MB}\ninactive_file {300 * MB}\n"
OWN_FILES = f"active_file 1\ninactive_file 2\ntotal_active_file {MB}\ntotal_inactive_file {MB}\n"
GROUPS: dict[str, tuple[str, dict[str, tuple[int | str, int, str]], int | None]] = {
    # /proc/self/cgroup; limit, usage and memory.stat of folders; what is left
    "a container full of page cache": ("0::/\n", {".": (1000 * MB, 990 * MB, CACHE)}, 910 * MB),
    "no limit": ("0::/\n", {".": ("max", 990 * MB, CACHE)}, None),
    "a batch job within a user's limit": (
        "0::/user/job\n",
        {"user": (400 * MB, 100 * MB, "active_file 0\ninactive_file 0\n"),
         "user/job": (900 * MB, 100 * MB, "active_file 0\ninactive_file 0\n")},
        300 * MB,
    ),
    "another's group": ("0::/mine\n", {"other": (MB, 0, CACHE), "mine": ("max", 0, CACHE)}, None),
    "over its limit": (
        "0::/\n", {".": (MB, 3 * MB, "active_file 0\ninactive_file 0\n")}, 0
    ),
    "version 1": (
        "5:cpu:/job\n4:hugetlb,memory:/job\n0::/\n",
        {"memory": (2**63 - 4096, 0, OWN_FILES), "memory/job": (9 * MB, 4 * MB, OWN_FILES)},
        7 * MB,
    ),
    "version 1 in a container, which sees no more than its own": (
        "4:memory:/docker/abc\n", {"memory": (9 * MB, 4 * MB, OWN_FILES)}, 7 * MB
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GROUPS)
def test_limits_of_containers(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The narrowest limit of this process's groups counts, and page cache is free memory."""
    member, folders, left = GROUPS[case]
    (tmp_path / "member").write_text(member)
    for name, (limit, used, stat) in folders.items():
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        first = name.partition("/")[0] == "memory"
        files = ("limit_in_bytes", "usage_in_bytes") if first else ("max", "current")
        for file, value in zip((*files, "stat"), (limit, used, stat), strict=True):
            (folder / f"memory.{file}").write_text(f"{value}\n")
    monkeypatch.setattr(memory_budget, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory_budget, "MEMBERSHIP", tmp_path / "member")
    machine = int(psutil.virtual_memory().available)
    free = memory_budget.available(torch.device("cpu"))
    assert free == left if left is not None else free == pytest.approx(machine, rel=0.2)


def test_a_gpu_holds_what_it_computes_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay, networks and graphs have to fit there, environments and scores on the host."""
    asked: list[str] = []
    room = {"cuda": 10**12, "cpu": 10**12}

    def free(device: torch.device) -> int:
        asked.append(device.type)
        return room[device.type]

    monkeypatch.setattr(memory_budget, "available", free)
    config = DQN.Config.build("dqn", {"batch_size": 4096, "net_arch": (512,), "buffer_size": 9000})
    box = spaces.Box(-1.0, 1.0, (4,))
    sizes = config, ObsSpec.of(box, config), spaces.Discrete(2), 8, 1
    there = DQN.check_memory(*sizes, torch.device("cuda"), 10)
    on_host = DQN.check_memory(*sizes, torch.device("cpu"), 10)
    assert asked == ["cpu", "cuda", "cpu"]
    assert "graphs" in there
    assert "graphs" not in on_host
    room["cuda"] = 1
    with pytest.raises(UserError, match="of memory on cuda"):
        DQN.check_memory(*sizes, torch.device("cuda"))
    room["cuda"], room["cpu"] = 10**12, 1
    with pytest.raises(UserError, match=r"environments .* of memory on cpu"):
        DQN.check_memory(*sizes, torch.device("cuda"))
