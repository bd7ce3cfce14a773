"""Whether a device computes what the CPU does: every agent and encoder, from the same batches.

An agent on the CPU takes steps on random observations, and what each of its updates learned from is
noted. Others, on the device, take the same steps and the same updates, so that only rounding can
differ: with captured updates, with eager ones, one seed alone, stopped and resumed half-way, with a
seed that diverges. The difference is that of parameters, in 2-norm, over how far they have moved.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gpu_runner import Emit, Measurement, Place, failure
from gymnasium import spaces
from torch import Tensor, nn

from rlbench import agents
from rlbench.learning import checkpoint
from rlbench.learning.core.device_trial import random_observations, random_steps
from rlbench.learning.data import recorded_episodes
from rlbench.learning.data.recorded_episodes import RecordedEpisodes
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec

SEEDS, ALONE, BROKEN = (0, 1, 2), 1, 1  # the rows that train alone and that diverge
UPDATES = 20  # of each learner
# Where batches were changed by 1e-6 of themselves, differences were 2e-4 at most; by 1e-3, as TF32
# rounds, 2e-3 and more wherever there are convolutions. IQN's loss bends at every quantile: 6e-3.
BOUND, BOUND_OF_IQN = 1e-3, 2e-2
RATE = 1e-4  # small: rounding is not blown up, as where a value passes a bend or an argmax
HORIZON = 10_000  # steps that schedules run over


class Own(nn.Module):
    """A user's encoder, without random numbers."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        self.layer = nn.Linear(int(np.prod(space.shape)), 16)

    def forward(self, obs: Tensor) -> Tensor:
        """Return features of observations."""
        return self.layer(obs).tanh()


def _image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def _vector(width: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (width,), np.float32)


OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "vector": _vector(5),
    "number": spaces.Discrete(6),
    "image": _image(10, 10, 2),
    "frame": _image(84, 84),
    "tiny frame": _image(36, 36),
    "mixed": spaces.Dict({"look": _image(8, 8, 1), "kind": spaces.Discrete(3), "pose": _vector(2)}),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "one": spaces.Discrete(4),
    "some": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(3),
    "box": spaces.Box(-2.0, 4.0, (3,), np.float32),
}


class Case(NamedTuple):
    """An agent with its observations, actions and parameters."""

    agent: str  # class
    obs: str
    action: str = "one"
    parameters: dict[str, Any] = {}
    n_envs: int = 2
    env: str = ""  # in place of observations and actions
    bound: float = BOUND


