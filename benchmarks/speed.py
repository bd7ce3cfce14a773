"""Speed of our agents beside peers' and beside the limit, on identical work.

    python benchmarks/speed.py [--work NAME ...] [--repeats 5] [--steps 10000] [--seeds 1 10]
                               [--whole] [--cleanrl FOLDER] [--no-compile]

Stable-Baselines3 always takes part, SBX and rejax where they are installed, CleanRL where a clone
of it is named. All get the same settings and one torch thread; what a peer cannot be told is said
beside it. Every repetition times all cases one after the other, so that a slow moment of the
machine hits them alike; ratios are taken within a repetition, and their median, least and greatest
are printed. Pin it to one core by `taskset -c 0`, for JAX has threads of its own.

The limit is what the environment's steps and the products of matrices take together, and how much
of it is reached is printed beside each speed. Our environments are stepped as our lanes step them,
in batches where they have a twin, and peers' one by one.

`--whole` times processes instead, from their start to their end, with imports and compilation:
20,000 env steps per seed unless `--steps` says another number.
"""

from __future__ import annotations

import argparse

from limits import environment, lanes, products
from timing import interleave, ratios, spread
from ways import Way, counted, ways
from whole import processes
from work import WORK, Work

from rlbench import configure_process


def steady(work: Work, taking_part: list[Way], seeds: list[int], steps: int, repeats: int) -> None:
    """Print env steps per second, against Stable-Baselines3's and against the limit."""
    cases = {way.name: way.case(work) for way in taking_part}
    alone = {"environment": environment(work)}
    alone |= {f"environment, {counted(count)}": lanes(work, count) for count in sorted({1, *seeds})}
    alone |= {f"products, {counted(count)}": products(work, count) for count in sorted({1, *seeds})}
    measures = {name: case.measure for name, case in cases.items()} | alone
    speeds = interleave(measures, work.steps(steps), repeats)
    print(f"\n{work.title}, {work.env}: env steps per second, n = {repeats}")
    for name, values in speeds.items():
        line = f"  {name:26} {spread(values, ',.0f'):32} "
        if name in alone:
            print(f"{line}alone")
            continue
        case = cases[name]
        line += f"{spread(ratios(values, speeds['sb3'])):22} x sb3"
        if case.seeds is not None:
            stepped = (
                f"environment, {counted(case.seeds)}" if name.startswith("ours") else "environment"
            )
            both = zip(speeds[stepped], speeds[f"products, {counted(case.seeds)}"])
            limit = [1 / (1 / env + 1 / product) for env, product in both]
            line += f"  {spread(ratios(values, limit), '4.0%')} of the limit"
        print(line + f"  ({case.note})" * bool(case.note))


def whole(name: str, taking_part: list[Way], steps: int, repeats: int) -> None:
    """Print seconds of whole processes, and env steps per second against Stable-Baselines3's."""
    seconds = processes(name, taking_part, steps, repeats)
    title = WORK[name].title
    print(f"\n{title}: seconds of a process, {steps:,} env steps a seed, n = {repeats}")
    peer = seconds[taking_part[0]]
    for way, values in seconds.items():
        faster = [way.seeds * ratio for ratio in ratios(peer, values)]
        print(f"  {way.name:26} {spread(values, '.1f'):22} {spread(faster)} x sb3")


def main() -> None:
    """Print a table for each piece of work."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--work", choices=WORK, action="append", help="only this; repeatable")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, help="env steps per seed; some work takes a share")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--whole", action="store_true", help="time whole processes")
    parser.add_argument("--cleanrl", metavar="FOLDER", help="a clone of CleanRL")
    parser.add_argument("--no-compile", action="store_true", help="leave compile=True out")
    chosen = parser.parse_args()
    configure_process()  # one torch thread, for Stable-Baselines3 as well
    everyone = ways(chosen.seeds, chosen.cleanrl, not chosen.no_compile)
    for name in chosen.work or (["dqn-10"] if chosen.whole else WORK):
        taking_part = [way for way in everyone if way.able(WORK[name])]
        if chosen.whole:
            whole(name, taking_part, chosen.steps or 20_000, chosen.repeats)
        else:
            steady(WORK[name], taking_part, chosen.seeds, chosen.steps or 10_000, chosen.repeats)


if __name__ == "__main__":
    main()
