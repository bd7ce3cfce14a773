"""The `tune` command: search, say what came out, and confirm it on fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from rlbench.commands.confirm import Confirmation, confirm
from rlbench.common.console import console as new_console
from rlbench.common.number_format import number_text
from rlbench.console import tune_board
from rlbench.errors import UserError
from rlbench.execution.executor_choice import LOCAL, ExecutorChoice
from rlbench.execution.stopping import StopSignal
from rlbench.storage.run_folder import seed_ranges
from rlbench.tuning import outcome, saved_preset
from rlbench.tuning.journal import StudyJournal
from rlbench.tuning.participant import Work
from rlbench.tuning.plan import StudyPlan, study_folder
from rlbench.tuning.search import search

USUAL_TRIALS = 64


class TuneOptions(NamedTuple):
    """How to search; no option changes the score of a setting."""

    trials: int | None = None
    lockstep: int = 8
    jobs: int = 1
    device: str = "auto"
    confirm_seeds: Sequence[int] = ()
    save_preset: Path | None = None
    quiet: bool = False
    executor: ExecutorChoice = LOCAL


def tune(
    plan: StudyPlan, name: str | None, out: Path, options: TuneOptions, stop: StopSignal
) -> int:
    """Search until the study has its trials, then write and print what came out.

    Returns the exit code.

    Raises:
        UserError: The study's folder holds another study, or cannot be written.
    """
    news, results = new_console(stderr=True), new_console(quiet=options.quiet)
    folder = study_folder(out, name or plan.name())
    if options.save_preset:
        saved_preset.check(options.save_preset, plan, folder.path.name)
    folder.open(plan)
    journal = StudyJournal(folder, plan)
    total = journal.most or USUAL_TRIALS
    total = min(options.trials or total, journal.most or options.trials or total)
    hint = "the same command goes on"
    stop.on_exit = hint
    if not options.quiet:
        news.print(summary(plan, total), soft_wrap=True, highlight=False)
    jobs = min(options.jobs, total)
    work = Work(folder, plan, options.lockstep, total, jobs, options.device, options.executor)
    with (
        tune_board.board(news, journal, total, options.quiet) as watcher,
        stop.answering(watcher.say),
    ):
        deaths = search(work, watcher, stop)
        watcher.look()
    for line in deaths:
        news.print(f"Warning: {line}", soft_wrap=True, highlight=False, markup=False)
    trials = journal.trials()
    ended = [each for each in trials if each.state != "running"]
    outcome.write(journal, trials)
    if stop():
        news.print(f"stopped with {len(ended)} of {total} trials done; {hint}: {folder.path}",
                   soft_wrap=True, highlight=False)  # fmt: skip
        return stop()
    if len(ended) < total:
        rest = f"{total - len(ended)} of {total} trials are not done"
        why = "as said above" if deaths else "another process is at work on them"
        news.print(f"{rest}, {why}; {hint}", soft_wrap=True, highlight=False)
        return 1 if deaths else 0
    return _finish(journal, out, options, stop, news, results)


def summary(plan: StudyPlan, total: int) -> str:
    """Describe a study in one line."""
    space = ", ".join(f"{each.name} {each.text()}" for each in plan.dimensions())
    steps = " and ".join(dict.fromkeys(f"{steps:,}" for steps in plan.steps))
    return (
        f"{plan.agent} on {', '.join(plan.envs)}: {total} trials of {steps} steps, seeds "
        f"{seed_ranges(plan.seeds)}, {plan.sampler} over {space}"
    )


def _finish(
    journal: StudyJournal,
    out: Path,
    options: TuneOptions,
    stop: StopSignal,
    news: Console,
    results: Console,
) -> int:
    """Print the best trials, confirm the best, and save its preset."""
    plan, trials = journal.plan, journal.trials()
    values = journal.values(trials)
    if not values:
        reasons = dict.fromkeys(trial.reason for trial in trials if trial.reason)
        raise UserError(f"no trial could be scored: {'; '.join(reasons) or 'all were pruned'}")
    ranked = sorted(
        (each for each in trials if each.number in values),
        key=lambda each: (-values[each.number], each.number),
    )
    best = ranked[0]
    results.print(tune_board.table(journal, ranked[: tune_board.SHOWN], values))
    results.print()
    results.print(f" trials  {journal.folder / 'trials.csv'}", soft_wrap=True, highlight=False)
    for file in outcome.draw(journal, trials):
        if file.suffix == ".png":
            results.print(f" figure  {file}", soft_wrap=True, highlight=False)
    code = 0
    if options.confirm_seeds:
        confirmation = Confirmation(plan, best.setting, outcome.tuned_record(journal, trials))
        code = confirm(confirmation, options.confirm_seeds, out, options.jobs, options.device,
                       stop, options.quiet, options.executor)  # fmt: skip
        if code > 2:
            return code
        for line in confirmation.said(out, options.confirm_seeds, _mean(journal, best.number)):
            results.print(line, soft_wrap=True, highlight=False)
    if options.save_preset:
        saved_preset.save(options.save_preset, journal, best, trials)
        results.print(f" preset  {options.save_preset}", soft_wrap=True, highlight=False)
    return code


def _mean(journal: StudyJournal, number: int) -> dict[str, str]:
    """Return the mean score of a trial on its tuning seeds by environment, as text."""
    scores = journal.scores(journal.trials()[number])
    return {env: number_text(sum(of.values()) / len(of)) for env, of in scores.items()}
