"""Settings of a report: those that differ or were changed and have a meaning; others are folded."""

from __future__ import annotations

import json
from pathlib import Path

from report_files import write_seeds

from rlbench.learning.algorithms.dqn_config import DQNConfig
from rlbench.reporting.report.inputs import scope
from rlbench.reporting.report.report_data import collect
from rlbench.reporting.report.section_settings import matters, settings


def test_what_has_a_meaning_is_what_the_agent_says() -> None:
    """The table in the report is that of DQN's own `unused`, for every distribution and switch."""
    for distribution in (None, "c51", "qr", "iqn"):
        for on in (False, True):
            for encoder in ("mlp", "lstm"):
                config = DQNConfig.model_validate(
                    {"distribution": distribution, "noisy": on, "prioritized": on,
                     "encoder": encoder}
                )  # fmt: skip
                values = {
                    name: value if isinstance(value, str) else json.dumps(value)
                    for name, value in config.model_dump(mode="json").items()
                }
                without = {name for name in values if not matters(name, values)}
                assert without == set(config.unused())
    assert matters("n_sampled_goal", {"her": "true"})


def test_what_differs_is_shown_and_the_rest_is_folded(tmp_path: Path) -> None:
    config = {"gamma": 0.99, "batch_size": 64, "distribution": None, "iqn_samples": 8}
    write_seeds(tmp_path, "dqn", {0: 1.0}, config=config | {"batch_size": 32},
                changed={"batch_size": 32})  # fmt: skip
    write_seeds(tmp_path, "ppo", {0: 1.0}, config={"gamma": 0.99, "n_epochs": 4})
    shown, rest = settings(collect(scope([tmp_path])))
    assert [[cell.text for cell in row] for row in shown.rows] == [["batch_size", "32", "–"]]
    assert shown.rows[0][1].kind == "best"
    assert not shown.folded
    assert rest.folded
    names = {row[0].text for row in rest.rows}
    assert {"gamma", "n_epochs", "total_timesteps"} <= names
    assert "iqn_samples" not in names
