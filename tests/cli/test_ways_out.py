"""Every way out that an error names is tried: the mistake is refused with it, the way out works.

A new message with advice needs an entry here, in `COMMANDS`, `CALLS` or `ELSEWHERE`.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from advice import FILES, RAISED, World
from commands import ROOT, here, run_folder
from gymnasium import spaces

from rlbench.agents import DQN, PPO, PQN, SAC, SB3DQN, TD3, CrossQ
from rlbench.commands import train
from rlbench.errors import UserError
from rlbench.experiments.preflight import preflight
from rlbench.experiments.suite import loads
from rlbench.reporting.report.tests_and_aggregates import _baseline
from rlbench.storage.run_folder import find_run

TESTS = ROOT / "tests"
HERE = Path(__file__).stem
SHORT = ["--seeds", "1", "-n", "30", "--eval-episodes", "1", "--final-episodes", "1", "-q",
         "--no-floor", "--device", "cpu"]  # fmt: skip
RANDOM = ["run", "random", "--env", "CartPole-v1", *SHORT]
CART = ["run", "dqn", "--env", "CartPole-v1"]
DIGITS = ["run", "dqn", "--env", "rlbench/Classify-Digits-v0"]
PENDULUM, FLIP = "Pendulum-v1", "rlbench/BitFlip-v0"
SCORE = ["eval", "--agent", f"{HERE}:Still", "--env", "CartPole-v1", "--episodes", "1"]
IS_ADVICE = re.compile(
    r": (use|give|choose|leave|name|add|put|make|run|restore|delete|wait|say|call|start|take)\b"
    r"|\b(leave (it )?out|pip install|give)\b|(?<!\w)rlbench (?!reads)[a-z]|(?<!\w)--[a-z]"
)


class Still:
    """An agent of somebody else's."""

    def predict(self, obs: Any, *others: Any, **more: Any) -> Any:
        return np.zeros(len(obs), np.int64), None


class Images(World):
    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.observation_space.sample(), super().reset()[1]


class Dark(Images):
    observation_space = spaces.Box(0, 200, (48, 48, 3), np.uint8)


class Steps(World):
    """Whole numbers in a Box."""

    action_space = spaces.Box(0, 3, (2,), np.int64)


class Several(World):
    action_space = spaces.MultiDiscrete([4, 4])


class Free(World):
    action_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)


class Bound(World):
    action_space = spaces.Box(-1, 1, (2,), np.float32)


class Uncopyable(World):
    def __init__(self) -> None:
        self.handle = sys.stdin

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot copy a handle")


