"""The short table says what the long ones say, and nothing where there is nothing."""

from pathlib import Path

import pytest
from image_runs import write_data_run
from rich.console import Console
from store_files import write_part, write_run

from rlbench.reporting.console.compare_runs import compare
from rlbench.reporting.tables.load import load

GRID = [(0, 0.1), (100, 0.92), (2000, 0.96)]


def printed(root: Path, width: int = 80, terminal: bool = False) -> str:
    console = Console(width=width, force_terminal=terminal, color_system=None)
    with console.capture() as capture:
        compare(load(root), console)
    return capture.get()


def cells(root: Path) -> dict[str, list[str]]:
    """Cells of a table that is not folded, by the name of the run; columns are 3 apart."""
    rows = [line.strip().split("   ") for line in printed(root).splitlines()]
    found = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    return {name: row for name, row in found.items() if len(row) > 5}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """All that can happen to seeds, on digits."""
    write_data_run(
        tmp_path,
        grid={0: GRID, 1: GRID, 2: GRID[:2]},
        test={0: 0.93, 1: 0.95},
        status={2: "diverged", 3: "running"},
    )
    write_data_run(tmp_path, "ppo", grid={0: GRID[:1]}, network="cnn small 128", variant="cnn")
    write_data_run(tmp_path, "supervised", test={0: 0.96, 1: 0.98, 2: 0.97}, uses=1)
    write_data_run(tmp_path, "knn", test={0: 0.985}, network="")
    return tmp_path


def test_image_data_by_hand(images: Path) -> None:
    lines = printed(images).splitlines()
    assert lines[0] == " digits, 200 test images"
    assert lines[1].split("   ")[0].strip() == "run"
    assert cells(images) == {
        "run": ["network", "seeds", "accuracy %", "gap", "to 90 %", "to 95 %", "uses", "seconds"],
        "knn": ["-", "1", "98.5 [no interval]", "- (no network)", "-", "-", "-", "10.0"],
        "supervised": ["mlp 64-64", "3", "97.0 [94.5 to 99.5]", "- (the reference)", "-", "-",
                       "-", "10.0"],
        "dqn": ["mlp 64-64", "2 of 4: 1 stopped, 1 diverged", "94.0 [81.3 to 100.0]",
                "-3.0 [-9.0 to +3.0]", "- (2 of 4)", "- (2 of 4)", "4.00", "10.0"],
        "ppo cnn": ["cnn small 128", "0 of 1: 1 stopped", "-", "- (no supervised run)",
                    "- (0 of 1)", "- (0 of 1)", "-", "10.0"],
    }  # fmt: skip
    assert list(cells(images)) == ["run", "knn", "supervised", "dqn", "ppo cnn"]  # best first
    assert "same network with labels [95 % Welch interval]: supervised (mlp 64-64)" in printed(
        images
    )


def test_what_is_not_there_is_never_zero(images: Path) -> None:
    text = printed(images)
    assert "nan" not in text.lower()
    assert " 0.0 " not in text
    assert " inf" not in text


def test_a_moment_of_training_is_not_none(tmp_path: Path) -> None:
    path = next(write_data_run(tmp_path, "knn", test={0: 0.9}).glob("*/part.json"))
    path.write_text(path.read_text().replace('"seconds": 10.0', '"seconds": 0.008'))
    assert cells(tmp_path)["knn"][-1] == "0.0080"


def test_large_test_sets_have_finer_numbers(tmp_path: Path) -> None:
    write_data_run(tmp_path, test={0: 0.9712, 1: 0.9734}, items=10_000)
    assert cells(tmp_path)["dqn"][2] == "97.23 [95.83 to 98.63]"
    assert printed(tmp_path).startswith(" dqn") is False
    assert printed(tmp_path).startswith(" digits, 10,000 test images")


def test_imbalanced_data_has_its_measure(tmp_path: Path) -> None:
    assert "G-mean" not in printed(write_data_run(tmp_path / "a", test={0: 0.9}))
    g_mean = {0: 0.8, 1: 0.9}
    write_data_run(tmp_path / "b", test={0: 0.9, 1: 0.9}, task="Imbalanced", g_mean=g_mean)
    row = cells(tmp_path / "b")["dqn"]
    assert row[2:4] == ["90.0 [2 of 2 at 90]", "85.0 [21.5 to 100.0]"]


