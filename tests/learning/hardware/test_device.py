"""Which device `auto` means where there is a choice, and what is said of it."""

from __future__ import annotations

import pytest
import torch
from worlds import World

from rlbench.agents import DQN, SAC
from rlbench.errors import UserError
from rlbench.learning.hardware.device import LARGE, UpdateSize, choose, pick_device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_without_a_gpu_there_is_no_choice() -> None:
    def work() -> UpdateSize:
        raise AssertionError("nobody need ask")

    assert not torch.cuda.is_available()
    assert pick_device("auto", work).type == "cpu"
    assert choose("auto", work).reason == ""
    with pytest.raises(UserError, match="has no CUDA device"):
        pick_device("cuda")


@pytest.mark.parametrize(
    ("work", "device", "said"),
    [
        (UpdateSize(LARGE - 1, False), "cpu", "small: cuda would spend"),
        (UpdateSize(LARGE, False), "cuda", "large"),
        (UpdateSize(10, True), "cuda", "learns from images"),
    ],
)
def test_by_the_size_of_an_update(work: UpdateSize, device: str, said: str, two_gpus: None) -> None:
    assert pick_device("auto", lambda: work).type == device
    assert said in choose("auto", lambda: work).reason
    assert pick_device("cpu", lambda: work).type == "cpu"
    assert str(pick_device("cuda:1", lambda: work)) == "cuda:1"
    assert choose("cpu", lambda: work).reason == ""
    with pytest.raises(UserError, match="there are 2 CUDA devices"):
        pick_device("cuda:2")


def test_what_an_update_is() -> None:
    """Multiply-adds grow with seeds, batch and width; a target network is counted too."""
    agent = DQN("CartPole-v1", seeds=3, net_arch=(8,), batch_size=32, device="cpu")
    sizes = agent.spec, agent.action_space
    one = 3 * (4 * 8 + 8 + 8 * 2 + 2) * 32
    assert one < agent.work(agent.config, *sizes, 3, 1).size < 1.5 * one
    wide = agent.config.model_copy(update={"net_arch": (80,)})
    assert agent.work(wide, *sizes, 3, 1).size > 9 * agent.work(agent.config, *sizes, 3, 1).size
    images = DQN(lambda: World("image"), device="cpu", buffer_size=50)
    assert images.work(images.config, images.spec, images.action_space, 1, 1).images


def test_sizes_of_agents(two_gpus: None) -> None:
    """Without a timing small networks stay on the CPU, and large ones do not."""
    config = SAC.Config.build("sac", {"buffer_size": 1000})
    agent = SAC("Pendulum-v1", config=config, device="cpu", seeds=10)
    sizes = config, agent.spec, agent.action_space
    chosen = agent.choose_device("auto", *sizes, 10, 1, timed=False)
    assert chosen.device.type == "cuda"
    assert chosen.reason.endswith("multiply-adds is large)")
    small = config.model_copy(update={"net_arch": (8,)})
    chosen = agent.choose_device("auto", small, *sizes[1:], 1, 1, timed=False)
    assert chosen.device.type == "cpu"
