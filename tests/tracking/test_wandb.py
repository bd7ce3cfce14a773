"""Runs of Weights & Biases written offline, read back record by record."""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import TINY, here

SHORT = [*TINY, "-n", 300, "--eval-episodes", 2, "--final-episodes", 3, "--no-floor", "--quiet",
         "--jobs", 1]  # fmt: skip
BLOCK, HEAD = 32_768, 7  # bytes, of the log format of LevelDB that W&B's files have
FIRST_OF_FILE = 7  # bytes before the first record


def records(file: Path) -> Iterator[Any]:
    """Read the records of a `.wandb` file."""
    made: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    content, place, message = file.read_bytes(), FIRST_OF_FILE, b""
    while place < len(content):
        left = BLOCK - place % BLOCK
        if left < HEAD:  # the end of a block, padded
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        message += content[place + HEAD : place + HEAD + length]
        place += HEAD + length
        if kind in (1, 4):  # whole, or the last of several pieces
            yield made.Record.FromString(message)
            message = b""


def read(home: Path) -> dict[str, dict[str, Any]]:
    """The offline runs below a folder by the end of their names: config, points, files, end."""
    found: dict[str, dict[str, Any]] = {}
    for file in home.glob("offline-run-*/*.wandb"):
        run: dict[str, Any] = {"points": [], "media": set()}
        for record in records(file):
            if record.HasField("run"):
                run["name"] = record.run.display_name
                run["group"] = record.run.run_group
                run["id"] = record.run.run_id
                run["config"] = {e.key: json.loads(e.value_json) for e in record.run.config.update}
            elif record.HasField("history"):
                row: dict[str, Any] = {}
                for item in record.history.item:
                    key, *inside = [item.key] if item.key else item.nested_key
                    if inside:  # what is known of a picture
                        run["media"].add(key)
                    elif not key.startswith("_"):
                        row[key] = json.loads(item.value_json)
                step = row.pop("global_step")
                run["points"] += [(key, step, float(value)) for key, value in row.items()]
            elif record.HasField("exit"):
                run["exit"] = record.exit.exit_code
        title = run["name"].rpartition(" ")[2]
        assert title not in found  # no run is there twice
        found[title] = run
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of libraries
def test_values_offline_are_those_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run per seed and one of all, in a group; a later mirror writes the same once more."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    out = tmp_path / "my results"
    assert here("run", "dqn", "--env", "CartPole-v1", "--seeds", 2, *SHORT, "--out", out,
                "--track", "wandb") == 0  # fmt: skip
    (part,) = out.glob("*/dqn-*/seeds-*")
    home = part.parent / "wandb"
    live = read(home)
    assert set(live) == {"all-seeds", "seed-0", "seed-1"}
    assert len({run["group"] for run in live.values()}) == 1
    assert all(run["exit"] == 0 for run in live.values())
    metrics = pd.read_csv(part / "metrics.csv")
    final = pd.read_csv(part / "evaluations.csv").query("phase == 'final'")
    for seed in (0, 1):
        own = live[f"seed-{seed}"]
        rows = metrics.query("seed == @seed")
        expected = sorted(zip(rows["key"], rows["step"], rows["value"], strict=True))
        got = sorted(p for p in own["points"] if not p[0].startswith(("eval/", "final/")))
        assert [each[:2] for each in got] == [each[:2] for each in expected]
        assert [each[2] for each in got] == pytest.approx([e[2] for e in expected], nan_ok=True)
        score = final.query("seed == @seed")["return"].mean()
        (shown,) = (value for key, _, value in own["points"] if key == "final/mean_reward")
        assert shown == pytest.approx(score)
        assert own["config"]["batch_size"] == 16
    assert live["all-seeds"]["media"] == {"figures/curve"}
    assert here("track", "latest", "--to", "wandb", "--out", out) == 0
    later = read(home)
    assert {name: run["id"] for name, run in later.items()} == {
        name: run["id"] for name, run in live.items()
    }
    for name, run in later.items():
        assert list(map(str, sorted(run["points"]))) == list(map(str, sorted(live[name]["points"])))
    assert here("track", "latest", "--to", "wandb", "--again", "--out", out) == 0
    anew = read(home)  # each name once: `wandb sync` uploads all that is there
    assert set(anew) == set(live)
    assert not {run["id"] for run in anew.values()} & {run["id"] for run in live.values()}
