"""Agents of two methods: a class that knows nothing of rlbench, one object a seed."""

from __future__ import annotations

import collections
import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import here, process, run_folder, tables
from lockstep import differences, rows_of, state_of
from pages import DOCS, blocks
from probes import Forever, Rooms

from rlbench import registry
from rlbench.learning import checkpoint
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.peers.two_methods import adapted

SHORT = ["--seeds", 2, "-n", 400, "--final-episodes", 5, "--eval-freq", 0, "--no-floor", "-q"]


class Net:
    """A network of torch that explores by torch's global generator, with a replay memory."""

    def __init__(
        self, observation_space: Any, action_space: Any, seed: int, rate: float = 0.01
    ) -> None:
        self.action_space = action_space
        self.net = torch.nn.Linear(observation_space.shape[0], int(action_space.n))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate)
        self.memory: Any = collections.deque(maxlen=20)
        self.visits: Any = collections.defaultdict(int)
        self.rng = np.random.default_rng(seed)

    def values(self, obs: Any) -> torch.Tensor:
        return self.net(torch.as_tensor(obs, dtype=torch.float32))

    def act(self, obs: Any, explore: bool) -> Any:
        if explore and torch.empty(()).uniform_() < 0.3:
            return self.action_space.sample()
        with torch.no_grad():
            return int(self.values(obs).argmax()) + int(self.action_space.start)

    def observe(self, *step: Any) -> dict[str, float]:
        self.memory.append(step)
        self.visits[bool(step[1]), 1] += 1
        obs, action, reward, after, terminated, _ = self.memory[self.rng.integers(len(self.memory))]
        following = 0.0 if terminated else self.values(after).max().detach()
        value = self.values(obs)[int(action) - int(self.action_space.start)]
        loss = (value - reward - 0.9 * following) ** 2
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"train/loss": float(loss.detach())}


def trained(seeds: Any, steps: int = 60) -> tuple[Any, list[Any]]:
    agent = adapted(Net)("CartPole-v1", seeds=seeds)
    agent.set_horizon(steps)
    trainer = Trainer(agent, TrainingSchedule(steps, 20, 2, 3))
    rows = list(trainer.rows())
    trainer.close()
    return agent, rows


def test_a_seed_alone_is_what_it_is_beside_others() -> None:
    """Global draws of torch too; evaluation, done or not, changes nothing."""
    both, rows = trained([3, 5])
    alone, own = trained([5])
    assert differences(state_of(both, 5), state_of(alone, 5)) == []
    assert rows_of(rows, 5) == rows_of(own, 5)
    other, _ = trained([3])
    assert differences(state_of(other, 3), state_of(alone, 5)) != []
    quiet = adapted(Net)("CartPole-v1", seeds=[5]).learn(60, eval_freq=0)
    assert differences(state_of(quiet, 5), state_of(alone, 5)) == []


def test_it_is_saved_and_goes_on(tmp_path: Path) -> None:
    """Networks, optimisers, memories and generators; the rest of training is the same."""
    agent = adapted(Net)("CartPole-v1", seeds=2).learn(40)
    file = agent.save(tmp_path / "net.npz")
    again = adapted(Net).load(file, "CartPole-v1")
    obs = np.array([0.1, 0.2, 0.0, -0.1], np.float32)
    for each in (agent, again):
        each.learn(30)
        each.policy(seed=1).predict(obs)
    assert differences(checkpoint.load(agent.save(tmp_path / "a.npz")),
                       checkpoint.load(again.save(tmp_path / "b.npz"))) == []  # fmt: skip
    assert again.each[0].agent.visits.default_factory is int
    assert again.each[0].agent.memory.maxlen == 20


class Fitted:
    """Rooms need action 1; values of Forever bootstrap. Observations are what is said."""

    def __init__(self, observation_space: Any, action_space: Any, seed: int) -> None:
        self.value, self.seen = 0.0, 0

    def act(self, obs: Any, explore: bool) -> int:
        self.seen = int(np.ravel(obs)[0])
        return 1

    def observe(
        self, obs: Any, action: int, reward: float, next_obs: Any, ended: bool, cut: bool
    ) -> None:
        self.value += 0.1 * (reward + 0.8 * self.value * (not ended) - self.value)


def test_observations_and_ends_are_the_environments() -> None:
    """Rooms are observed as 3 to 6, and a clock does not end the value."""
    rooms = adapted(Fitted)(Rooms)
    rooms.learn(3)
    assert rooms.each[0].agent.seen == 5
    with pytest.raises(Exception, match="is not in"):
        adapted(Fitted)(Forever).learn(3)  # it has one action only, 0