# A part of the message, the mistake, and the ways out: commands. RUN is a finished run of two
# seeds that trained together, OUT the folder it is in.
COMMANDS: list[tuple[str, list[str], list[list[str]]]] = [
    ("(rlbench list runs)", ["eval", "nothing", "--out", "OUT"],
     [["list", "runs", "--out", "OUT"]]),
    ("there is none in {} yet; make one", ["show", "--time", "latest", "--out", "TMP"], [RANDOM]),
    ("(rlbench list agents shows", ["run", "dqm", "--env", "CartPole-v1"], [["list", "agents"]]),
    ("(rlbench --help)", ["rum"], [["--help"]]),
    ("(rlbench list)", ["show", "nothing", "--out", "OUT"],
     [["list", what, "--out", "OUT"] for what in ("agents", "suites", "runs")]),
    ("(rlbench show ", [*CART, "-p", "gama=0.9"], [["show", "dqn"]]),
    ("{}: {} (rlbench show {})", [*CART, "-p", "gamma=2"], [["show", "dqn"]]),
    ("(rlbench list envs shows all", [*CART[:-1], "Cart"], [["list", "envs"]]),
    ("it takes {} (rlbench list wrappers)", [*CART, "--wrap", "TimeLimit:wide=3"],
     [["list", "wrappers"]]),
    ("(rlbench list wrappers shows all", [*CART, "--wrap", "Frame"], [["list", "wrappers"]]),
    ("leave out {}", [*DIGITS, "--eval-episodes", "3"], [DIGITS]),
    ("--seed and --seeds both choose seeds", [*CART, "--seed", "1", "--seeds", "2"],
     [[*CART, "--seed", "1"], [*CART, "--seeds", "2"]]),
    ("--epochs and -n both", [*DIGITS, "--epochs", "1", "-n", "10"],
     [[*DIGITS, "--epochs", "1"], [*DIGITS, "-n", "10"]]),
    ("give -n STEPS", [*CART, "--epochs", "1"], [[*CART, "-n", "100"]]),
    ("--eval-max-steps needs --agent", ["eval", "RUN", "--eval-max-steps", "9"],
     [["eval", "RUN"], [*SCORE, "--eval-max-steps", "9"]]),
    ("--encoder and -p encoder=", [*CART, "--encoder", "gru", "-p", "encoder=mlp"],
     [[*CART, "--encoder", "gru"], [*CART, "-p", "encoder=mlp"]]),
    ("--data and --env-kwargs data=",
     ["run", "dqn", "--env", "rlbench/Classify-v0", "--data", "digits", "--env-kwargs", "data=a"],
     [["run", "dqn", "--env", "rlbench/Classify-v0", "--data", "digits"],
      ["run", "dqn", "--env", "rlbench/Classify-v0", "--env-kwargs", "data=digits"]]),
    ("give a RUN, or both", ["eval"], [["eval", "RUN"], SCORE]),
    ("--env-kwargs needs a RUN", [*SCORE, "--env-kwargs", "gravity=5"],
     [SCORE, ["eval", "RUN", "--env-kwargs", "sutton_barto_reward=true"]]),
    ("give package.module:thing", ["eval", "--agent", HERE, "--env", "CartPole-v1"], [SCORE]),
    ("it has no predict(", ["eval", "--agent", f"{HERE}:World", "--env", "CartPole-v1"], [SCORE]),
    ("(an empty shell variable?): give one, or leave it out", [*CART, "--out", ""],
     [CART, [*CART, "--out", "OUT"]]),
    ("[] is an empty list", [*CART, "-p", "net_arch="], [CART, [*CART, "-p", "net_arch=[]"]]),
    ("give a count (5), a range (0-9) or a list (3,7,11)", [*CART, "--seeds", "few"],
     [[*CART, "--seeds", some] for some in ("5", "0-9", "3,7,11")]),
    ("leave out split=", [*DIGITS, "--env-kwargs", "split=test"], [DIGITS]),
    ("use the option {}", [*CART, "-p", "n_envs=8"], [[*CART, "--n-envs", "8"]]),
    ("this machine has no CUDA", [*CART, "--device", "cuda:7"], [[*CART, "--device", "cpu"]]),
    ("name all of --seeds", [*RANDOM, "--seeds", "0-0", "--again", "--out", "OUT"],
     [[*RANDOM, "--seeds", "0-1", "--again", "--out", "OUT"]]),
    ("has nothing left to do", ["resume", "RUN"],
     [[*RANDOM, "--seeds", "3", "--out", "OUT"]]),
    ("has no randomness here", ["eval", "RUN3", "--stochastic"], [["eval", "RUN3"]]),
    ("leave out --against", ["compare", "RUN", "--against", "OUT", "-o", "TMP/a.png"],
     [["compare", "RUN", "--against", "OUT"], ["compare", "RUN", "-o", "TMP/a.png"]]),
    ("name a results folder, or a run in it", ["compare", "RUN", "--against", "TMP/none"],
     [["compare", "RUN", "--against", "OUT"], ["compare", "RUN", "--against", "RUN"]]),
    ("or make one with `rlbench run`", ["compare", "RUN", "--against", "TMP"],
     [["compare", "RUN", "--against", "OUT"]]),
    ("--{} goes with list {}, not with {}: leave it out",
     ["list", "suites", "--env", "CartPole-v1"],
     [["list", "suites"], ["list", "runs", "--env", "CartPole-v1", "--out", "OUT"]]),
    ("name a run of an agent that has", ["run", "clone", "--env", "CartPole-v1", "--from", "RUN"],
     [["run", "clone", "--env", "CartPole-v1", "--from", "RUN2"]]),
    ("rlbench run clone --env ENV --from RUN", ["run", "clone", "--env", "CartPole-v1"],
     [["run", "clone", "--env", "CartPole-v1", "--from", "RUN2"]]),
    ("has no network to learn from", ["run", "clone", "--env", "CartPole-v1", "--from", "RUN"],
     [["run", "clone", "--env", "CartPole-v1", "--from", "RUN2"]]),
    ("has ended: name a folder that was given", ["compact", "--out", "RUN"],
     [["compact", "--out", "OUT"]]),
    ("(name results, or a bench)", ["report", "TMP/none"],
     [["report", "OUT", "-o", "TMP/a.html"]]),
    ("needs labels: an environment on image data", ["run", "supervised", "--env", "CartPole-v1"],
     [["run", "supervised", *DIGITS[2:]], ["run", "clone", *CART[2:], "--from", "RUN2"]]),
    ("needs a whole image and its label", ["run", "knn", "--env", "CartPole-v1"],
     [["run", "knn", *DIGITS[2:]]]),
    ("or give the path of {}", ["run", "knn", "--env", "rlbench/Classify-v0", "--data", "TMP/no"],
     [["run", "knn", "--env", "rlbench/Classify-v0", "--data", "TMP/own.npz"]]),
    ("goes with a switch of {} that Stable-Baselines3 has not",
     ["run", "sb3-dqn", "--env", "CartPole-v1", "-p", "v_min=3"],
     [["run", "sb3-dqn", "--env", "CartPole-v1"], [*CART, "-p", "v_min=3"]]),
    ("use fewer seeds at once, or smaller", [*CART, "-p", "buffer_size=1e12"],
     [[*CART, "-p", "buffer_size=1000"]]),
    ("take a ratio from", ["run", "dqn", "--env", "rlbench/Imbalanced-Digits-v0", "--env-kwargs",
                           "ratio=1e-9"],
     [["run", "dqn", "--env", "rlbench/Imbalanced-Digits-v0", "--env-kwargs", "ratio=0.1"]]),
    ("reads images of bytes from 0 to 255",
     ["run", "sb3-ppo", "--env", f"{HERE}:Dark", "-p", "encoder=cnn"],
     [["run", "sb3-ppo", "--env", f"{HERE}:Dark", "-p", "encoder=mlp"]]),
    ("use settings=equal and cnn=small, or encoder=mlp",
     ["run", "sb3-ppo", "--env", f"{HERE}:Images", "-p", "settings=defaults"],
     [["run", "sb3-ppo", "--env", f"{HERE}:Images", "-p", "encoder=mlp"],
      ["run", "sb3-ppo", "--env", f"{HERE}:Images", "-p", "settings=equal", "-p", "cnn=small"]]),
    ("vectors of real numbers, not {}: leave it out",
     ["run", "sb3-ppo", "--env", f"{HERE}:Images", "-p", "normalize_obs=true"],
     [["run", "sb3-ppo", "--env", f"{HERE}:Images", "-p", "encoder=mlp"]]),
    ("the reference has no run of", ["compare", "RUN", "--against", "RUN2"],
     [["compare", "RUN", "--against", "OUT"]]),
    ("--shard {}: give I/N", ["bench", "smoke", "--shard", "3/2"], []),
]  # fmt: skip