_ARCH: dict[str, Any] = {"net_arch": (64, 64)}
_BUFFER: dict[str, Any] = {"learning_starts": 40, "batch_size": 32, "buffer_size": 200}
_REPLAY: dict[str, Any] = {**_BUFFER, "target_update_interval": 8}
_DQN: dict[str, Any] = {**_ARCH, **_REPLAY, "train_freq": 2}
_SEQUENCES: dict[str, Any] = {**_BUFFER, "sequence_length": 4, "burn_in": 1, "batch_size": 32}
_ROLLOUT: dict[str, Any] = {"n_steps": 8}
_MINIBATCH: dict[str, Any] = {**_ROLLOUT, "batch_size": 8, "n_epochs": 2}
CASES: dict[str, Case] = {
    "dqn mlp": Case("DQN", "vector", parameters=_DQN),
    "dqn layer_norm": Case("DQN", "number", parameters={**_DQN, "layer_norm": True, "n_steps": 3}),
    "dqn own module": Case("DQN", "vector", parameters={**_REPLAY, "encoder": Own}),
    "dqn cnn": Case("DQN", "image", parameters={**_REPLAY, "frame_stack": 2}),
    "dqn nature": Case("DQN", "frame", parameters={
        **_REPLAY, "cnn": "nature",
        "frame_stack": 4, "batch_size": 8, "learning_starts": 30}),
    "double-dqn": Case("DoubleDQN", "mixed", parameters=_REPLAY),
    "dueling-dqn": Case("DuelingDQN", "vector", parameters=_DQN),
    "per-dqn": Case("PERDQN", "vector", parameters=_DQN),
    "c51": Case("C51", "vector", parameters=_DQN),
    "qr-dqn": Case("QRDQN", "vector", parameters=_DQN),
    "iqn": Case("IQN", "vector", parameters=_DQN, bound=BOUND_OF_IQN),
    "rainbow": Case("Rainbow", "image", parameters=_REPLAY),
    "drqn lstm": Case("DRQN", "vector", parameters=_SEQUENCES),
    "dqn gru": Case("DQN", "mixed", parameters={**_SEQUENCES, "encoder": "gru"}),
    "ppo mlp": Case("PPO", "vector", "box", {**_MINIBATCH, **_ARCH, "normalize_obs": True}),
    "ppo nature": Case("PPO", "frame", parameters={
        **_MINIBATCH, "cnn": "nature", "frame_stack": 4}),
    "ppo lstm": Case("PPO", "vector", "one", {**_MINIBATCH, "encoder": "lstm"}),
    "ppo cnn+gru": Case("PPO", "image", "bits", {**_MINIBATCH, "encoder": "cnn+gru"}),
    "ppo attention": Case("PPO", "vector", "one", {
        **_MINIBATCH, "encoder": "attention", "attention_window": 5, "num_layers": 2}),
    "dqn attention": Case("DQN", "vector", parameters={
        **_SEQUENCES, "encoder": "attention", "attention_window": 5}),
    "a2c rnn": Case("A2C", "mixed", "some", {**_ROLLOUT, "encoder": "rnn"}),
    "reinforce": Case("Reinforce", "vector", "one", {**_ROLLOUT, "normalize_reward": True}),
    "pqn": Case("PQN", "vector", "one", {**_MINIBATCH, **_ARCH}),
    "sac mlp": Case("SAC", "vector", "box", {**_BUFFER, **_ARCH}),
    "sac gru": Case("SAC", "vector", "box", {**_SEQUENCES, "encoder": "gru"}),
    "td3 mlp": Case("TD3", "vector", "box", {**_BUFFER, **_ARCH}),
    "td3 cnn": Case("TD3", "image", "box", _BUFFER),
    "tqc mlp": Case("TQC", "vector", "box", {**_BUFFER, **_ARCH}),
    "crossq mlp": Case("CrossQ", "vector", "box", {**_BUFFER, **_ARCH}),
    "ddpg mlp": Case("DDPG", "vector", "box", {**_BUFFER, **_ARCH}),
    "td3-bc mlp": Case("TD3BC", "vector", "box", n_envs=1, parameters={
        **_ARCH, "batch_size": 32, "source": "minari:invented-v0"}),
    "supervised cnn": Case("Supervised", "", env="rlbench/Classify-Digits-v0", n_envs=16,
                           parameters={"batch_size": 16}),
    "supervised lstm": Case("Supervised", "", env="rlbench/Rows-Digits-v0", n_envs=16,
                            parameters={"batch_size": 16, "encoder": "lstm"}),
    "supervised-online": Case("SupervisedOnline", "", env="rlbench/Classify-Digits-v0", n_envs=1),
    "supervised-bandit": Case("SupervisedBandit", "", env="rlbench/Classify-Digits-v0", n_envs=16,
                              parameters={"batch_size": 16}),
    "hybrid gru": Case("Hybrid", "", env="rlbench/Glimpse-Digits-v0", n_envs=16,
                       parameters={**_MINIBATCH, "encoder": "gru", "n_steps": 8}),
    "clone": Case("Clone", "vector", "one", {"n_steps": 16, "batch_size": 8, "n_epochs": 2}),
}  # fmt: skip


def tiny(case: Case) -> Case:
    """The same with small networks and batches; a network whose widths are given keeps none."""
    small: dict[str, Any] = {"net_arch": (8,), "head_arch": (), "hidden_size": 8, "n_steps": 4,
                             "batch_size": 4, "learning_starts": 16, "n_atoms": 5}  # fmt: skip
    parameters = dict(case.parameters)
    fields = getattr(agents, case.agent).Config.model_fields
    for name, value in small.items():
        if name in fields and (name in parameters or name in ("net_arch", "hidden_size")):
            parameters[name] = value
    if case.env:
        case = case._replace(n_envs=parameters.get("batch_size", case.n_envs))
    obs = "tiny frame" if case.obs == "frame" else case.obs
    return case._replace(obs=obs, parameters={**parameters})


