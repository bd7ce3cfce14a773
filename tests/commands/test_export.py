"""`rlbench export` and `rlbench predict`: models of finished runs, and what they say of files."""

from __future__ import annotations

import csv
import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import TINY, here

import rlbench
from rlbench.agents import DQN, Supervised
from rlbench.commands import predict
from rlbench.common.number_format import number_text
from rlbench.errors import UserError
from rlbench.learning.export import files, parity

SHORT = ["--seeds", "2", "--eval-episodes", "1", "--final-episodes", "3", "-q", "--no-floor",
         "--jobs", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def cart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of DQN on CartPole."""
    folder = tmp_path_factory.mktemp("models") / "results"
    run = ["run", "dqn", "--env", "CartPole-v1", "-n", "200", *TINY, *SHORT]
    assert here(*run, "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def out(cart: Path) -> Path:
    """The same, and a classifier of digits; for tests that need the extra `onnx`."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    digits = ["run", "supervised", "--env", "rlbench/Classify-Digits-v0", "--epochs", "3"]
    assert here(*digits, "--seeds", "1", "-q", "--no-floor", "--jobs", "1", "--out", cart) == 0
    return cart


def digits_run(out: Path) -> str:
    return str(next(out.glob("rlbench_Classify*/supervised-*")))


@pytest.mark.slow
def test_export_writes_a_model_and_a_card(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.onnx"
    assert here("export", "dqn-CartPole-v1-200", "--seed", 1, "-o", file, "--out", out) == 0
    said = capsys.readouterr().out
    assert "largest difference" in said
    assert "by onnxruntime" in said
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    session = importlib.import_module("onnxruntime").InferenceSession(str(file))
    ours = DQN.load(next(out.rglob("dqn-*/seeds-*/agent.npz")), seed=1)
    expected, _ = ours.predict(observations, deterministic=True)
    np.testing.assert_array_equal(session.run(["action"], {"obs": observations})[0], expected)
    card = file.with_name("model.onnx.md").read_text()
    mean = rlbench.load(out).evaluations.query("agent == 'dqn' and phase == 'final' and seed == 1")
    for text in (
        "seed 1", "CartPole-v1", "over 3 episodes of the sealed final evaluation", "n = 2 seeds",
        "float32 (batch, 4)", "largest difference", "Linear(in_features=4, out_features=16",
        "learning_starts=50", f"mean return {number_text(mean['return'].mean())} over",
    ):  # fmt: skip
        assert text in card, text
    code = card.split("```python\n")[1].split("```")[0]
    scope: dict[str, Any] = {}
    exec(code.replace("'model.onnx'", repr(str(file))), scope)  # the call on the card works
    assert scope["action"].shape == (1,)


def test_the_default_place_is_the_run_s_folder(
    cart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that torch alone reads, with the agent's actions; it is no part of the run."""
    before = len(rlbench.load(cart).runs)
    assert here("export", "dqn-CartPole-v1-200", "--format", "torch", "--out", cart) == 0
    assert "1,000 of 1,000 actions equal" in capsys.readouterr().out
    (folder,) = cart.glob("CartPole-v1/dqn-*")
    assert sorted(path.name for path in (folder / "export").iterdir()) == [
        "seed-0.pt2",
        "seed-0.pt2.md",
    ]
    assert len(rlbench.load(cart).runs) == before
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    model = torch.export.load(folder / "export" / "seed-0.pt2").module()
    ours = DQN.load(next(folder.glob("seeds-*/agent.npz")), seed=0)
    expected, _ = ours.predict(observations, deterministic=True)
    np.testing.assert_array_equal(model(torch.from_numpy(observations))[0].numpy(), expected)


def test_a_model_that_differs_is_removed(
    cart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Negative control: the file of another network."""
    read = files.read

    def wrong(policy: Any, form: str, path: Path) -> Any:
        model = read(policy, form, path)

        def run(arrays: Any) -> Any:
            answer = model(arrays)
            return answer | {"values": answer["values"] + 0.01 * np.abs(answer["values"]).max()}

        return run

    monkeypatch.setattr(files, "read", wrong)
    file = tmp_path / "model.pt2"
    assert (
        here("export", "dqn-CartPole-v1-200", "--format", "torch", "-o", file, "--out", cart) == 2
    )
    assert "differs from the agent" in capsys.readouterr().err
    assert not file.exists()


def test_mistakes(cart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["dqn-CartPole-v1-200", "--seed", "7"], "has no agent of seed 7: choose from 0-1"),
        (["dqn-CartPole-v1-200", "-o", tmp_path / "x.pt"], "onnx files end in .onnx"),
        (["nothing"], "no run 'nothing'"),
    ):
        assert here("export", *words, "--out", cart) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.slow
def test_predictions_of_a_classifier(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On folders of classes and on arrays, with the classes of the agent itself."""
    from PIL import Image
    from sklearn.datasets import load_digits

    model = tmp_path / "digits.onnx"
    assert here("export", digits_run(out), "-o", model, "--out", out) == 0
    capsys.readouterr()
    digits = load_digits()
    images = ((digits.images.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)[:60]
    for i, image in enumerate(images):
        folder = tmp_path / "scans" / str(digits.target[i])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:03}.png")
    agent = Supervised.load(next(out.rglob("supervised-*/seeds-*/agent.npz")))
    classes, _ = agent.predict(images[..., None], deterministic=True)
    right = int((classes == digits.target[:60]).sum())
    assert here("predict", model, tmp_path / "scans") == 0
    said = capsys.readouterr()
    found = {int(Path(row["item"]).stem): row for row in rows(said.out)}
    assert [int(found[i]["class"]) for i in range(60)] == classes.tolist()
    assert [int(found[i]["label"]) for i in range(60)] == digits.target[:60].tolist()
    assert all(0 < float(row["probability"]) <= 1 for row in found.values())
    assert f"{right} of 60 right" in said.err
    np.savez(tmp_path / "x.npz", images=images, labels=digits.target[:60])
    assert here("predict", model, tmp_path / "x.npz", "-o", tmp_path / "x.csv") == 0
    written = rows((tmp_path / "x.csv").read_text())
    assert [int(row["class"]) for row in written] == classes.tolist()
    assert f"{right} of 60 right" in capsys.readouterr().err
    np.savez(tmp_path / "floats.npz", images=images, labels=digits.target[:60].astype(float))
    np.save(tmp_path / "bare.npy", images)
    assert here("predict", model, tmp_path / "bare.npy", tmp_path / "floats.npz") == 0
    said = capsys.readouterr()
    labels = [row["label"] for row in rows(said.out)]
    assert labels == [""] * 60 + list(map(str, digits.target[:60]))
    assert f"{right} of 60 right" in said.err


@pytest.mark.slow
def test_predictions_of_actions(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "cart.onnx"
    assert here("export", "dqn-CartPole-v1-200", "-o", model, "--out", out) == 0
    capsys.readouterr()
    states = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    ours = DQN.load(next(out.rglob("dqn-*/seeds-*/agent.npz")), seed=0)
    expected, _ = ours.predict(states, deterministic=True)
    text = "\n".join(",".join(f"{x:.9g}" for x in row) for row in states)
    (tmp_path / "s.csv").write_text(f"x,v,angle,w\n{text}\n")
    np.save(tmp_path / "s.npy", states)
    for name in ("s.csv", "s.npy"):
        assert here("predict", model, tmp_path / name) == 0
        found = rows(capsys.readouterr().out)
        assert [int(row["action"]) for row in found] == expected.tolist()
        assert list(found[0]) == ["item", "action", "values_0", "values_1"]


def test_labels_are_names_or_numbers_of_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names come first: with classes "1" and "0" the label 1 is the first class."""
    (tmp_path / "m.onnx").write_bytes(b"")
    cases: list[tuple[list[str], list[Any], int]] = [
        (["shirt", "shoe"], [0, 1, 1], 3),
        (["shirt", "shoe"], ["shirt", "shoe", "shirt"], 2),
        (["1", "0"], [1, 0, 1], 2),
    ]
    for classes, labels, right in cases:
        about = {"inputs": {"obs": "float32 (batch, 2)"}, "classes": classes}

        def run(arrays: Any) -> Any:
            return {"action": arrays["obs"].argmax(1), "logits": arrays["obs"]}

        monkeypatch.setattr(predict, "onnx_model", lambda _, a=about, r=run: (r, a, None))
        obs = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
        np.savez(tmp_path / "x.npz", obs=obs, labels=labels)
        assert here("predict", tmp_path / "m.onnx", tmp_path / "x.npz") == 0
        assert f"{right} of 3 right" in capsys.readouterr().err


@pytest.mark.slow
def test_data_that_does_not_fit(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    model = tmp_path / "digits.onnx"
    assert here("export", digits_run(out), "-o", model, "--out", out) == 0
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "size.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    np.save(tmp_path / "floats.npy", np.full((3, 8, 8, 1), 0.5))
    np.save(tmp_path / "shape.npy", np.zeros((3, 7)))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "names.npz", pixels=np.zeros((3, 8, 8)))
    (tmp_path / "words.csv").write_text("a,b\n1,x\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "rows.csv").write_text("1,2\n1\n")
    np.save(tmp_path / "nan.npy", np.full((1, 8, 8, 1), np.nan))
    capsys.readouterr()
    for name, said in (
        ("size.png", "is 8x9 pixels, and the model takes 8x8"),
        ("broken.png", "cannot be read"),
        ("floats.npy", "other numbers than uint8"),
        ("shape.npy", "items of shape (7,), and the model takes (8, 8, 1)"),
        ("objects.npy", "cannot be read"),
        ("names.npz", "lacks obs; it has pixels"),
        ("words.csv", "cannot be read"),
        ("empty", "holds no images"),
        ("notes.txt", "is no data that can be read"),
        ("nowhere.png", "No such file"),
        ("empty.npy", "cannot be read: No data left in file"),
        ("rows.csv", "its rows are not of one length"),
        ("nan.npy", "holds numbers that are not finite"),
    ):
        assert here("predict", model, tmp_path / name) == 2, name
        error = capsys.readouterr().err
        assert said in error, error
        assert error.count("\n") == 1
    assert here("predict", tmp_path / "notes.txt", tmp_path / "size.png") == 2
    assert "is no ONNX file: write one with rlbench export" in capsys.readouterr().err
    assert here("predict", tmp_path / "none.onnx", tmp_path / "size.png") == 2
    assert "none.onnx: there is no such file" in capsys.readouterr().err
    np.save(tmp_path / "fits.npy", np.zeros((1, 8, 8, 1)))
    target = tmp_path / "nowhere" / "x.csv"
    assert here("predict", model, tmp_path / "fits.npy", "-o", target) == 2
    assert (
        capsys.readouterr().err == f"Error: cannot write to {target}: No such file or directory\n"
    )


def test_a_bound_is_a_bound() -> None:
    result = parity.Parity(10, 2e-4, 1.5, 10)
    with pytest.raises(UserError, match="was removed"):
        parity.check(result, "x.onnx")
    parity.check(result._replace(size=100.0), "x.onnx")
