"""Rows of different settings are what each is alone, bit for bit on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import torch
from lockstep import comparable, differences, kept
from worlds import World

from rlbench import registry
from rlbench.agents import A2C, DQN, IQN, PPO, PQN, SAC, TD3, Clone, Rainbow, Reinforce, Supervised
from rlbench.errors import UserError
from rlbench.learning import checkpoint
from rlbench.learning.row_parameters import PARAMETERS, differs_by_row, group_key
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Episode, Evaluation, Heartbeat, Metric, Row, SeedEnded

SEEDS = (12, 11)  # all train in company; the second one is compared with itself alone
REPLAY = {"learning_starts": 8, "batch_size": 9, "buffer_size": 40, "net_arch": (8,)}
GENERAL = {"learning_rate": 3e-3, "lr_schedule": "linear", "weight_decay": 0.01,
           "max_grad_norm": 0.05, "gamma": 0.5}  # fmt: skip
EXPLORE = {"exploration_initial_eps": 0.5, "exploration_final_eps": 0.4,
           "exploration_fraction": 0.4}  # fmt: skip
PRIORITY = {"prioritized_alpha": 1.5, "prioritized_beta": 0.9, "prioritized_eps": 0.3}
ROLLOUT = {**GENERAL, "gae_lambda": 0.6, "vf_coef": 1.5, "ent_coef": 0.2}
CLIP = {"clip_range": 0.01, "clip_range_vf": 0.003, "clip_schedule": "linear"}
TARGET = {"tau": 0.3, "target_update_interval": 14}


class Case(NamedTuple):
    """An agent whose settings differ from the first one in one of `others` each."""

    kind: Any
    env: Any
    base: dict[str, Any]
    others: dict[str, Any]
    steps: int = 48

    def settings(self) -> list[dict[str, Any]]:
        return [{}, *({name: value} for name, value in self.others.items())]


BOX = partial(World, "vector", "box6")
CASES = {
    "dqn": Case(
        DQN,
        "CartPole-v1",
        {**REPLAY, "learning_rate": 1e-2, "max_grad_norm": 0.2, "prioritized": True,
         "target_update_interval": 10, "n_steps": 2, "exploration_fraction": 0.9, "train_freq": 2},
        {**GENERAL, **EXPLORE, **PRIORITY, **TARGET},
    ),
    "rainbow": Case(
        Rainbow,
        World,
        {**REPLAY, "learning_rate": 1e-2, "n_atoms": 5, "target_update_interval": 10,
         "normalize_obs": True, "optimizer": "adamw", "train_freq": 2},
        {**GENERAL, **PRIORITY, **TARGET, "noisy_sigma": 0.9},
        36,
    ),
    "ppo": Case(
        PPO,
        BOX,
        {"n_envs": 2, "n_steps": 6, "batch_size": 7, "n_epochs": 3, "net_arch": (8,),
         "learning_rate": 1e-2, "clip_range_vf": 0.001, "normalize_reward": True},
        {**ROLLOUT, **CLIP, "log_std_init": -1.0},
    ),
    "a2c": Case(A2C, World, {"net_arch": (8,), "learning_rate": 1e-2}, ROLLOUT),
    "pqn": Case(
        PQN,
        "CartPole-v1",
        {"n_envs": 2, "n_steps": 6, "batch_size": 7, "net_arch": (8,), "learning_rate": 1e-2,
         "normalize_reward": True, "max_grad_norm": 0.2, "exploration_fraction": 0.5},
        {**GENERAL, "exploration_initial_eps": 0.3, "exploration_final_eps": 0.9,
         "exploration_fraction": 1.0, "lr_schedule": "constant", "q_lambda": 0.4},
    ),
    "sac": Case(
        SAC,
        BOX,
        {**REPLAY, "learning_rate": 1e-2, "noise_type": "ornstein-uhlenbeck", "tau": 0.2,
         "max_grad_norm": 0.2, "n_steps": 2},
        {**GENERAL, "tau": 0.7, "noise_std": 0.5, "ent_coef": "auto_0.3", "target_entropy": -3},
        30,
    ),
    "td3": Case(
        TD3,
        BOX,
        {**REPLAY, "learning_rate": 1e-2, "tau": 0.2, "max_grad_norm": 0.2},
        {**GENERAL, "tau": 0.7, "noise_std": 0.5, "target_policy_noise": 0.5,
         "target_noise_clip": 0.1},
        30,
    ),
    "supervised": Case(
        Supervised,
        "rlbench/Classify-Digits-v0",
        {"net_arch": (8,), "batch_size": 16, "learning_rate": 1e-2, "max_grad_norm": 0.2},
        {name: value for name, value in GENERAL.items() if name != "gamma"},
        64,
    ),
}  # fmt: skip
QUICK = {name: case for name, case in CASES.items() if name not in ("td3", "supervised")}
WIDE = {
    "dqn lstm": Case(
        DQN,
        World,
        {**REPLAY, "encoder": "lstm", "hidden_size": 6, "sequence_length": 3, "burn_in": 1,
         "n_steps": 2, "learning_rate": 1e-2, "prioritized": True, "optimizer": "rmsprop",
         "target_update_interval": 10, "max_grad_norm": 0.2, "exploration_fraction": 0.9},
        CASES["dqn"].others,
    ),
    "dqn sgd": CASES["dqn"]._replace(base={**CASES["dqn"].base, "optimizer": "sgd"}),
    "dqn momentum": CASES["dqn"]._replace(base={**CASES["dqn"].base, "optimizer": "momentum"}),
    "iqn": Case(IQN, World, {**REPLAY, "iqn_embedding": 8, "learning_rate": 1e-2,
                             "target_update_interval": 10, "max_grad_norm": 0.2,
                             "exploration_fraction": 0.9, "train_freq": 2},
                {**GENERAL, **EXPLORE, "tau": 0.3}),
    "ppo lstm": Case(PPO, World, {"n_envs": 2, "n_steps": 6, "batch_size": 6, "net_arch": (8,),
                                  "encoder": "lstm", "hidden_size": 6, "sequence_length": 3,
                                  "learning_rate": 1e-2, "clip_range_vf": 0.001},
                     {**ROLLOUT, **CLIP}),
    "reinforce": CASES["a2c"]._replace(kind=Reinforce,
                                       base={"n_steps": 12, "net_arch": (8,), "n_envs": 2,
                                             "learning_rate": 1e-2}),
    "sac fixed": CASES["sac"]._replace(base={**CASES["sac"].base, "ent_coef": 0.1},
                                       others={**GENERAL, "tau": 0.7, "ent_coef": 0.4}),
    "sac lstm": CASES["sac"]._replace(base={**CASES["sac"].base, "encoder": "lstm",
                                            "hidden_size": 6, "sequence_length": 3, "burn_in": 1}),
    "td3 gru": CASES["td3"]._replace(base={**CASES["td3"].base, "encoder": "gru",
                                           "hidden_size": 6, "sequence_length": 3, "burn_in": 1}),
}  # fmt: skip


def build(
    case: Case, seeds: Any, steps: int, recorded: bool = False, **more: Any
) -> tuple[Any, Trainer]:
    """An agent and its trainer; `recorded` traces updates at their first call."""
    agent = case.kind(case.env, seeds=seeds, device="cpu", **{**case.base, **more})
    for learner in agent.learners():
        learner.warm_up = not recorded
    agent.set_horizon(steps)
    plan = TrainingSchedule(steps, steps // 2, 2, 0, log_points=6)
    return agent, Trainer(agent, plan)


def state_of(agent: Any, row: int = 0) -> Any:
    """Everything that training of a row depends on; metrics as numbers, however they are held."""
    state = dict(checkpoint.select(agent.state(), [row]))
    state["metrics"] = {name: float(value) for name, value in state["metrics"].items()}
    return state


def rows_of(rows: list[Row], seed: int, setting: int) -> list[Any]:
    chosen = [row for row in rows if kept(row)]
    return [
        comparable(row)._replace(setting=0)  # type: ignore[call-arg]
        for row in chosen
        if (row.seed, row.setting) == (seed, setting)  # type: ignore[union-attr]
    ]


@functools.cache
def alone(name: str, setting: int) -> tuple[Any, list[Any]]:
    """State and rows of one setting on the second seed in an agent of its own, never recorded."""
    seed = SEEDS[1]
    case = {**CASES, **WIDE}[name]
    agent, trainer = build(case, [seed], case.steps, **case.settings()[setting])
    rows = list(trainer.rows())
    trainer.close()
    return state_of(agent), rows_of(rows, seed, 0)


def check_company(name: str, recorded: bool) -> Any:
    """Train all settings of a case in company, and compare each row with itself alone."""
    case = {**CASES, **WIDE}[name]
    agent, trainer = build(case, SEEDS, case.steps, recorded, settings=case.settings())
    rows = list(trainer.rows())
    trainer.close()
    programs = [each for learner in agent.learners() for each in learner.programs.values()]
    assert programs
    assert not any(each.untraced for each in programs)
    assert all(bool(each.recordings) == recorded for each in programs)
    for setting, values in enumerate(case.settings()):
        [row] = agent.row(SEEDS[1], setting)
        state, expected = alone(name, setting)
        assert not differences(state_of(agent, row), state), values
        assert rows_of(rows, SEEDS[1], setting) == expected, values
    return agent


@pytest.mark.parametrize("recorded", [False, True], ids=["unrecorded", "recorded"])
@pytest.mark.parametrize("name", QUICK)
def test_a_row_is_what_its_setting_is_alone(name: str, recorded: bool) -> None:
    agent = check_company(name, recorded)
    # A parameter that is ignored would leave the weights of its row as they are in the first one.
    [first] = agent.row(SEEDS[1], 0)
    for number, setting in enumerate({**CASES, **WIDE}[name].settings()[1:], 1):
        [row] = agent.row(SEEDS[1], number)
        data = [learner.stack.data for learner in agent.learners()]
        assert not all(torch.equal(each[row], each[first]) for each in data), setting


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [False, True], ids=["unrecorded", "recorded"])
@pytest.mark.parametrize("name", ["td3", "supervised", *WIDE])
def test_a_row_is_what_its_setting_is_alone_wide(name: str, recorded: bool) -> None:
    test_a_row_is_what_its_setting_is_alone(name, recorded)


@pytest.mark.slow
def test_clones_of_different_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = DQN("CartPole-v1", seeds=2, device="cpu").save(tmp_path / "teacher.npz")
    base = {"source": str(file), "n_envs": 2, "n_steps": 6, "batch_size": 7, "net_arch": (8,),
            "learning_rate": 1e-2, "max_grad_norm": 0.2}  # fmt: skip
    others = {name: value for name, value in GENERAL.items() if name != "gamma"}
    monkeypatch.setitem(WIDE, "clone", Case(Clone, "CartPole-v1", base, others))
    for recorded in (False, True):
        test_a_row_is_what_its_setting_is_alone("clone", recorded)


@pytest.mark.parametrize("name", ["dqn", "ppo", "sac"])
def test_swapped_values_are_noticed(name: str) -> None:
    """The comparison above fails where two rows have each other's values."""
    case = CASES[name]
    first, second = case.settings()[1:3]
    agent, trainer = build(case, SEEDS, case.steps, settings=[second, first])
    list(trainer.rows())
    for setting in (0, 1):
        state = state_of(agent, agent.row(SEEDS[1], setting)[0])
        assert differences(state, alone(name, setting + 1)[0])
        assert not differences(state, alone(name, 2 - setting)[0])