def make(case: Case, device: str, rows: Sequence[int] = range(len(SEEDS)), **more: Any) -> Any:
    """An agent of a case for the seeds in these rows."""
    given: dict[str, Any] = {"env": case.env} if case.env else {
        "observation_space": OBSERVATIONS[case.obs], "action_space": ACTIONS[case.action],
    }  # fmt: skip
    agent = getattr(agents, case.agent)(
        **given, seeds=[SEEDS[row] for row in rows], n_envs=case.n_envs, device=device,
        **{"learning_rate": RATE, **case.parameters, **more},
    )  # fmt: skip
    for learner in agent.learners():
        learner.warm_up = False  # what is captured is so from the first update on
    agent.set_horizon(HORIZON)
    return agent


class Update(NamedTuple):
    """What one call of `learner.step` was given."""

    learner: int
    tensors: dict[str, Tensor]


class Noted(NamedTuple):
    """Training on the CPU: steps, updates, how many updates preceded each step, and weights."""

    steps: list[Step]
    updates: list[Update]
    before: list[int]
    first: list[np.ndarray]  # parameters of each learner at the beginning,
    last: list[np.ndarray]  # and at the end

    def half(self) -> int:
        """Return the step before which nearest to half of the updates were taken, and not all."""
        count = len(self.updates)
        return min(self.between(), key=lambda i: abs(2 * self.before[i] - count))

    def between(self) -> list[int]:
        """Return the steps before which some updates were taken, and after which some are."""
        return [i for i, before in enumerate(self.before) if 0 < before < len(self.updates)]


def weights(agent: Any) -> list[np.ndarray]:
    """Parameters (S, P) of each learner."""
    return [learner.stack.data.detach().cpu().numpy().copy() for learner in agent.learners()]


def note(agent: Any, updates: int) -> Noted:
    """Train until learners have taken so many updates, in more than one step; note what happens."""
    noted = Noted([], [], [], weights(agent), [])
    for i, learner in enumerate(agent.learners()):
        learner.step = _noting(learner.step, i, noted.updates)
    source = random_steps(agent)
    most = updates * len(agent.learners())
    while len(noted.updates) < most or not noted.between():
        step = next(source)
        step = Step(*map(_copied, step._replace(action=agent.act(step.obs))))
        noted.before.append(len(noted.updates))
        noted.steps.append(step)
        agent.observe(step)
    noted.last.extend(weights(agent))
    return noted


def _copied(part: Any) -> Any:
    return part.copy() if isinstance(part, np.ndarray) else part


def _noting(step: Callable[..., Any], number: int, updates: list[Update]) -> Callable[..., Any]:
    def noting(objective: Any, rate: Any, samples: int, **tensors: Tensor) -> Any:
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        updates.append(Update(number, copies))
        return step(objective, rate, samples, **tensors)

    return noting