class Stateful(Fitted):
    def __init__(self, observation_space: Any, action_space: Any, seed: int) -> None:
        super().__init__(observation_space, action_space, seed)
        self.count = 0

    def act(self, obs: Any, explore: bool) -> int:
        self.count += 1
        return 1


def test_evaluation_plays_copies() -> None:
    agent = adapted(Stateful)(Rooms).learn(8, eval_freq=4)
    assert agent.each[0].agent.count == 8


OPAQUE = """
from collections import namedtuple
from q_table import QTable

Point = namedtuple("Point", "x")

class Opaque(QTable):
    def __init__(self, observation_space, action_space, seed):
        super().__init__(observation_space, action_space, seed)
        self.steps = [Point(0)]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's agent, and one that keeps what cannot be saved."""
    texts = {block.file: block.text for block in blocks((DOCS / "how_to/own_agent.md").read_text())}
    (tmp_path / "q_table.py").write_text(texts["q_table.py"], encoding="utf-8")
    (tmp_path / "opaque.py").write_text(OPAQUE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_page_s_agent_runs_in_a_process_and_in_a_suite(folder: Path) -> None:
    """In processes of its own, with a parameter; the same rows as in this process."""
    (folder / "mine.toml").write_text(
        'name = "mine"\nseeds = 2\nagents = ["random"]\nfinal_episodes = 5\neval_freq = 0\n'
        '[variant.few]\nagents = ["q_table:QTable"]\nbins = 5\n'
        '[[env]]\nid = "CartPole-v1"\nsteps = 400\n',
        encoding="utf-8",
    )
    suite = process("bench", "mine.toml", "--trust", "--jobs", 2, "-q", "--out", "a", cwd=folder)
    assert suite.returncode == 0, suite.stderr
    assert (folder / "a/benches/mine/report.html").exists()
    args = ["q_table:QTable", "--env", "CartPole-v1", "-p", "bins=5", *SHORT, "--out", "b"]
    assert here("run", *args) == 0
    one, other = (run_folder(folder / out, "q_table_QTable") for out in ("a", "b"))
    assert tables(one) == tables(other)
    assert tables(one)["metrics"]
    record = json.loads((one / "run.json").read_text())
    assert record["config"] == {"bins": 5, "step_size": 0.2, "gamma": 0.99, "epsilon": 0.1}
    again = process("eval", one, "--trust", cwd=folder)
    assert "equal to the recorded" in again.stdout, again.stderr


def test_what_cannot_be_saved_trains_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("run", "opaque:Opaque", "--env", "CartPole-v1", *SHORT) == 0
    capsys.readouterr()
    assert here("eval", run_folder(folder / "results", "opaque_Opaque"), "--trust") == 2
    assert "was not saved: steps[...] is a Point" in capsys.readouterr().err


BAD = {
    "Few": "def act(self, obs): ...\n    def observe(self, *step): ...",
    "Bare": "def act(self, obs, explore): ...\n    def observe(self, *step): ...",
    "Needy": "def __init__(self, observation_space, action_space, seed, size): ...\n"
             "    def act(self, obs, explore): ...\n    def observe(self, *step): ...",
}  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["few:Few", "--env", "CartPole-v1"], "has act(obs, explore) and observe("),
        (["few:Bare", "--env", "CartPole-v1"], "must be made by Bare(observation_space, "),
        (["few:Needy", "--env", "CartPole-v1"], "its parameter size needs a default"),
        (["q_table:QTable", "--env", "CartPole-v1", "-p", "bin=3"], "Did you mean 'bins'?"),
        (["q_table:QTable", "--env", "CartPole-v1", "--n-envs", "2"], "leave out --n-envs"),
        (["q_table:QTable", "--env", "CartPole-v1", "--device", "cuda"], "leave out --device"),
        (["q_table:QTable", "--env", "probes:Mixed"], "add --wrap FlattenObservation"),
    ],
)
def test_what_does_not_fit_is_one_line(
    folder: Path, args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "".join(f"class {name}:\n    {body}\n" for name, body in BAD.items())
    (folder / "few.py").write_text(text, encoding="utf-8")
    assert here("run", *args, "-q") == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    if "FlattenObservation" in message:
        assert here("run", *args, "--wrap", "FlattenObservation", *SHORT) == 0


class Shared(Fitted):
    def act(self, obs: Any, explore: bool) -> int:
        return int(np.random.rand() * 0 + random.random() * 0) + 1  # noqa: NPY002


def test_generators_that_seeds_share_are_refused() -> None:
    with pytest.raises(Exception, match="draws from numpy's global generator"):
        adapted(Shared)(Rooms).learn(8)


def test_parameters_travel_between_processes() -> None:
    config = adapted(Net).Config.build("net", {"rate": 0.5})
    assert pickle.loads(pickle.dumps(config)) == config
    assert registry._agent(Net, "it") is adapted(Net)