@pytest.mark.parametrize(
    "name", ["dqn", "ppo", "sac", pytest.param("supervised", marks=pytest.mark.slow)]
)
def test_settings_are_dropped_and_training_stops_and_goes_on(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    settings = case.settings()[:4]
    rows: list[Row] = []
    agent, trainer = build(case, SEEDS, case.steps, settings=settings)
    running: Any = trainer.rows()
    for row in running:
        rows.append(row)
        if isinstance(row, Evaluation) and row.step == case.steps // 2 and row.setting == 3:
            trainer.drop([1])
        if isinstance(row, Heartbeat) and row.can_checkpoint and len(agent.seeds) == 6:
            break
    running.close()
    file = checkpoint.save(tmp_path / "state.npz", trainer.state())
    trainer.close()
    assert [row.setting for row in rows if isinstance(row, SeedEnded)] == [1, 1]
    assert all(row.status == "dropped" for row in rows if isinstance(row, SeedEnded))

    again, trainer = build(case, SEEDS, case.steps, settings=settings)
    trainer.restore(checkpoint.load(file))
    assert again.setting_of == (0, 0, 2, 2, 3, 3)
    assert again.seeds == SEEDS * 3
    rows += trainer.rows()
    trainer.close()
    for setting in (0, 2, 3):
        state, expected = alone(name, setting)
        assert not differences(state_of(again, again.row(SEEDS[1], setting)[0]), state)
        assert rows_of(rows, SEEDS[1], setting) == expected
    with pytest.raises(UserError, match="no setting 1, it has"):
        again.row(11, 1)


def test_all_settings_may_be_dropped() -> None:
    case = CASES["a2c"]
    agent, trainer = build(case, SEEDS, case.steps, settings=case.settings()[:2])
    ends = []
    for row in trainer.rows():
        trainer.drop([0, 1])
        ends += [row] if isinstance(row, SeedEnded) else []
    trainer.close()
    assert [(end.seed, end.setting, end.status) for end in ends] == [
        (seed, setting, "dropped") for setting in (0, 1) for seed in SEEDS
    ]
    assert agent.seeds == agent.setting_of == ()


def test_a_saved_agent_keeps_its_settings(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [{"gamma": 0.5}, {"tau": 0.3}, {"learning_rate": 1e-3}]
    agent, trainer = build(CASES["dqn"], SEEDS, 40, settings=settings)
    list(trainer.rows())
    agent.keep_seeds([0, 2, 3, 5])
    file = agent.save(tmp_path / "agent.npz")
    loaded = DQN.load(file, "CartPole-v1", device="cpu")
    assert (loaded.seeds, loaded.setting_of) == ((12, 12, 11, 11), (0, 1, 1, 2))
    assert not differences(loaded.state(), agent.state())
    one = DQN.load(file, "CartPole-v1", setting=1, device="cpu")
    assert one.seeds == SEEDS
    assert one.config.tau == 0.3
    assert one.config.gamma == 0.99
    assert one.settings == ()
    assert "settings" not in repr(one)
    assert torch.equal(one.learner.stack.data, agent.learner.stack.data[1:3])
    with pytest.raises(UserError, match="no setting 3, it has"):
        DQN.load(file, setting=3)
    with pytest.raises(UserError, match="seed 12 and setting 2, but not together"):
        DQN.load(file, seed=12, setting=2)


def test_policies_of_settings() -> None:
    settings: list[dict[str, Any]] = [{"exploration_final_eps": each} for each in (0.1, 0.4)]
    agent, trainer = build(CASES["dqn"], SEEDS, 40, settings=settings)
    list(trainer.rows())
    for seed in SEEDS:
        for setting in (0, 1):
            policy = agent.policy(seed=seed, setting=setting)
            single, trainer = build(CASES["dqn"], [seed], 40, **settings[setting])
            list(trainer.rows())
            obs = agent.lanes().obs[0]
            assert policy.predict(obs)[0].tolist() == single.policy().predict(obs)[0].tolist()
            assert policy.randomness() == single.policy().randomness()
    assert agent.policy(setting=1).seeds == SEEDS
    assert agent.policy().seeds == SEEDS * 2
    assert "probability 0.1 to 0.4" in agent.policy().randomness()
    assert repr(agent) == "<DQN on CartPole-v1, seeds (12, 11) of 2 settings, 40 of 40 steps>"
    with pytest.raises(UserError, match=r"policy\(seed=12, setting=0\)"):
        agent.predict(obs[0])
    with pytest.raises(UserError, match=r"no setting 2, it has \[0, 1\]"):
        agent.policy(setting=2)


def test_the_shared_configuration_refuses_what_differs() -> None:
    """A subclass that reads one number for all rows would train the first row's."""
    agent = DQN("CartPole-v1", device="cpu", settings=[{"gamma": 0.5}, {"gamma": 0.9}])
    assert agent.config.batch_size == 64
    with pytest.raises(UserError, match="gamma differs between the rows"):
        print(agent.config.gamma)
    assert agent.by_row.tensor("gamma", 3).shape == (2, 1, 1)
    assert agent.by_row.tensor("tau", 3) == 1.0
    agent.keep_seeds([1])
    assert agent.config.gamma == 0.9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "settings is empty"),
        ({"gamma": 0.9}, "settings must be a list of parameters"),
        ([0.9], "settings must be a list of parameters"),
        ([{"gama": 0.9}], r"settings\[0\]: dqn has no parameter 'gama'"),
        ([{}, {"gamma": 2}], r"settings\[1\]: dqn: gamma=2"),
        ([{}, {"batch_size": 32}], r"settings differ in batch_size \(64 and 32\)"),
        ([{}, {"gamma": 0}], "gamma=0.99 and gamma=0.0 are different programs"),
        ([{}, {"max_grad_norm": None}], "max_grad_norm=None are different programs"),
    ],
)
def test_mistakes_are_told(settings: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        DQN("CartPole-v1", device="cpu", settings=settings)


def test_settings_are_for_cpus_and_for_agents_that_take_them() -> None:
    with pytest.raises(UserError, match="on a CPU, not on cuda"):
        DQN("CartPole-v1", device="cuda", settings=[{}])
    with pytest.raises(UserError, match="random takes no settings"):
        registry.agent_class("random")("CartPole-v1", settings=[{}])


def test_one_setting_is_an_ordinary_agent() -> None:
    agent = DQN("CartPole-v1", device="cpu", seeds=2, settings=[{"gamma": 0.5}])
    assert agent.config.gamma == 0.5
    assert agent.seeds == (0, 1)
    assert isinstance(agent.by_row.tensor("gamma", 2), float)


def test_settings_of_one_program_have_the_same_key() -> None:
    build: Callable[..., Any] = partial(DQN.Config.build, "dqn")
    key = group_key(build({}))
    assert key == group_key(build({"learning_rate": 0.1, "gamma": 0.9, "tau": 0.5}))
    for other in ({"batch_size": 8}, {"gamma": 0.0}, {"max_grad_norm": None}, {"encoder": "lstm"}):
        assert key != group_key(build(other))


def _numeric(annotation: Any) -> bool:
    parts = get_args(annotation)
    return annotation in (int, float) or any(map(_numeric, parts))


def test_every_number_is_declared() -> None:
    for name in registry.agents():
        for field, info in registry.agent_class(name).Config.model_fields.items():
            declared = field in PARAMETERS
            assert declared or not _numeric(info.annotation), f"{name}: {field} is not declared"


@pytest.mark.parametrize("name", CASES)
def test_every_declared_parameter_is_tested(name: str) -> None:
    fields = set(CASES[name].kind.Config.model_fields)
    ignored = {"rainbow": set(EXPLORE), "a2c": {"log_std_init"}, "dqn": {"noisy_sigma"}}
    expected = {field for field in fields if differs_by_row(field)} - ignored.get(name, set())
    assert set(CASES[name].others) == expected


def test_the_last_field_of_every_row_is_its_setting() -> None:
    """Files of runs have all fields but the last one."""
    for kind in (Evaluation, Episode, Metric, SeedEnded):
        assert kind._fields[-1] == "setting"