ENTRANTS = pd.DataFrame({"label": ["a x", "a y"], "agent": ["a", "a"]})
SUITE = 'name = "a"\nagents = ["knn"]\n[[env]]\nid = "rlbench/Classify-Digits-v0"\n'


def _predicts(policy: Any, obs: Any = None) -> None:
    policy.predict(np.zeros(4, np.float32) if obs is None else obs)


# The same in Python: calls.
CALLS: list[tuple[str, Callable[[], Any], list[Callable[[], Any]]]] = [
    ("is a list of suites itself: name its suites instead",
     lambda: loads('name = "a"\nsuites = ["smoke"]', "a.toml"), [lambda: loads(SUITE, "a.toml")]),
    ("give the environment first",
     lambda: DQN("MlpPolicy"),
     [lambda: DQN("CartPole-v1", encoder="mlp")]),
    ("takes one argument without a name",
     lambda: DQN("CartPole-v1", 3),  # type: ignore[call-arg]
     [lambda: DQN("CartPole-v1", seed=3)]),
    ("seed is one seed, seeds are several: give", lambda: DQN("CartPole-v1", seed=1, seeds=2),
     [lambda: DQN("CartPole-v1", seed=1), lambda: DQN("CartPole-v1", seeds=2)]),
    ("linear in the action: give a width", lambda: TD3(PENDULUM, net_arch=()),
     [lambda: TD3(PENDULUM, net_arch=(8,))]),
    ("unknown memory", lambda: DQN("CartPole-v1", encoder="cnn+lstmm"),
     [lambda: DQN("CartPole-v1", encoder="lstm")]),
    ("is too small for cnn=", lambda: DQN(Images, encoder="cnn", cnn="nature"),
     [lambda: DQN(Images, encoder="cnn", cnn="small"), lambda: DQN(Images, encoder="mlp")]),
    ("whole numbers: use MultiDiscrete", lambda: PPO(Steps), [lambda: PPO(Several)]),
    ("needs images, and observations", lambda: DQN("CartPole-v1", encoder="cnn"),
     [lambda: DQN("CartPole-v1", encoder="mlp")]),
    ("use agent.policy(seed={}).predict", lambda: _predicts(DQN("CartPole-v1", seeds=(3, 4))),
     [lambda: _predicts(DQN("CartPole-v1", seeds=(3, 4)).policy(seed=3))]),
    ("use agent.policy(seed=k).predict",
     lambda: _predicts(DQN("CartPole-v1", seeds=(3, 4)).policy()),
     [lambda: _predicts(DQN("CartPole-v1", seeds=(3, 4)).policy(seed=4))]),
    ("leave out record=false", lambda: DQN("CartPole-v1", compile=True, record=False),
     [lambda: DQN("CartPole-v1", compile=True)]),
    ("would freeze what dropout", lambda: DQN("CartPole-v1", compile=True, dropout=0.1),
     [lambda: DQN("CartPole-v1", dropout=0.1)]),
    ("give a function that makes one instead", lambda: DQN(Uncopyable(), n_envs=2),
     [lambda: DQN(lambda: Uncopyable(), n_envs=2)]),
    ("one-hot already): leave it out", lambda: DQN(Images, normalize_obs=True),
     [lambda: DQN(Images)]),
    ("crossq has no memory", lambda: CrossQ(PENDULUM, encoder="lstm"),
     [lambda: CrossQ(PENDULUM), lambda: SAC(PENDULUM, encoder="lstm")]),
    ("would move the running statistics", lambda: CrossQ(PENDULUM, weight_decay=0.1),
     [lambda: CrossQ(PENDULUM, weight_decay=0), lambda: SAC(PENDULUM, weight_decay=0.1)]),
    ("replays single transitions with a future", lambda: DQN(FLIP, her=True, n_steps=3),
     [lambda: DQN(FLIP, her=True)]),
    ("her=true needs a goal environment", lambda: DQN("CartPole-v1", her=True),
     [lambda: DQN("CartPole-v1")]),
    ("has no later rewards: use one", lambda: DQN("CartPole-v1", gamma=0.0, n_steps=3),
     [lambda: DQN("CartPole-v1", gamma=0.0, n_steps=1)]),
    ("make the batch larger or sequences shorter",
     lambda: DQN("CartPole-v1", encoder="gru", batch_size=8, sequence_length=16),
     [lambda: DQN("CartPole-v1", encoder="gru", batch_size=16, sequence_length=16),
      lambda: DQN("CartPole-v1", encoder="gru", batch_size=8, sequence_length=8)]),
    ("not what follows: set gamma=0",
     lambda: DQN("CartPole-v1", loss="cross_entropy", gamma=0.5),
     [lambda: DQN("CartPole-v1", loss="cross_entropy", gamma=0.0)]),
    ("does not divide hidden_size={}: choose a divisor",
     lambda: PPO("CartPole-v1", encoder="attention", attention_heads=5),
     [lambda: PPO("CartPole-v1", encoder="attention", attention_heads=8)]),
    ("choose a divisor", lambda: PPO("CartPole-v1", encoder="gru", n_steps=32, sequence_length=5),
     [lambda: PPO("CartPole-v1", encoder="gru", n_steps=32, sequence_length=8)]),
    ("make the batch larger or sequence_length shorter",
     lambda: PPO("CartPole-v1", encoder="gru", n_steps=32, sequence_length=16, batch_size=8),
     [lambda: PPO("CartPole-v1", encoder="gru", n_steps=32, sequence_length=16, batch_size=16),
      lambda: PPO("CartPole-v1", encoder="gru", n_steps=32, sequence_length=8, batch_size=8)]),
    ("give one observation or a batch of them",
     lambda: _predicts(DQN("CartPole-v1"), np.zeros(9)),
     [lambda: _predicts(DQN("CartPole-v1"), np.zeros(4)),
      lambda: _predicts(DQN("CartPole-v1"), np.zeros((2, 4)))]),
    ("needs bounded actions", lambda: SAC(Free), [lambda: PPO(Free), lambda: SAC(Bound)]),
    ("choose another sequence_length",
     lambda: PQN("CartPole-v1", encoder="gru", n_steps=32, sequence_length=5),
     [lambda: PQN("CartPole-v1", encoder="gru", n_steps=32, sequence_length=8)]),
    ("--baseline {} could be {}: say which", lambda: _baseline(ENTRANTS, "a"),
     [lambda: _baseline(ENTRANTS, "a x"), lambda: _baseline(ENTRANTS, "a y")]),
    ("has steps and epochs: give one", lambda: loads(SUITE + "steps = 1\nepochs = 1", "a"),
     [lambda: loads(SUITE + "steps = 1", "a"), lambda: loads(SUITE + "epochs = 1", "a")]),
    ("has not been trained: call learn", lambda: SB3DQN("CartPole-v1").policy(),
     [lambda: SB3DQN("CartPole-v1").learn(10).policy()]),
    ("call agent.set_horizon(total_timesteps)", lambda: _acts(DQN("CartPole-v1"), begin=False),
     [lambda: _acts(DQN("CartPole-v1"), begin=True)]),
]  # fmt: skip