class Follower:
    """An agent that takes noted steps and updates, for some of the seeds.

    Where whole updates are captured, with their sampling, the batches are its own: the same, as
    they are drawn by the same streams from the same steps.
    """

    def __init__(self, agent: Any, noted: Noted, rows: Sequence[int], bound: float = BOUND) -> None:
        self.agent, self.noted, self.rows, self.bound = agent, noted, list(rows), bound
        for i, learner in enumerate(agent.learners()):
            if not whole(agent):
                learner.step = self._following(learner.step, i)

    def taken(self) -> int:
        """Return the number of updates so far."""
        return sum(learner.optimizer.updates for learner in self.agent.learners())

    def _following(self, step: Callable[..., Any], number: int) -> Callable[..., Any]:
        def following(objective: Any, rate: Any, samples: int, **own: Tensor) -> Any:
            update = self.noted.updates[self.taken()]
            if update.learner != number or update.tensors.keys() != own.keys():
                raise RuntimeError(f"update {self.taken()} is another one: {own.keys()}")
            return step(objective, rate, samples, **{
                name: self._here(tensor, own[name]) for name, tensor in update.tensors.items()
            })  # fmt: skip

        return following

    def _here(self, tensor: Tensor, own: Tensor) -> Tensor:
        chosen = tensor
        if tensor.ndim:  # (S, ...), or (S x networks, ...) of critics side by side
            chosen = tensor.unflatten(0, (len(SEEDS), -1))[self.rows].flatten(0, 1)
        if chosen.shape != own.shape or chosen.dtype != own.dtype:
            raise RuntimeError(f"a batch has {own.shape} {own.dtype}, on the CPU {chosen.shape}")
        # In the layout of its own, which captured updates depend on.
        return torch.empty_like(own).copy_(chosen)

    def take(self, begin: int = 0, end: int | None = None) -> Follower:
        """Take the noted steps from one to another, by default all."""
        for i in range(begin, len(self.noted.steps) if end is None else end):
            step = self.noted.steps[i].rows(self.rows)
            if self.taken() != self.noted.before[i]:
                raise RuntimeError(
                    f"{self.taken()} updates were taken before step {i}, and "
                    f"{self.noted.before[i]} on the CPU"
                )
            self.agent.act(step.obs)
            self.agent.observe(step)
        return self

    def difference(self) -> dict[str, Any]:
        """How far its parameters are from those on the CPU, and whether that is within bounds."""
        return compared(weights(self.agent), [own[self.rows] for own in self.noted.last],
                        [own[self.rows] for own in self.noted.first], self.bound)  # fmt: skip


def compared(
    here: Sequence[np.ndarray],
    there: Sequence[np.ndarray],
    first: Sequence[np.ndarray],
    bound: float = BOUND,
) -> dict[str, Any]:
    """Largest difference of a seed and learner, over the way moved; and of one parameter."""
    worst, single = 0.0, 0.0
    for a, b, start in zip(here, there, first, strict=True):
        moved = np.linalg.norm((b - start).astype(np.float64), axis=-1)
        apart = np.linalg.norm((a - b).astype(np.float64), axis=-1)
        if not (moved > 0).all():
            raise RuntimeError("a network did not move")
        worst = max(worst, float(np.nan_to_num(apart / moved, nan=np.inf).max()))
        single = max(single, float(np.abs(a - b).max() / np.abs(b).max()))
    return {"difference": worst, "largest of one": single, "bound": bound, "right": worst <= bound}


def whole(agent: Any) -> bool:
    """Whether updates are captured as a whole, sampling and optimisers included."""
    return any(getattr(learner, "whole", False) for learner in agent.learners())


def captured(agent: Any) -> bool:
    """Whether all its updates are replayed: as whole graphs, or their gradients from a trace."""
    if whole(agent):
        return bool(agent.updates.graphs.captured)
    programs = [p for learner in agent.learners() for p in learner.programs.values()]
    return all(not program.untraced and program.recordings for program in programs)


def check(name: str, emit: Emit, place: Place) -> None:
    """All checks of one case, a line each; those that fail do not stop the others."""
    with tempfile.TemporaryDirectory() as folder:
        case = tiny(CASES[name]) if place.smoke else CASES[name]
        if case.agent == "Clone":
            case = case._replace(parameters={**case.parameters, "source": _teacher(case, folder)})
        if case.agent == "TD3BC":
            vars(recorded_episodes)["read"] = _invented
        checks = Checks(case, place, Path(folder))
        for what in ("captured", "eager", "alone", "resumed", "loaded", "cut"):
            try:
                emit(check=what, **getattr(checks, what)())
            except Exception as error:
                emit(check=what, **failure(error))


def _teacher(case: Case, folder: str) -> str:
    taught = case._replace(agent="DQN", parameters={"buffer_size": 10})
    return str(make(taught, "cpu").save(Path(folder) / "teacher.npz"))


def _invented(_: str, spec: ObsSpec, space: Any) -> RecordedEpisodes:
    """Make a recorded episode of random numbers, so that no data set is needed."""
    rng, steps = np.random.default_rng(0), 200
    obs = random_observations(spec, (1, steps + 1), rng)[0]
    action = rng.uniform(space.low, space.high, (steps, *space.shape)).astype(np.float32)
    over = np.arange(steps) == steps - 1
    reward = rng.standard_normal(steps).astype(np.float32)
    return RecordedEpisodes(obs, np.arange(steps), action, reward, over, ~over & over,
                            np.array([steps]))  # fmt: skip


