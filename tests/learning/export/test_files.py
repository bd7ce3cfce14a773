"""Files of exported agents: read back, they give what the agent gives on sealed observations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_plain_policy import BOX, PARTS, PIXELS, SMALL, TWO, Extractor, World

from rlbench import agents
from rlbench.errors import UserError
from rlbench.learning.environments.source import EnvSource
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.export import files, parity
from rlbench.learning.export.plain_policy import plain

untyped: Any = agents
ABOUT = {"agent": "x"}


def exported(
    agent: Any, form: str, path: Path, count: int = 100
) -> tuple[parity.Parity, parity.Recording, Any]:
    policy = agent.policy(seed=agent.seeds[-1])
    module = plain(policy)
    files.write(module, form, path, ABOUT)
    recording = parity.record(policy, agent.make_env, StepLimit(), count)
    return parity.compare(recording, module, files.read(module, form, path)), recording, module


@pytest.fixture(scope="module")
def dqn() -> Any:
    return untyped.DQN("CartPole-v1", seeds=2, **SMALL).learn(100)


@pytest.mark.parametrize("form", files.FORMATS)
def test_formats(form: str, dqn: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime" if form == "onnx" else form)
    result, recording, _ = exported(dqn, form, tmp_path / f"model{files.FORMATS[form]}")
    assert result.observations == recording.count >= 100
    assert result.close
    assert result.equal == result.observations
    assert result.size > 0


def test_recorded_observations_are_the_sealed_ones(dqn: Any) -> None:
    """The first are those that the final evaluation begins with, and the policy is as before."""
    policy = dqn.policy(seed=1)
    recording = parity.record(policy, dqn.make_env, StepLimit(), 50)
    from rlbench.learning.rng import evaluation_seeds

    env = dqn.make_env()
    for lane, seed in enumerate(evaluation_seeds("final", 10)):
        np.testing.assert_array_equal(env.reset(seed=seed)[0], recording.seen[0][lane])
    assert recording.first[0].all()
    assert not recording.first[1].any()
    assert {"act", "choose"}.isdisjoint(vars(policy))


def test_a_file_with_other_weights_is_found(dqn: Any, tmp_path: Path) -> None:
    """Negative control: the weights of another seed, and weights that are missing."""
    pytest.importorskip("safetensors")
    path = tmp_path / "model.safetensors"
    result, recording, module = exported(dqn, "safetensors", path)
    other = plain(dqn.policy(seed=0))
    wrong = parity.compare(recording, module, files.as_model(other, module))
    assert not wrong.close
    with pytest.raises(UserError, match="differs from the agent by"):
        parity.check(wrong, path)
    parity.check(result, path)
    nan = result._replace(difference=float("nan"))
    assert not nan.close


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "observations", "parameters"),
    [
        ("DQN", BOX, SMALL),
        ("DQN", PIXELS, SMALL | {"frame_stack": 2}),
        ("PPO", BOX, {"encoder": "lstm", "n_steps": 16}),
        ("PPO", PARTS, {"n_steps": 16}),
        ("A2C", PARTS, {"encoder": "gru", "normalize_obs": True, "frame_stack": 2}),
        ("Rainbow", BOX, SMALL),
        ("IQN", BOX, SMALL),
        ("DQN", BOX, SMALL | {"encoder": Extractor}),
    ],
)
def test_onnx(kind: str, observations: Any, parameters: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    source = EnvSource(lambda: World(observations, TWO))
    agent = getattr(untyped, kind)(source, seeds=2, **parameters).learn(60)
    result, _, module = exported(agent, "onnx", tmp_path / "model.onnx")
    assert result.close, result
    assert result.equal >= result.observations - 1  # ties
    run, about, session = files.onnx_model(tmp_path / "model.onnx")
    assert about == ABOUT
    assert [each.name for each in session.get_inputs()] == list(module.input_names)
    one = {n: x.numpy() for n, x in zip(module.input_names, module.example(1), strict=True)}
    assert len(run(one)["action"]) == 1  # the batch is free


def test_a_network_that_cannot_be_traced_says_what_to_do(dqn: Any, tmp_path: Path) -> None:
    module = plain(dqn.policy(seed=0))
    vars(module.head)["forward"] = lambda x: x if float(x.sum()) > 0 else -x
    with pytest.raises(UserError, match=r"cannot export this network: .*safetensors") as error:
        files.write(module, "torch", tmp_path / "model.pt2", ABOUT)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
    if pytest.importorskip("safetensors"):
        files.write(module, "safetensors", tmp_path / "model.safetensors", ABOUT)
        assert (tmp_path / "model.safetensors").stat().st_size > 0


def test_files_that_are_none(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    for content in (b"", b"nothing", bytes(1000)):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(UserError, match="is no ONNX file that can be read") as error:
            files.onnx_model(tmp_path / "model.onnx")
        assert "\n" not in str(error.value)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime: pip install '.*\[onnx\]'"):
        files.onnx_model(tmp_path / "model.onnx")


def test_stored_observations_go_back_to_what_they_were() -> None:
    from rlbench.learning.environments.spaces import ObsSpec

    spec = ObsSpec(PARTS)
    PARTS.seed(1)
    given = [PARTS.sample() for _ in range(5)]
    arrays = parity.from_stored(np.stack([spec.array(obs) for obs in given]), spec)
    np.testing.assert_array_equal(arrays["obs.gear"], [obs["gear"] for obs in given])
    np.testing.assert_array_equal(arrays["obs.picture"], [obs["picture"] for obs in given])
    np.testing.assert_array_equal(arrays["obs.pair.0"], [obs["pair"][0] for obs in given])
    assert arrays["obs.picture"].dtype == np.uint8
    assert torch.from_numpy(arrays["obs.pair.1"]).shape == (5, 3)