def _acts(agent: Any, begin: bool) -> None:
    if begin:
        agent.set_horizon(100)
    agent.act(np.zeros((1, 1, 4), np.float32))


# What is wrong with the files of a run, and what the message says to do about it.
def _write(name: str, text: str) -> Callable[[Path], Any]:
    return lambda run: (run / name).write_text(text)


def _without(name: str) -> Callable[[Path], Any]:
    def edit(run: Path) -> None:
        saved = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({k: saved[k] for k in saved if k != name}))

    return edit


def _with(**given: Any) -> Callable[[Path], Any]:
    def edit(run: Path) -> None:
        saved = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**saved, **given}))

    return edit


def _empty(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()
    (run / "thesis.tex").write_text("mine")


def _headless(run: Path) -> None:
    (run / "run.json").unlink()


def _around(run: Path) -> None:
    (run.parent.parent / "run.json").write_text("{}")
    shutil.rmtree(run)


def _linked(run: Path) -> None:
    run.rename(run.with_name("moved"))
    run.symlink_to("moved")


def _replaced(run: Path) -> None:
    shutil.rmtree(run.parent.parent)
    run.parent.parent.write_text("mine")


DELETED, ANEW = "its folder is deleted", "another --out"
DAMAGE: list[tuple[str, list[str], Callable[[Path], Any], str]] = [
    ("is corrupt ({}): restore it, or delete", RANDOM, _write("run.json", "{"), DELETED),
    ("run.json is damaged ({}): delete its folder", ["eval"], _without("preset"), DELETED),
    ("this is version {}: run it anew", ["eval"], _with(agent_version=99), ANEW),
    ("holds another run: choose", RANDOM, _with(identity={}), ANEW),
    ("was made with other images", RANDOM, _with(data={}), ANEW),
    ("learned from other agents", RANDOM, _with(teacher="0"), ANEW),
    ("holds something else", RANDOM, _empty, ANEW),
    ("has lost its run.json: restore it, or delete", RANDOM, _headless, DELETED),
    ("is a run itself", RANDOM, _around, ANEW),
    ("no results are written through it", RANDOM, _linked, ANEW),
    ("cannot write to {}: {}: choose", RANDOM, _replaced, ANEW),
]

# Messages whose way out is tried by another test; None where there is nothing to do, or nothing
# that a test can do (install, download, wait).
ELSEWHERE = {
    "a callback of locals and globals":
        "test_history.py::test_a_callback_of_two_arguments_gets_the_agent",
    "is in {} and in {}: uninstall one": "test_plugins.py::test_a_broken_package_breaks_no_other",
    "add --wrap FlattenObservation": "test_two_methods.py::test_what_does_not_fit_is_one_line",
    "leave out --n-envs": "test_two_methods.py::test_what_does_not_fit_is_one_line",
    "leave out --device": "test_two_methods.py::test_what_does_not_fit_is_one_line",
    "has run in {}: start it with `rlbench bench {}`":
        "test_suite.py::test_a_list_runs_each_of_its_suites",
    "is a list of suites, each with a report of its own: name one":
        "test_suite.py::test_a_list_runs_each_of_its_suites",
    "her=true computes rewards on the CPU": "test_hindsight_replay.py::test_it_is_for_cpus",
    "can be no name of a file in Python": "test_new.py::test_names_that_would_not_work",
    "there is a module {} already": "test_new.py::test_names_that_would_not_work",
    "exists and is left as it is":
        "test_new.py::test_the_file_is_short_and_never_overwritten",
    "agent must be a name, as": "test_api.py::test_a_run_is_the_command_line_s",
    "name one, as in to_torch(":
        "test_plain_policy.py::test_what_has_no_network_or_no_seed_is_refused",
    "torch cannot export this network":
        "test_files.py::test_a_network_that_cannot_be_traced_says_what_to_do",
    "does not say which agent it is of":
        "test_import.py::test_several_files_are_seeds_and_none_is_imported_twice",
    "does not say which environment it is of": "test_import.py::test_evaluations",
    "has a return of {}, and those of": "test_import.py::test_broken_files_are_one_line",
    "has seed {} already: give --seed":
        "test_import.py::test_several_files_are_seeds_and_none_is_imported_twice",
    "can be no name: give": "test_import.py::test_size_names_and_missing_words",
    "has one array and the model takes": "test_export.py::test_predictions_of_a_classifier",
    "holds no images: give": "test_export.py::test_data_that_does_not_fit",
    "is no ONNX file: write one": "test_export.py::test_data_that_does_not_fit",
    "is no data that can be read: give": "test_export.py::test_data_that_does_not_fit",
    "was not written by rlbench export": "test_export.py::test_data_that_does_not_fit",
    "have layers of the same widths": "test_sb3_habits.py::test_entries_of_policy_kwargs",
    "has no counterpart: leave it out":
        "test_sb3_habits.py::test_what_has_no_counterpart_is_answered",
    "has no name here: give": "test_sb3_habits.py::test_schedules_that_have_names",
    "is given twice, the second time":
        "test_sb3_habits.py::test_a_policy_and_an_encoder_exclude_each_other",
    "this environment cannot be sent to processes of its own": (
        "test_worker_lanes.py::test_what_cannot_be_used_is_told_in_one_line"
    ),
    "--env names an environment twice": "test_space.py",
    "plays by action masks, and": "test_maskable.py::test_it_is_refused_where_there_are_no_masks",
    "trained without action masks: leave": "test_masked_lanes.py::test_predict_takes_masks",
    "--eval-freq 0 evaluates at the end only": "test_space.py",
    "--preset and --no-preset exclude each other": "test_space.py",
    "--preset {} cannot be read": "test_space.py::test_mistakes_in_files_are_one_line",
    "--preset {} has no preset for": "test_space.py::test_mistakes_in_files_are_one_line",
    "has no preset of this name on": "test_space.py",
    "is in no table such as": "test_space.py::test_mistakes_in_files_are_one_line",
    "and on an executor each is a part of its own: leave it out":
        "test_trial_parts.py::test_what_means_nothing_on_an_executor_is_refused",
    "--lockstep is for --executor local":
        "test_trial_parts.py::test_what_means_nothing_on_an_executor_is_refused",
    "--prune halving compares trials": "test_space.py::test_peers_are_not_halved",
    "--sampler grid tries every choice": "test_space.py",
    "has a preset for {} that is not of this study":
        "test_tune.py::test_the_outcome_is_confirmed_and_saved",
    "--save-preset {}: give the name": "test_space.py",
    "--save-preset {} has presets of": "test_space.py::test_mistakes_in_files_are_one_line",
    "--preset {}: {} of {} must be": "test_presets.py::test_wrong_facts_of_a_preset_file",
    "give two finite numbers": "test_api.py::test_wrong_options_of_plot_are_one_line",
    "both say how long: give one": "test_api.py::test_wrong_values_of_run_are_one_line",
    "--space and -s both say": "test_space.py",
    "--space {} cannot be read": "test_space.py",
    "--space {} names no parameter": "test_space.py::test_mistakes_in_files_are_one_line",
    "--until-decided needs two entrants":
        "test_until_decided.py::test_nothing_to_compare_is_refused",
    "seeds are fewer than one group": "test_until_decided.py::test_nothing_to_compare_is_refused",
    "is for {}: add it, or leave {} out":
        "test_executor_choice.py::test_what_does_not_go_together",
    "--slurm {}: give KEY=VALUE": "test_executor_choice.py::test_what_does_not_go_together",
    "--time {}: give minutes": "test_executor_choice.py::test_what_does_not_go_together",
    "a Slurm job has whole ones": "test_executor_choice.py::test_what_does_not_go_together",
    "--executor ray needs Ray":
        "test_executor_choice.py::test_an_extra_that_is_not_installed",
    "--executor slurm needs submitit":
        "test_executor_choice.py::test_an_extra_that_is_not_installed",
    "no Ray cluster at": "test_ray_executor.py::test_no_cluster_is_one_line",
    "--executor slurm: {}": "test_slurm_executor.py::test_without_slurm_it_is_one_line",
    "no results in {}: name": "test_merging.py::test_what_is_being_written_is_refused",
    "stop it, or wait for it": "test_merging.py::test_what_is_being_written_is_refused",
    "nothing was written; leave out a folder":
        "test_merging.py::test_other_rows_of_a_seed_are_named_and_nothing_is_written",
    "is for --until-decided: add it":
        "test_until_decided.py::test_options_without_until_decided_are_refused",
    "is for GPUs, and a CPU computes": "test_precision.py",
    "are tuned on and confirmed on": "test_space.py",
    "settings is empty": "test_settings.py",
    "{} has no preset for {} (rlbench list": "test_from_preset.py::test_what_is_not_there_is_said",
    "has no usual ranges": "test_space.py::test_an_agent_without_parameters_has_no_space",
    "is a study with other": "test_tune.py::test_another_plan_is_refused",
    "{} is damaged ({}): choose": "test_space.py::test_a_damaged_study_is_refused",
    "is searched by -s and set by -p": "test_space.py",
    "was planned with other":
        "test_until_decided.py::test_plan_is_written_before_the_first_score_and_stays",
    "is there twice: give one range": "test_space.py",
    "one value is set by -p": "test_space.py",
    "there is no logarithm of": "test_space.py",
    "there is nothing to choose from": "test_space.py::test_mistakes_in_files_are_one_line",
    "is no number and has no range": "test_space.py",
    "--switch {} changes nothing": "test_ablation.py",
    "has registered {} too": "test_resolved_names.py::test_two_modules_with_one_id",
    "learns from recorded episodes here":
        "test_clone_recorded.py::test_from_a_run_to_a_data_set_to_a_clone",
    "td3-bc learns from recorded episodes":
        "test_td3_bc.py::test_from_a_data_set_by_the_command_line",
    "td3-bc learns from single steps": "test_td3_bc.py::test_from_a_data_set_by_the_command_line",
    "td3-bc trains in no environments":
        "test_td3_bc.py::test_from_a_data_set_by_the_command_line",
    "holds no action masks, which this":
        "test_recorded_episodes.py::test_what_does_not_fit_is_one_line",
    "does not say its {}: record it":
        "test_recorded_episodes.py::test_no_environment_of_the_file_is_made",
    "there is a data set {} in {}: give":
        "test_clone_recorded.py::test_from_a_run_to_a_data_set_to_a_clone",
    "learned from other data than {} holds":
        "test_clone_recorded.py::test_from_a_run_to_a_data_set_to_a_clone",
    "--episodes goes with --format minari":
        "test_clone_recorded.py::test_from_a_run_to_a_data_set_to_a_clone",
    "'{}' could be {}: give the path": "test_ways_out.py::test_two_runs_of_one_name",
    "'{}' is the name of {} runs: {}: give":
        "test_run_names.py::test_a_shared_name_is_refused_with_what_differs",
    "is not one word: use": "test_labels.py::test_what_is_no_tag_is_refused",
    "has {} characters: use 1 to": "test_labels.py::test_what_is_no_tag_is_refused",
    "the note has {} characters": None,
    "--remove needs the tags": "test_labels.py::test_tags_are_added_shown_and_removed",
    "--remove takes no TEXT": "test_labels.py::test_a_note_is_written_shown_replaced_and_removed",
    "delete it, and give tags and note anew":
        "test_labels.py::test_a_damaged_file_of_labels_hides_no_result",
    "nobody can be asked whether": "test_remove.py::test_without_a_terminal_it_needs_yes",
    "rm follows none": "test_remove.py::test_all_that_is_no_run_is_refused",
    "leave it before rm": "test_remove.py::test_the_current_folder_is_not_removed",
    "has no agent of seed": "test_watch.py",
    "a film is a GIF or MP4": "test_watch.py",
    "an MP4 needs imageio-ffmpeg": "test_video.py::test_mistakes_are_one_line",
    "--saliency: {}: leave it out": "test_video.py::test_mistakes_are_one_line",
    "films stay on the nodes of a Ray cluster: leave it out":
        "test_bench.py::test_films_and_vector_environments_of_a_suite",
    "--video-every: {} cannot be filmed":
        "test_video.py::test_what_cannot_be_filmed_is_refused_before_training",
    "another process mirrors {} in": "test_mirror.py::test_one_process_mirrors_a_run_in_a_tracker",
    "there is no display for a window": "test_watch.py",
    "is no subclass of an agent": "test_user_agents.py",
    "give two numbers, as in": "test_plot.py",
    "are at 0: leave it out": "test_learning_curves.py",
    "needs one axis: add --x": "test_accuracy_cost.py",
    "no point on {} is there": "test_learning_curves.py",
    "in its tables: use": "test_learning_curves.py",
    "is in use: choose another": "test_serve.py",
    "cannot be used ({}): try --port": None,
    "no reports in {}: write one": None,
    "is no folder: name": "test_index.py",
    "--index is over one folder": "test_index.py",
    "was changed after it was written":
        "test_damage.py::test_records_changed_by_hand_are_accepted_as_the_message_says",
    "compute these seeds anew with --again":
        "test_cli_errors.py::test_again_heals_bad_checkpoint",
    "does not fit this run": "test_cli_errors.py::test_again_heals_bad_checkpoint",
    "was begun by another version": "test_cli_errors.py::test_again_heals_bad_checkpoint",
    "is shorter than when it was saved": "test_cli_errors.py::test_again_heals_bad_checkpoint",
    "is being written by another process":
        "test_faults_around_runs.py::test_what_is_being_computed_is_refused",
    "no rows are written through it":
        "test_safe_write.py::test_rows_are_not_written_through_a_link",
    "has no agents to play":
        "test_cli_errors.py::test_a_run_without_agents_names_the_command_that_makes_them",
    "has no trained agent yet": "test_ways_out.py::test_a_run_that_is_not_done",
    "`rlbench data get {}` downloads": "test_data_command.py::test_download_fetches_missing_files",
    "`rlbench data get {}` replaces":
        "test_data_command.py::test_only_what_is_missing_or_wrong_comes",
    "labels of {} are missing": "test_user_files.py",
    "holds {} pixels from": "test_user_files.py",
    "holds {} labels; give": "test_user_files.py",
    "--time and --program each": "test_show_program.py",
    "has registered {} too, and": "test_resolved_names.py::test_two_modules_with_one_id",
    "the game skips frames itself": "test_wrappers.py",
    "could not be downloaded": None,
    "nothing to plot yet": None,
    "start it with `rlbench bench`": None,
    "--agent plays episodes": None,
    "--agent {}: AttributeError": None,
    "--agent {}: {}": None,
    "--epochs must be a finite number": None,
}  # fmt: skip


def messages() -> Iterator[str]:
    """The whole texts of all that is raised anywhere, with `{}` for what is filled in."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in RAISED:
                inner: set[int] = set()
                for text in ast.walk(node):
                    if isinstance(text, ast.JoinedStr):
                        inner |= {id(part) for part in ast.walk(text)}
                        yield "".join(
                            str(v.value) if isinstance(v, ast.Constant) else "{}"
                            for v in text.values
                        )
                    elif (
                        isinstance(text, ast.Constant)
                        and isinstance(text.value, str)
                        and id(text) not in inner
                    ):
                        yield text.value


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("store")
    assert here(*RANDOM, "--seeds", "2", "--jobs", "1", "--out", out / "out") == 0
    other = ["run", "dqn", *RANDOM[2:], "--no-preset", "-p", "net_arch=8", "-n", "20"]
    assert here(*other, "--out", out / "two") == 0
    blind = ["run", "knn", "--env", "rlbench/Classify-Digits-v0", *SHORT[:4], "-q", "--no-floor"]
    assert here(*blind, "--out", out / "three") == 0
    (out / "tmp").mkdir()
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8)).astype(np.uint8)
    np.savez(out / "tmp" / "own.npz", x_train=images, y_train=np.arange(40) % 2)
    return {
        "OUT": str(out / "out"), "RUN": str(run_folder(out / "out", "random")),
        "RUN2": str(run_folder(out / "two")),
        "RUN3": str(run_folder(out / "three", "knn")), "TMP": str(out / "tmp"),
    }  # fmt: skip


def planned(run: Any, *args: Any) -> int:
    """All that `workflow.train` does before it computes."""
    preflight(run, play=False)
    return 0


def pattern(part: str) -> str:
    return ".*".join(map(re.escape, part.split("{}")))


@pytest.mark.slow
@pytest.mark.parametrize("case", COMMANDS, ids=lambda case: case[0][:40])
def test_commands_that_messages_suggest_work(
    case: Any,
    store: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part, mistake, ways = case
    if not {"-q", "resume"} & set(mistake):
        monkeypatch.setattr(train, "train", planned)

    def filled(words: list[str]) -> list[str]:
        keys = "|".join(sorted(store, key=len, reverse=True))
        return [re.sub(rf"^({keys})(?=/|$)", lambda m: store[m[1]], word) for word in words]

    assert here(*filled(mistake)) == 2
    said = capsys.readouterr().err
    assert re.search(pattern(part), said), said
    for way in ways:
        assert here(*filled(way)) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("case", CALLS, ids=lambda case: case[0][:40])
def test_calls_that_messages_suggest_work(case: Any) -> None:
    part, mistake, ways = case
    with pytest.raises(UserError, match=pattern(part)):
        mistake()
    for way in ways:
        way()


@pytest.mark.slow
@pytest.mark.parametrize("case", DAMAGE, ids=lambda case: case[0][:40])
def test_repairs_that_messages_suggest_work(
    case: Any, store: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    part, command, damage, way = case
    out = shutil.copytree(store["OUT"], tmp_path / "out")
    run = run_folder(out, "random")
    damage(run)
    again = [*RANDOM, "--seeds", "2"]
    mistake = ["eval", run] if command == ["eval"] else [*again, "--out", out]
    assert here(*mistake) == 2
    said = capsys.readouterr().err
    assert re.search(pattern(part), said), said
    if way == DELETED:
        shutil.rmtree(run)
    assert here(*again, "--out", out if way == DELETED else tmp_path / "another") == 0


@pytest.mark.slow
def test_two_runs_of_one_name(store: dict[str, str], tmp_path: Path) -> None:
    run = Path(store["RUN"])
    places = [shutil.copytree(run, tmp_path / env / run.name) for env in ("a", "b")]
    assert here("show", run.name, "--out", tmp_path) == 2
    with pytest.raises(UserError, match="give the path"):
        find_run(run.name, tmp_path)
    for place in places:
        assert here("show", place) == 0


@pytest.mark.slow
def test_a_run_that_is_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["run", "dqn", *RANDOM[2:], "--no-preset", "-p", "net_arch=8", "--out", tmp_path]
    assert here(*args, "--max-seconds", "0.01") == 124
    assert here("eval", run_folder(tmp_path)) == 2
    words = capsys.readouterr().err.partition("has no trained agent yet: rlbench ")[2].split()
    assert words[0] == "resume"
    assert here(*words, "-q", "--no-floor") == 0
    assert here("eval", run_folder(tmp_path)) == 0


def test_every_advice_is_tried() -> None:
    tried = [c[0] for c in COMMANDS] + [c[0] for c in CALLS] + [c[0] for c in DAMAGE] + [*ELSEWHERE]
    texts = set(messages())
    for text in texts:
        assert not IS_ADVICE.search(text) or any(re.search(pattern(p), text) for p in tried), text
    assert [p for p in tried if not any(re.search(pattern(p), text) for text in texts)] == []
    for where in filter(None, ELSEWHERE.values()):
        file, _, name = where.partition("::")
        assert f"def {name or 'test_'}" in next(TESTS.rglob(file)).read_text(encoding="utf-8"), (
            where
        )