class Checks:
    """The checks of one case, against one training on the CPU."""

    def __init__(self, case: Case, place: Place, folder: Path) -> None:
        self.case, self.device, self.folder = case, place.device, folder
        self.as_captured: list[np.ndarray] = []
        self.noted = note(make(case, "cpu"), 2 if place.smoke else UPDATES)
        self.half = self.noted.half()
        # Tracing takes most of the time at tiny size: there `captured` alone does.
        self.usual = {"record": False} if place.smoke else {}

    def _follower(self, rows: Sequence[int] = range(len(SEEDS)), **more: Any) -> Follower:
        more = {**self.usual, **more}
        return Follower(
            make(self.case, self.device, rows, **more), self.noted, rows, self.case.bound
        )

    def captured(self) -> dict[str, Any]:
        """Updates as they are repeated: on a GPU as one graph."""
        follower = self._follower(record=True).take()
        self.as_captured = weights(follower.agent)
        return {**follower.difference(), "captured": captured(follower.agent)}

    def eager(self) -> dict[str, Any]:
        """Updates by autograd, kernel by kernel; also against those that are captured."""
        follower = self._follower(record=False).take()
        found = {**follower.difference(), "captured": captured(follower.agent)}
        between = compared(
            self.as_captured, weights(follower.agent), self.noted.first, self.case.bound
        )
        right = found["right"] and between["right"]
        return {**found, "from captured": between["difference"], "right": right}

    def alone(self) -> dict[str, Any]:
        """One seed without the others, against itself in company."""
        return self._follower([ALONE]).take().difference()

    def resumed(self) -> dict[str, Any]:
        """Stopped half-way, written to a file, and gone on with."""
        first = self._follower().take(0, self.half)
        file = checkpoint.save(self.folder / "half.npz", first.agent.state())
        second = self._follower()
        second.agent.restore(checkpoint.load(file))
        return second.take(self.half).difference()

    def loaded(self) -> dict[str, Any]:
        """Saved there and loaded on the CPU, and the other way: parameters, actions, an update."""
        follower = self._follower().take(0, self.half)
        kind = type(follower.agent)
        env = self.case.env or None
        there = kind.load(follower.agent.save(self.folder / "a.npz"), env, device="cpu")
        back = kind.load(there.save(self.folder / "b.npz"), env, device=self.device)
        same = all(
            np.array_equal(a, b) and np.array_equal(a, c)
            for a, b, c in zip(*map(weights, (follower.agent, there, back)), strict=True)
        )
        acted, other = (np.asarray(_acted(agent, self.noted.steps[0].obs), np.float64)
                        for agent in (there, back))  # fmt: skip
        alike = float(np.isclose(acted, other, rtol=1e-3, atol=1e-3).mean())
        going_on = Follower(back, self.noted, range(len(SEEDS)), self.case.bound)
        going_on.take(self.half)
        return {**going_on.difference(), "same weights": same, "same actions": alike}

    def cut(self) -> dict[str, Any]:
        """A seed gets NaN half-way and is cut out; the others go on as if nothing had been."""
        rows = [row for row in range(len(SEEDS)) if row != BROKEN]
        first = self._follower().take(0, self.half)
        agent = first.agent
        agent.learner.stack.data[BROKEN] = float("nan")
        found = sorted(agent.diverged())
        if found != [BROKEN]:
            raise RuntimeError(f"rows {found} diverged, not {BROKEN}")
        agent.keep_seeds(rows)
        for learner in agent.learners():
            learner.warm_up = False
        second = Follower(agent, self.noted, rows, self.case.bound)
        return second.take(self.half).difference()


def _acted(agent: Any, obs: np.ndarray) -> Any:
    """Greedy actions of the first seed in its lanes."""
    policy = agent.policy(seed=agent.seeds[0])
    return policy.act(obs[:1], np.ones(obs[:1].shape[:2], bool))


def measurements() -> list[Measurement]:
    """A measurement for each case."""

    def bound(name: str) -> Callable[[Emit, Place], None]:
        return lambda emit, place: check(name, emit, place)

    return [Measurement(f"right/{name}", bound(name), seconds=60.0, beside=True) for name in CASES]