def test_every_data_set_and_environment_has_its_table(images: Path) -> None:
    write_data_run(images, test={0: 0.7}, data="mnist", items=10_000)
    for env in ("CartPole-v1", "Acrobot-v1"):
        write_part(write_run(images, env=env), {0: {}}, {0: [9.0]})
    titles = [line.strip() for line in printed(images).splitlines() if line[1:2].strip()]
    starts = ("digits", "mnist", "CartPole", "Acrobot")
    assert [title for title in titles if title.startswith(starts)] == [
        "digits, 200 test images", "mnist, 10,000 test images", "Acrobot-v1", "CartPole-v1",
    ]  # fmt: skip


def test_ordinary_runs_by_hand(tmp_path: Path) -> None:
    scores = {0: [100.0], 1: [200.0], 2: [480.0]}
    run = write_run(tmp_path)
    write_part(
        run, {0: {}, 1: {}, 2: {}, 3: {0: [7.0]}}, scores, status={3: "failed"}, seconds=1500
    )
    write_part(write_run(tmp_path, agent="ppo"), {0: {}, 1: {}}, {0: [500.0], 1: [500.0]})
    write_part(write_run(tmp_path, agent="a2c"), {0: {0: [3.0]}}, step=700, seconds=None)
    write_part(write_run(tmp_path, agent="random"), {0: {}}, {0: [float("nan")]})
    assert cells(tmp_path) == {
        "run": ["seeds", "return", "IQM", "solved", "steps", "seconds"],
        "ppo": ["2", "500.0 [2 of 2 at 500]", "500.0", "2 of 2", "50,000", "61.5"],
        "dqn": ["3 of 4: 1 failed", "260.0 [0.0 to 500.0]", "260.0", "1 of 4", "50,000",
                "1,500.0"],
        "a2c": ["0 of 1: 1 stopped", "-", "-", "0 of 0", "700", "-"],
        "random": ["0 of 1: 1 done without a score", "-", "-", "0 of 1", "50,000", "61.5"],
    }  # fmt: skip
    assert list(cells(tmp_path)) == ["run", "ppo", "dqn", "a2c", "random"]
    assert "seeds with a return of at least 475" in printed(tmp_path)


def test_without_a_threshold_nothing_is_solved(tmp_path: Path) -> None:
    write_part(write_run(tmp_path, reward_threshold=None), {0: {}}, {0: [10.0]})
    assert cells(tmp_path)["dqn"][3] == "-"
    assert "at least" not in printed(tmp_path)


@pytest.mark.parametrize("width", [80, 100])
def test_in_a_terminal_no_word_is_cut_at_80_columns(images: Path, width: int) -> None:
    long = "learning_rate=0.0003 optimizer=adamw no preset"
    write_data_run(images, "supervised-online", test={0: 0.9, 1: 0.91}, variant=long)
    whole = set(printed(images).split())
    folded = printed(images, width, terminal=True)
    assert max(map(len, folded.splitlines())) <= width
    rules = {word for word in folded.split() if set(word) == {"─"}}
    assert set(folded.split()) - rules <= whole
    assert folded.count(" run ") == 2  # the scores, then the costs


def test_where_there_is_room_it_is_one_table(images: Path) -> None:
    wide, file = printed(images, 200, terminal=True), printed(images, 40)
    assert wide.count(" run ") == file.count(" run ") == 1
    assert max(map(len, file.splitlines())) > 80  # not cut in a file


def test_labels_and_rewards_are_a_category_of_their_own(images: Path) -> None:
    said = "learns from labels and rewards: labels for answers, rewards for the rest"
    assert said not in printed(images, 200)
    write_data_run(images, "hybrid", test={0: 0.9, 1: 0.91})
    assert printed(images, 200).count(said) == 1


def test_nothing_is_nothing(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert printed(tmp_path) == ""
