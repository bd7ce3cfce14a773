"""Classical learners: what scikit-learn gives on the same images, and nothing else."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from classics import DIGITS, ENV, KINDS, PASS, answers, scores, shown, train
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression as Linear
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from rlbench.agents import KNN, SVM, LogisticRegression, Majority, RandomForest
from rlbench.errors import UserError
from rlbench.learning.hardware import memory_budget
from rlbench.peers import scikit_learn

EVERY = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize(
    ("kind", "oracle", "least"),
    [
        (KNN, lambda: KNeighborsClassifier(3, weights="distance"), 0.98),
        (LogisticRegression, lambda: Linear(max_iter=1000), 0.94),
        (Majority, lambda: DummyClassifier(strategy="most_frequent"), 0.09),
        (RandomForest, None, 0.88),
        (SVM, lambda: SVC(C=10), 0.98),
    ],
)
def test_after_a_pass_it_is_what_scikit_learn_makes_of_the_training_images(
    kind: Any, oracle: Any, least: float
) -> None:
    """Nothing is known before the first image; in the end, all of the split and only that."""
    agent, rows = train(kind, 2, PASS)
    grid, (final, other) = scores(rows), scores(rows, "final")
    assert grid[0].accuracy == np.mean(DIGITS["validation"].labels == 0)
    assert (grid[0].images, grid[0].samples) == (0, 0)
    assert (final.images, final.samples, final.split) == (1100, PASS, "test")
    assert min(final.accuracy, other.accuracy) >= least
    said = answers(agent)
    assert np.mean(said[0] == DIGITS["test"].labels) == final.accuracy
    if oracle is not None:
        vectors = {name: split.images.reshape(-1, 64) / 255 for name, split in DIGITS.items()}
        model = oracle().fit(vectors["train"], DIGITS["train"].labels)
        assert (said == model.predict(vectors["test"])).mean() >= 0.995  # but for ties


def test_every_image_is_kept_once() -> None:
    """However many are shown at once, and however many passes there are."""
    labels, images = DIGITS["train"].labels, DIGITS["train"].images.reshape(PASS, -1)
    whole = np.column_stack([images, labels])
    for n_envs, steps in ((50, 3 * PASS), (7, PASS + 6), (1, PASS)):
        agent = KNN(ENV, seeds=2, n_envs=n_envs).learn(steps)
        assert agent.samples == PASS
        for row in range(2):
            seen, names = agent.album.of(row)
            assert seen.dtype == np.uint8
            kept = np.column_stack([seen.reshape(PASS, -1), names])
            assert not np.array_equal(kept, whole)
            np.testing.assert_array_equal(kept[np.lexsort(kept.T)], whole[np.lexsort(whole.T)])
    first, second = (agent.album.of(row)[1] for row in range(2))
    assert not np.array_equal(first, second)


@EVERY
def test_a_policy_is_frozen_and_fitted_once(kind: Any) -> None:
    agent, _ = train(kind, 1)
    policy, again = agent.policy(), agent.policy()
    assert policy.models[0] is again.models[0]
    before = policy.act(DIGITS["test"].images[None], np.ones((1, 1), bool))
    shown(agent, DIGITS["train"].images[:400], 3)
    assert agent.policy().models[0] is not policy.models[0]
    after = policy.act(DIGITS["test"].images[None], np.ones((1, 1), bool))
    np.testing.assert_array_equal(after, before)
    assert (answers(agent) == 3).mean() > (before == 3).mean()
    assert agent.predict(DIGITS["test"].images[0])[0] == answers(agent)[0, 0]


@EVERY
def test_one_class_and_one_image(kind: Any) -> None:
    agent = kind(ENV, n_envs=1, **KINDS[kind])
    agent.set_horizon(10)
    for label, expected in ((7, {7}), (7, {7}), (4, {4, 7})):
        shown(agent, DIGITS["train"].images[agent.samples :][:1], label)
        assert set(answers(agent)[0]) <= expected


def test_what_did_not_converge_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Not an error, though warnings are errors here; and other warnings go on to be heard."""
    with caplog.at_level(logging.WARNING, "rlbench"):
        agent, _ = train(LogisticRegression, 2, 100, max_iter=2)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "logistic-regression did not converge on 100 images (seeds 0, 1): raise max_iter for a "
        "better fit"
    ]
    assert agent.policy().models[0].n_iter_ == 2
    caplog.clear()
    train(LogisticRegression, 2, 100)
    assert not caplog.records


