"""Speeds on a device: ours with several numbers of seeds, Stable-Baselines3's there, ours on a CPU.

Steps are env steps of all seeds together, per second, in the whole loop of training without
evaluation. The split is of one step of all lanes, in microseconds: `env`, `act`, `replay` and
`update` with the device waited for after each (where whole updates are captured, sampling is a part
of `update`); `transfer` and `kernels` are the GPU's time, and `launch` the CPU's in CUDA calls, by
torch's profiler, without waiting.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from gpu_right import captured, whole
from gpu_runner import Emit, Line, Measurement, Place, failure
from gpu_runs import images
from timing import Measure, record_at_once
from work import WORK, Work, agent

from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer

SHORTEST = 0.4  # seconds that are timed, at least,
REPEATS = 3  # so often,
LONG = 2.0  # but once what takes longer than this
SEEDS: dict[str, tuple[int, ...]] = {  # the first and the last are profiled
    "dqn-10": (1, 8, 32, 128), "dqn-1": (1, 8, 32, 128), "ppo": (1, 8, 32, 128),
    "sac-256": (1, 10, 32, 128), "lstm": (1, 8, 32, 128), "images": (1, 4, 16),
    "supervised": (1, 10),
}  # fmt: skip
CPU_SEEDS: dict[str, tuple[int, ...]] = {  # what one core does in time
    **SEEDS, "sac-256": (1, 10), "lstm": (1, 8, 32), "images": (1, 4),
}  # fmt: skip
UPDATED = (1, 8, 64, 256)  # seeds of which one update is timed
PROFILED = 40  # steps that are profiled, or one rollout


def shrunk(work: Work) -> Work:
    """The same work at tiny size."""
    settings = {**work.settings, "batch_size": 8}
    if work.agent == "ppo":
        settings |= {"n_steps": 8, "n_epochs": 1}
    else:
        settings["buffer_size"] = 50
    return work._replace(net_arch=(8,), settings=settings, n_envs=min(work.n_envs, 2))


def built(name: str, seeds: int, device: str, smoke: bool) -> Any:
    """Our agent for a piece of work."""
    if name == "supervised":
        from rlbench.agents import Supervised

        env = f"rlbench/Classify-{'Digits' if smoke else images()}-v0"
        return Supervised(env, seeds=seeds, device=device, encoder="cnn", keep_best=False)
    work = shrunk(WORK[name]) if smoke else WORK[name]
    return agent(work, seeds, device=device)


def unit(made: Any, smoke: bool) -> int:
    """Env steps of a seed that are the least to time: a whole rollout, or so many of each lane."""
    rollout = hasattr(made.config, "n_epochs")
    return made.n_envs * (made.config.n_steps if rollout else 10 if smoke else 50)


def wait(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def trained(made: Any, device: str) -> tuple[Measure, Any]:
    """What trains so many steps of a seed, and returns steps a second; and its environments."""
    lanes = made.lanes()

    def measure(steps: int) -> float:
        made.set_horizon(steps)
        plan = TrainingSchedule(steps, 0, 0, 0)
        begun = time.perf_counter()
        for _ in Trainer(made, plan, lanes).rows():
            pass
        wait(device)
        return len(made.seeds) * made.num_timesteps / (time.perf_counter() - begun)

    return measure, lanes


def steady(measure: Measure, least: int, smoke: bool) -> Line:
    """Time more and more steps until they take long enough, then several times."""
    measure(least)  # buffers are filled, updates are traced, libraries choose kernels
    if smoke:
        return {"steps/s": measure(least), "n": 1}
    steps = least
    while True:
        begun = time.perf_counter()
        measure(steps)
        spent = time.perf_counter() - begun
        if spent >= SHORTEST:
            break
        steps *= max(2, round(SHORTEST / spent))
    repeats = REPEATS if spent < LONG else 1
    rates = [measure(steps) for _ in range(repeats)]
    return {
        "steps/s": statistics.median(rates), "least": min(rates), "greatest": max(rates),
        "n": repeats, "steps": steps,
    }  # fmt: skip


def ours(name: str, emit: Emit, place: Place, device: str, compared: bool) -> None:
    """Ours with each number of seeds: speed, peak memory, and the split.

    What the device is `compared` with is the speed alone.
    """
    record_at_once()
    sizes = (CPU_SEEDS if compared else SEEDS)[name]
    if place.smoke:
        sizes = (1,) if compared else (1, 2)
    for seeds in sizes:
        head = {"work": name, "who": f"ours, {device}", "seeds": seeds}
        if not place.smoke and place.left() < 2.0:
            emit(**head, **{"not run": "no time left"})
            continue
        ends = seeds in (sizes[0], sizes[-1])
        times = "" if compared else "profiled" if ends and not place.smoke else "waited"
        try:
            _one(head, emit, place, device, times)
        except Exception as error:
            emit(**head, **failure(error))


def _one(head: Line, emit: Emit, place: Place, device: str, times: str) -> None:
    if device != "cpu":
        wait(device)  # CUDA is started by it, without which there are no statistics to reset
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    made = built(head["work"], head["seeds"], device, place.smoke)
    measure, lanes = trained(made, device)
    try:
        line = steady(measure, unit(made, place.smoke), place.smoke)
        if device != "cpu":
            line["MB used"] = torch.cuda.max_memory_allocated(device) / 1e6
            line["MB reserved"] = torch.cuda.max_memory_reserved(device) / 1e6
        emit(**head, **line, captured=captured(made))
        if times:
            found = parts(made, lanes, device, unit(made, place.smoke) // made.n_envs)
            if times == "profiled":
                found |= kernels(made, lanes, device)
            emit(name=f"split/{head['work']}", seeds=head["seeds"], **found)
    finally:
        lanes.close()


def updating(made: Any) -> list[tuple[Any, str]]:
    """Return what an update is called by: whole ones where they are captured, else gradients."""
    return [(made.updates, "run")] if whole(made) else [(each, "step") for each in made.learners()]


def parts(made: Any, lanes: Any, device: str, steps: int) -> Line:
    """Microseconds of each part of a step, the device waited for after each."""
    spent = dict.fromkeys(("act", "env", "replay", "update"), 0.0)
    originals = [(owner, name, getattr(owner, name)) for owner, name in updating(made)]
    total = [0.0]

    def timed(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            wait(device)
            begun = time.perf_counter()
            result = step(*args, **kwargs)
            wait(device)
            total[0] += time.perf_counter() - begun
            return result

        return call

    for owner, name, step in originals:
        setattr(owner, name, timed(step))
    made.set_horizon(steps * made.n_envs)
    try:
        for _ in range(steps):
            times = [time.perf_counter()]
            action = made.act(lanes.obs)
            wait(device)
            times.append(time.perf_counter())
            result = lanes.step(action)
            times.append(time.perf_counter())
            made.observe(result)
            wait(device)
            times.append(time.perf_counter())
            for part, a, b in zip(("act", "env", "replay"), times, times[1:], strict=False):
                spent[part] += b - a
    finally:
        for owner, name, step in originals:
            setattr(owner, name, step)
    spent["update"] = total[0]
    spent["replay"] -= total[0]
    return {f"{part} us": 1e6 * seconds / steps for part, seconds in spent.items()}


def kernels(made: Any, lanes: Any, device: str, trace: str = "") -> Line:
    """Microseconds of a step by the profiler; `trace` is a file for all of it."""
    from torch.profiler import ProfilerActivity, profile

    steps = max(unit(made, False) // made.n_envs, PROFILED)
    made.set_horizon(steps * made.n_envs)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device != "cpu" else [])]
    with profile(activities=kinds) as seen:
        for _ in range(steps):
            made.observe(lanes.step(made.act(lanes.obs)))
        wait(device)
    if trace:
        seen.export_chrome_trace(trace)
    return by_kind(seen.key_averages(), steps)


def by_kind(events: Iterable[Any], steps: int) -> Line:
    """Microseconds of a step in transfers, kernels and CUDA calls, from a profile."""
    spent = dict.fromkeys(("transfer", "kernels", "launch", "waiting"), 0.0)
    calls = 0
    for event in events:
        if "CUDA" in str(event.device_type):
            part = "transfer" if event.key.startswith(("Memcpy", "Memset")) else "kernels"
            spent[part] += float(event.self_device_time_total)
        elif re.match(r"cu(da)?[A-Z]", event.key):  # cudaGraphLaunch, cudaMemcpyAsync, cuLaunch...
            part = "waiting" if "Synchronize" in event.key else "launch"
            spent[part] += float(event.self_cpu_time_total)
            calls += event.count
    return {
        **{f"{part} us": total / steps for part, total in spent.items()},
        "CUDA calls": calls / steps,
    }


def peer(name: str, emit: Emit, place: Place) -> None:
    """Stable-Baselines3 at the same work on the device."""
    head = {"work": name, "who": f"sb3, {place.device}", "seeds": 1}
    needed = "sb3_contrib" if WORK[name].lstm else "stable_baselines3"
    if find_spec(needed) is None:
        emit(**head, skipped=f"{needed} is not installed")
        return
    from peers_speed import sb3

    work = shrunk(WORK[name]) if place.smoke else WORK[name]
    case = sb3(work, place.device)
    least = work.n_envs * work.settings.get("n_steps", 20 if place.smoke else 100)
    emit(**head, **steady(case.measure, least, place.smoke), note=case.note)


def updates(emit: Emit, place: Place) -> None:
    """One update of a small DQN with more and more seeds, batch included: what seeds cost."""
    record_at_once()
    first = 0.0
    for seeds in (1, 2) if place.smoke else UPDATED:
        made = built("dqn-1", seeds, place.device, place.smoke)
        trained(made, place.device)[0](50 if place.smoke else 1000)
        count, begun = 0, time.perf_counter()
        while count < 60 or (time.perf_counter() - begun < SHORTEST and not place.smoke):
            for _ in range(20):
                made.updates.run(1) if whole(made) else made.update()
            wait(place.device)
            count += 20
        each = (time.perf_counter() - begun) / count
        first = first or each
        emit(work="dqn-1", who="update", seeds=seeds, **{"update us": 1e6 * each,
                                                         "x one seed": each / first})  # fmt: skip


def automatic(emit: Emit, place: Place) -> None:
    """What `--device auto` chooses, and whether the speeds that were measured say so too."""
    for name in SEEDS:
        for seeds in (1, 2) if place.smoke else (SEEDS[name][0], SEEDS[name][-1]):
            made = built(name, seeds, "cpu", place.smoke)
            sizes = made.config, made.spec, made.action_space, seeds, made.n_envs
            begun = time.perf_counter()
            choice = made.choose_device("auto", *sizes)
            spent = time.perf_counter() - begun
            rates = {
                line["who"]: line["steps/s"] for line in place.lines
                if line.get("work") == name and line.get("seeds") == seeds and "steps/s" in line
            }  # fmt: skip
            own = [rates.get(f"ours, {device}", 0.0) for device in (place.device, "cpu")]
            right: Any = "-"
            if place.device != "cpu" and all(own):
                right = (own[0] > own[1]) == (choice.device.type == "cuda")
            emit(work=name, seeds=seeds, auto=str(choice.device), why=choice.reason.strip(" ()"),
                 right=right, seconds=spent)  # fmt: skip


def slowest(emit: Emit, place: Place) -> None:
    """A profile trace of the work that is slowest on the device, against its CPU if that is known.

    The file can be opened in chrome://tracing or Perfetto.
    """
    rates = {
        (line["work"], line["seeds"], line["who"]): line["steps/s"]
        for line in place.lines if "steps/s" in line
    }  # fmt: skip
    here = {key[:2]: rate for key, rate in rates.items() if key[2] == f"ours, {place.device}"}
    over = {key: rate / rates.get((*key, "ours, cpu"), 1e4) for key, rate in here.items()}
    name, seeds = min(over, key=lambda key: over[key]) if over else ("dqn-10", 1)
    record_at_once()
    made = built(name, seeds, place.device, place.smoke)
    measure, lanes = trained(made, place.device)
    measure(unit(made, place.smoke))
    file = place.folder / f"trace-{name}-{seeds}.json.gz"
    line = kernels(made, lanes, place.device, str(file))
    emit(work=name, seeds=seeds, trace=file.name, MB=file.stat().st_size / 1e6, **line)


def aims(emit: Emit, place: Place) -> None:
    """What was aimed at, against what was measured before."""
    rates = {
        (line["work"], line["who"], line["seeds"]): line["steps/s"]
        for line in place.lines if "steps/s" in line
    }  # fmt: skip
    own = f"ours, {place.device}"
    sac = rates.get(("sac-256", own, 10))
    update = next((line["x one seed"] for line in place.lines
                   if line.get("who") == "update" and line["seeds"] == 64), None)  # fmt: skip
    images_there = rates.get(("images", own, 4))
    theirs = rates.get(("images", f"sb3, {place.device}", 1))
    factor = images_there / theirs if images_there and theirs else None
    chosen = [line["right"] for line in place.lines if line["name"] == "auto/choice"
              and isinstance(line.get("right"), bool)]  # fmt: skip
    for aim, figure, reached in (
        ("SAC 256-256, 10 seeds: 7,250 steps/s on an H100", sac, sac and sac >= 7250),
        ("a DQN update of 64 seeds: 1.3 times that of one", update, update and update <= 1.3),
        ("image DQN, 4 seeds: twice Stable-Baselines3", factor, factor and factor >= 2.0),
        ("auto never picks the slower device", sum(chosen), all(chosen) if chosen else None),
    ):
        emit(aim=aim, measured=figure, reached="not measured" if reached is None else bool(reached))


def measurements() -> list[Measurement]:
    """Ours on the device, then the peer there, then ours on the CPU; `auto`, and a trace."""

    def here(name: str) -> Callable[[Emit, Place], None]:
        return lambda emit, place: ours(name, emit, place, place.device, compared=False)

    def there(name: str) -> Callable[[Emit, Place], None]:
        return lambda emit, place: ours(name, emit, place, "cpu", compared=True)

    def sb3(name: str) -> Callable[[Emit, Place], None]:
        return lambda emit, place: peer(name, emit, place)

    peers: Sequence[str] = [name for name in SEEDS if name in WORK]
    return [
        *(Measurement(f"fast/{name}", here(name), 40.0) for name in SEEDS),
        Measurement("fast/update", updates, 20.0),
        *(Measurement(f"fast/{name} sb3", sb3(name), 20.0) for name in peers),
        *(Measurement(f"fast/{name} cpu", there(name), 40.0, beside=True) for name in SEEDS),
        Measurement("auto/choice", automatic, 60.0),
        Measurement("profile/slowest", slowest, 30.0),
        Measurement("aims/reached", aims, 10.0),
    ]
