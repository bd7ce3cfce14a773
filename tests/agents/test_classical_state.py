"""Classical learners in lockstep, stopped and saved: what they have seen, and all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classics import ENV, KINDS, PASS, SEEDS, answers, start, train
from lockstep import differences, rows_of, state_of

from rlbench.agents import SVM, Majority, RandomForest
from rlbench.learning import checkpoint
from rlbench.learning.rng import generator
from rlbench.peers import scikit_learn
from rlbench.rows import Heartbeat, Row

EVERY = pytest.mark.parametrize("kind", KINDS)


@EVERY
def test_seed_in_a_stack_equals_seed_alone(kind: Any) -> None:
    together, rows = train(kind, SEEDS)
    for i, seed in enumerate(SEEDS):
        alone, its_rows = train(kind, (seed,))
        assert differences(state_of(together, seed), state_of(alone, seed)) == []
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
        np.testing.assert_array_equal(answers(together)[i], answers(alone)[0])
        np.testing.assert_array_equal(answers(together, seed=seed), answers(alone))
    assert rows_of(rows, SEEDS[0]) != rows_of(rows, SEEDS[1])


def test_a_coupling_of_seeds_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: one stream for all, and one seed's images for all."""
    alone = train(RandomForest, SEEDS[1:2])[1]
    with monkeypatch.context() as patch:
        stream = generator(0, "init")
        patch.setattr(scikit_learn, "generator", lambda seed, purpose: stream)
        assert rows_of(train(RandomForest, SEEDS)[1], 12) != rows_of(alone, 12)
    assert rows_of(train(RandomForest, SEEDS)[1], 12) == rows_of(alone, 12)
    of = scikit_learn.ImageCollector.of
    monkeypatch.setattr(scikit_learn.ImageCollector, "of", lambda album, row: of(album, 0))
    assert rows_of(train(RandomForest, SEEDS)[1], 12) != rows_of(alone, 12)


def resumed(kind: Any, file: Path, spoil: Any = None) -> tuple[Any, list[Row]]:
    """Stopped at safe ticks, saved to a file, and taken up by another trainer."""
    trainer, rows, stops = start(kind, SEEDS), [], 0
    running = trainer.rows()
    while (row := next(running, None)) is not None:
        rows.append(row)
        if isinstance(row, Heartbeat) and row.can_checkpoint and stops < 5:
            stops += 1
            state = checkpoint.load(checkpoint.save(file, trainer.state()))
            if spoil is not None and trainer.agent.samples:
                spoil(state["agent"]["album"])
            trainer = start(kind, SEEDS)
            assert trainer.restore(state)
            running = trainer.rows()
    assert stops == 5
    return trainer.agent, rows


@EVERY
def test_stopped_in_a_pass(kind: Any, tmp_path: Path) -> None:
    agent, rows = train(kind, SEEDS)
    other, its_rows = resumed(kind, tmp_path / "state.npz")
    assert differences(agent.state(), other.state()) == []
    for seed in SEEDS:
        assert rows_of(rows, seed) == rows_of(its_rows, seed)
    np.testing.assert_array_equal(answers(agent), answers(other))


def test_what_is_lost_is_noticed(tmp_path: Path) -> None:
    """Negative control: labels spoiled in the file."""

    def spoil(album: dict[str, Any]) -> None:
        album["labels"][:] = 1

    _, rows = resumed(SVM, tmp_path / "state.npz", spoil)
    assert rows_of(rows, 12) != rows_of(train(SVM, SEEDS)[1], 12)


@EVERY
def test_files_hold_images_and_no_models(kind: Any, tmp_path: Path) -> None:
    agent, _ = train(kind, SEEDS, PASS)
    file = agent.save(tmp_path / "agent.npz", replay=False)
    pixels = 0 if kind is Majority else 64
    assert file.stat().st_size < len(SEEDS) * PASS * (pixels + 8) + 10_000
    for loaded in (kind.load(file, device="cpu"), kind.load(file, ENV, device="cpu")):
        assert differences(agent.state(), loaded.state()) == []
        np.testing.assert_array_equal(answers(agent), answers(loaded))
    one = kind.load(file, seed=11, device="cpu")
    expected = answers(agent, seed=11)
    np.testing.assert_array_equal(answers(one), expected)
    one.restore(one.state())  # images of whomever: no model is left
    assert one.models == {}
    agent.keep_seeds([2, 0])
    assert (agent.seeds, agent.samples) == ((13, 11), PASS)
    np.testing.assert_array_equal(answers(agent)[1:], expected)