def test_other_warnings_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any) -> None:
        warnings.warn("something else", UserWarning, stacklevel=1)

    monkeypatch.setattr(KNeighborsClassifier, "fit", fit)
    agent = KNN(ENV)
    agent.set_horizon(10)
    shown(agent, DIGITS["train"].images[:20], DIGITS["train"].labels[:20])
    with pytest.warns(UserWarning, match="something else"):
        agent.policy()


@pytest.mark.parametrize("env", ["Rows-Digits", "Glimpse-Digits", "Retry-Digits"])
def test_parts_of_images_are_refused(env: str) -> None:
    with pytest.raises(UserError, match="svm needs a whole image and its label in every step"):
        SVM(f"rlbench/{env}-v0")


def test_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for env, said in (("CartPole-v1", "Classify-Digits"), ("Pendulum-v1", "Discrete")):
        with pytest.raises(UserError, match=said):
            KNN(env)
    with pytest.raises(UserError, match="gamma"):
        SVM(ENV, gamma=-1)
    with pytest.raises(UserError, match="class_weight"):
        RandomForest(ENV, class_weight="fair")  # type: ignore[arg-type]
    monkeypatch.setattr(memory_budget, "available", lambda device: 100_000)
    with pytest.raises(UserError, match=r"knn with 3 seeds would take .*images 207 kB"):
        KNN(ENV, seeds=3)
    assert Majority(ENV, seeds=3).album.most == PASS


@pytest.mark.parametrize("env", ["Stream-Digits", "Imbalanced-Digits"])
def test_other_whole_images(env: str) -> None:
    """Of Imbalanced a pass is shorter, and its labels are two."""
    name = f"rlbench/{env}-v0"
    agent, rows = train(KNN, 2, 2000, env=name)
    usual = KNN.usual_steps(agent.config, agent.env_facts)
    assert agent.samples == usual == agent.make_env().unwrapped.pass_steps
    assert scores(rows)[-1].accuracy > 0.95
    assert (agent.samples < PASS) == ("Imbalanced" in env)
    assert set(agent.album.of(0)[1]) == (set(range(2)) if "Imbalanced" in env else set(range(10)))


def test_rare_classes_can_count_as_much() -> None:
    """`class_weight` and its `none`: the rare class of Imbalanced is found more often."""
    found = []
    for weight in (None, "balanced"):
        agent = LogisticRegression("rlbench/Imbalanced-Digits-v0", class_weight=weight)
        agent.learn(PASS)
        found.append((answers(agent)[0][DIGITS["test"].labels == 2] == 1).mean())
    assert found[1] > found[0] + 0.1


def test_models_get_what_the_configuration_says() -> None:
    agent = RandomForest(ENV, seeds=2, n_estimators=3, max_depth=4, min_samples_leaf=2)
    forests = agent.learn(100).policy().models
    for forest in forests:
        given = forest.get_params()
        assert (given["n_estimators"], given["max_depth"], given["min_samples_leaf"]) == (3, 4, 2)
        assert given["n_jobs"] in (None, 1)
    assert forests[0].random_state != forests[1].random_state
    neighbours = KNN(ENV, n_neighbors=80, weights="uniform").learn(100).policy().models[0]
    assert (neighbours.n_neighbors, neighbours.weights) == (80, "uniform")


def test_one_thread() -> None:
    libraries = importlib.import_module("threadpoolctl").threadpool_info
    with scikit_learn.one_thread():
        assert {library["num_threads"] for library in libraries()} == {1}


def test_scikit_learn_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from rlbench.agents import KNN, SVM, Majority, RandomForest; "
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
