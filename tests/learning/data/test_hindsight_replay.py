"""Goals in hindsight: which step they come from, what they earn, and that seeds stay apart."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlbench.agents import DDPG, DQN, SAC, TD3, TQC, CrossQ
from rlbench.envs.bit_flip import BitFlip
from rlbench.envs.reach import ReachGoal
from rlbench.errors import UserError
from rlbench.learning.data.hindsight_replay import FIELDS, HindsightReplay
from rlbench.learning.data.replay import Field
from rlbench.learning.environments.goals import Goals, has_goals, try_goals
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.rng import RandomStream

ONE = spaces.Box(-1, 10_000, (1,), np.float32)
SPACE = spaces.Dict(achieved_goal=ONE, desired_goal=ONE, observation=ONE)
LANES, STEPS, KEPT = 2, 57, 20  # of each lane; the last that are stored


class Odd(gymnasium.Env[Any, Any]):
    """Pays for goals that are reached; `broken` says how."""

    observation_space, action_space = SPACE, spaces.Discrete(2)

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        if self.broken == "raises":
            raise RuntimeError("no such goal")
        if self.broken == "single":
            return float(achieved[0] == desired[0]) if achieved.shape == (1,) else 7.0
        return (achieved == desired).all(-1) * 1.0

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        return (achieved == desired).all(-1)


def played(strategy: Any, env: Any = Odd, seeds: tuple[int, ...] = (0, 1)) -> Any:
    """A full buffer, and the episode of each step: what step t achieves is t + 1 (lane 0)."""
    fields = {
        **dict.fromkeys(("obs", "next_obs"), Field((3,), np.float32)),
        **dict.fromkeys(("first", "reward", "terminated"), Field((), np.float32)),
        "action": Field((), np.int64),
        **FIELDS,
    }
    replay = HindsightReplay(
        KEPT * LANES + 1, fields, LANES, RandomStream(seeds, "replay", (50,), 4),
        torch.device("cpu"), goals=Goals(SPACE, env), strategy=strategy,
        chosen=RandomStream(seeds, "hindsight", (40,), 4),
    )  # fmt: skip
    lengths = np.array([[4, 7], [9, 30]])[list(seeds)]
    episodes = np.zeros((len(seeds), LANES, STEPS), int)
    for t in range(STEPS):
        now = 100.0 * np.arange(LANES)[None] + t + 1000.0 * np.array(seeds)[:, None]
        obs = np.stack([now, np.full_like(now, -1.0), now], -1)
        next_obs = np.stack([now + 1, np.full_like(now, -1.0), now + 1], -1)
        episodes[..., t] = t // lengths
        replay.add(obs=obs, next_obs=next_obs, first=t % lengths == 0, action=obs[..., 0],
                   reward=np.full(now.shape, 0.5), terminated=np.zeros(now.shape))  # fmt: skip
    return replay, episodes


@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
def test_goals_are_of_the_steps_that_the_strategy_says(strategy: str) -> None:
    replay, episodes = played(strategy)
    seen = set()
    for _ in range(150):
        batch = {name: value.clone() for name, value in replay.sample().items()}
        assert set(batch) == {"obs", "next_obs", "first", "reward", "terminated", "action"}
        assert bool((batch["obs"][:, 40:, 1] == -1).all() & (batch["reward"][:, 40:] == 0.5).all())
        assert torch.equal(batch["obs"][..., 0], batch["action"].float())
        assert torch.equal(batch["obs"][:, :, 1], batch["next_obs"][:, :, 1])
        for row, item in np.ndindex(2, 40):
            lane, t = divmod(int(batch["action"][row, item]) - 1000 * row, 100)
            goal = int(batch["obs"][row, item, 1]) - 1000 * row - 100 * lane - 1  # its step
            own = episodes[row, lane]
            same = [s for s in range(STEPS - KEPT, STEPS) if own[s] == own[t]]
            allowed = {
                "future": [s for s in same if s >= t], "final": same[-1:], "episode": same
            }[strategy]  # fmt: skip
            assert goal in allowed
            seen.add((row, lane, t, goal))
            reached = goal == t
            assert batch["reward"][row, item] == batch["terminated"][row, item] == reached
    every = [
        (row, lane, t, s)
        for row, lane in np.ndindex(2, LANES)
        for t in range(STEPS - KEPT, STEPS)
        for s in range(STEPS - KEPT, STEPS)
        if episodes[row, lane, s] == episodes[row, lane, t]
    ]
    ends = [e for e in every if (*e[:3], e[3] + 1) not in every]
    possible = {"future": [e for e in every if e[3] >= e[2]], "final": ends, "episode": every}
    there = set(possible[strategy])
    assert len(seen & there) > 0.95 * len(there) > 0


def test_seeds_keep_to_themselves() -> None:
    both, alone = played("future")[0], played("future", seeds=(1,))[0]
    for _ in range(9):
        mine, its = both.sample(), alone.sample()
        assert all(torch.equal(mine[name][1], its[name][0]) for name in mine)


def test_methods_that_take_one_goal_are_called_for_each() -> None:
    many, single = played("future")[0], played("future", lambda: Odd("single"))[0]
    for _ in range(5):
        mine, its = many.sample(), single.sample()
        assert torch.equal(mine["reward"], its["reward"])
    assert many.goals.batched["compute_reward"] is True
    assert single.goals.batched["compute_reward"] is False


def test_what_it_raises_is_said_in_one_line() -> None:
    with pytest.raises(UserError, match=r"^compute_reward of Odd raised RuntimeError: no such"):
        played("future", lambda: Odd("raises"))[0].sample()


def test_it_is_for_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlbench.learning.hardware.graphs.used", lambda device: True)
    with pytest.raises(UserError, match="rewards on the CPU: use --device cpu"):
        DQN(BitFlip, her=True, device="cpu")
    monkeypatch.undo()
    assert DQN(BitFlip, her=True, device="auto").device.type == "cpu"


def test_goals_need_a_method() -> None:
    assert has_goals(BitFlip())
    assert not has_goals(Blind())


class Blind(BitFlip):
    compute_reward: Any = None


class Pictured(Odd):
    observation_space = spaces.Dict(
        achieved_goal=ONE, desired_goal=ONE, observation=spaces.Box(0, 255, (9, 9, 3), np.uint8)
    )


class Uneven(BitFlip):
    def __init__(self) -> None:
        super().__init__()
        parts = dict(self.observation_space.spaces)  # type: ignore[attr-defined]
        self.observation_space = spaces.Dict({**parts, "achieved_goal": spaces.MultiBinary(3)})


class Barred(BitFlip):
    def action_masks(self) -> Any:
        return np.ones(10)


class Paying(BitFlip):
    """Rewards are what the class says."""

    paid: Any = 0.0

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return self.paid


@pytest.mark.parametrize(
    ("paid", "found"),
    [(None, "None"), (np.nan, "nan"), ("yes", "'yes'"), (np.zeros(3), r"an array of shape \(3,\)")],
)
def test_rewards_that_are_no_numbers_are_refused_before_training(paid: Any, found: str) -> None:
    kind = type("Strange", (Paying,), {"paid": paid})
    message = f"^compute_reward of Strange must return a number for each goal, not {found}$"
    with pytest.raises(UserError, match=message):
        try_goals(EnvSource(kind))
    try_goals(EnvSource(Paying))
    try_goals(EnvSource(BitFlip))
    ending = type("Ending", (Paying,), {"compute_terminated": lambda *_: None})
    with pytest.raises(UserError, match="compute_terminated of Ending must return a number"):
        try_goals(EnvSource(ending))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("CartPole-v1", {}), r"dqn: her=true needs a goal environment.*, with observations of"),
        ((Pictured, {}), r"needs a goal environment of vectors.* Here are images: leave it out"),
        ((Blind, {}), r"needs a goal environment.*Here is no such method: leave it out"),
        ((Uneven, {}), r"Here the two goals are not Box or MultiBinary of one shape: leave"),
        ((Barred, {}), r"Here are action masks, which action_masks=false leaves out"),
        ((BitFlip, {"n_steps": 2}), r"her=true replays single transitions.*leave n_steps=2 out"),
        ((BitFlip, {"gamma": 0.0}), r"leave gamma=0.0 out"),
        ((BitFlip, {"encoder": "gru"}), r"leave encoder=gru out"),
        ((BitFlip, {"prioritized": True}), r"leave prioritized=True out"),
        ((BitFlip, {"goal_selection_strategy": "past"}), r"goal_selection_strategy=past"),
    ],
)
def test_what_it_cannot_do_is_refused(given: tuple[Any, dict[str, Any]], message: str) -> None:
    env, parameters = given
    with pytest.raises(UserError, match=message):
        DQN(env, her=True, **parameters)


@pytest.mark.parametrize("kind", [DQN, SAC, TD3, DDPG, TQC, CrossQ])
def test_agents_learn_alike_alone_and_in_company(kind: Any) -> None:
    env = BitFlip if kind is DQN else ReachGoal
    small = {"net_arch": (8,), "learning_starts": 20, "batch_size": 10, "buffer_size": 60}

    def weights(*seeds: int, her: bool = True) -> torch.Tensor:
        agent = kind(env, seeds=seeds, her=her, n_envs=2, **small)
        agent.set_horizon(60)
        lanes = agent.lanes()
        obs = lanes.reset()
        for _ in range(30):
            agent.observe(lanes.step(agent.act(obs)))
            obs = lanes.obs
        return agent.learner.stack.data.clone()

    both = weights(3, 7)
    assert torch.equal(weights(7)[0], both[1])
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(weights(7, her=False)[0], both[1])


@pytest.mark.slow
def test_it_turns_bits_where_rewards_alone_do_not() -> None:
    env = BitFlip()

    def score(her: bool) -> float:
        policy = DQN(BitFlip, seeds=1, her=her).learn(20_000, eval_freq=0).policy()
        total = 0.0
        for seed in range(50):
            obs, over = env.reset(seed=seed)[0], False
            while not over:
                action = int(policy.predict(obs, deterministic=True)[0])
                obs, reward, terminated, truncated, _ = env.step(action)
                total, over = total + reward / 50, terminated or truncated
        return total

    assert score(True) > -6.0 > -9.0 > score(False)
