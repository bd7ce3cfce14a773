"""Journal of a study: Optuna's, in a file that several processes append to.

Trials are handed out in batches under the lock of the study's folder. A batch has a folder of its
own below `workers`, which its trials name, and its process holds the lock of that folder as long as
it trains them. So the trials of a killed process are seen to be free, and whoever takes them over,
under their own numbers, finds the checkpoint of their training: none is lost, and none is there
twice.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock

from rlbench import registry
from rlbench.distribution import install
from rlbench.errors import UserError
from rlbench.storage.locks import is_locked, locked
from rlbench.tuning.objective import TrialResult, seed_scores, trial_values
from rlbench.tuning.plan import StudyFolder, StudyPlan

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

PATIENCE = 600.0  # seconds to wait while others sample
IMPORTANCE_TRIALS = 8  # below, importances are noise
STARTUP = 10  # trials at random before a model samples


class StudyTrial(NamedTuple):
    """A trial as the journal has it. `state` is running, done, pruned or failed."""

    number: int
    setting: dict[str, Any]
    state: str
    result: TrialResult
    reason: str = ""  # of a failed one
    seconds: float = 0.0  # that it took, its share of those trained beside it
    worker: str = ""
    reported: dict[int, float] = {}  # how it stood at each step of the grid


def imported() -> Any:
    """Import Optuna.

    Raises:
        UserError: It is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise UserError(f"tune needs Optuna: {install('tune')}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class TrialBatch(NamedTuple):
    """Trials that a process trains side by side, and their folder, whose lock it holds."""

    home: Path
    trials: list[StudyTrial]
    lock: contextlib.ExitStack

    @property
    def checkpoint(self) -> Path:
        """File of the state that their training goes on from."""
        return self.home / "checkpoint.npz"

    def end(self) -> None:
        """Delete the folder, where all trials have an end."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.lock.close()


class StudyJournal:
    """Trials of a study, as far as they are; new ones are sampled from what is there."""

    def __init__(self, folder: StudyFolder, plan: StudyPlan) -> None:
        optuna = imported()
        self.folder, self.plan = folder.path, plan
        self.file = folder.path / "journal.log"
        self.keeps_best = _keeps_best(plan)
        self.distributions = {each.name: each.distribution() for each in plan.dimensions()}
        backend = optuna.storages.journal.JournalFileBackend(str(self.file), _Lock(self.file))
        with locked(self.folder, str(self.folder), PATIENCE):
            self.storage = optuna.storages.JournalStorage(backend)
            self.study: Study = optuna.create_study(
                storage=self.storage, study_name=self.folder.name, direction="maximize",
                load_if_exists=True, sampler=optuna.samplers.RandomSampler(),
            )  # fmt: skip

    @property
    def most(self) -> int | None:
        """Return how many trials there can be: the combinations of a grid."""
        if self.plan.sampler != "grid":
            return None
        return math.prod(len(each.choices) for each in self.plan.dimensions())

    def trials(self) -> list[StudyTrial]:
        """Return all trials in the order of their numbers."""
        return [_read(each) for each in self.study.get_trials(deepcopy=False)]

    def values(self, trials: Sequence[StudyTrial]) -> dict[int, float]:
        """Return the value of each trial that is done."""
        scores = {each.number: self.scores(each) for each in trials if each.state == "done"}
        return trial_values(scores, self.plan.aggregate) if scores else {}

    def scores(self, trial: StudyTrial) -> dict[str, dict[int, float]]:
        """Return the scores of a trial's seeds by environment."""
        return seed_scores(trial.result, self.plan.objective, self.keeps_best)

    @contextlib.contextmanager
    def batch(self, count: int, total: int, sharers: int = 1) -> Iterator[TrialBatch]:
        """Take trials (see `take`) until the end of the block; an exception leaves them free."""
        batch = self.take(count, total, sharers)
        with batch.lock:
            yield batch
            batch.end()

    def take(self, count: int, total: int, sharers: int = 1) -> TrialBatch:
        """Take up to `count` trials to train: those of a dead process, else new ones.

        They are free for others when the batch's lock is closed before it has ended. There are no
        more than `total` trials altogether, and the last ones are left for `sharers` processes
        alike. The batch is empty if all are done or at work.
        """
        with contextlib.ExitStack() as held:
            with locked(self.folder, str(self.folder), PATIENCE):
                batch = self._take(count, total, sharers, held)
            return batch._replace(lock=held.pop_all())

    def _take(self, count: int, total: int, sharers: int, held: contextlib.ExitStack) -> TrialBatch:
        trials = self.trials()
        self._clear_up(trials)
        free = [each for each in trials if self.is_free(each)]
        left = [each for each in free if each.worker == free[0].worker]
        goes_on = 0 < len(left) <= count and bool(left[0].worker)
        name = left[0].worker if goes_on else f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        batch = TrialBatch(self.folder / "workers" / name, left[:count], held)
        rest = max(min(total, self.most or total) - len(trials), 0)
        room, new = min(count - len(left), -(-rest // sharers)), []
        if room > 0 and not batch.checkpoint.exists():
            # Those that a kill left without the rest of their batch are drawn once more with it.
            before = [each for each in trials if each not in left]
            new = list(self._sampled(before, len(left) + room))[len(left) :]
        if not (left or new):
            return batch
        batch.home.mkdir(parents=True, exist_ok=True)
        held.enter_context(locked(batch.home, str(batch.home)))
        if not goes_on:
            for each in batch.trials:
                self._note(each.number, "worker", name)
        batch.trials.extend(self._add(setting, name) for setting in new)
        return batch

    def _clear_up(self, trials: Sequence[StudyTrial]) -> None:
        """Delete folders of batches that have ended."""
        running = {each.worker for each in trials if each.state == "running"}
        for home in (self.folder / "workers").glob("*"):
            if home.name not in running and not is_locked(home):
                shutil.rmtree(home, ignore_errors=True)

    def importances(self, trials: Sequence[StudyTrial]) -> dict[str, float]:
        """Return the share of the variance of values that each parameter explains (fANOVA).

        Hutter et al. (2014), as Optuna computes it; empty where there are too few trials.
        """
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        values = self.values(trials)
        if len(values) < IMPORTANCE_TRIALS or len(set(values.values())) < 2:
            return {}
        shares = get_param_importances(
            self._memory(trials), evaluator=FanovaImportanceEvaluator(seed=0)
        )
        return {name: float(share) for name, share in shares.items()}

    def is_free(self, trial: StudyTrial) -> bool:
        """Return whether a trial was begun by a process that is gone."""
        alive = bool(trial.worker) and is_locked(self.folder / "workers" / trial.worker)
        return trial.state == "running" and not alive

    def report(self, number: int, step: int, value: float) -> None:
        """Record how a trial stands on the way, for halving and for Optuna's dashboard."""
        self.storage.set_trial_intermediate_value(self._identity(number), step, value)

    def end(self, number: int, result: TrialResult, seconds: float, pruned: bool) -> None:
        """Record the result of a trial."""
        states = imported().trial.TrialState
        self._keep(number, result, seconds)
        if pruned:
            self.study.tell(number, state=states.PRUNED)
            return
        trials = {each.number: each for each in self.trials()}
        done = [*trials.values()]
        done[number] = trials[number]._replace(state="done", result=result)
        self.study.tell(number, self.values(done)[number])

    def fail(self, number: int, result: TrialResult, seconds: float, reason: str) -> None:
        """Record that a setting cannot be scored, and why."""
        self._keep(number, result, seconds)
        self._note(number, "reason", reason)
        self.study.tell(number, state=imported().trial.TrialState.FAIL)

    def _keep(self, number: int, result: TrialResult, seconds: float) -> None:
        self._note(number, "seconds", round(seconds, 3))
        self._note(number, "curves", result.curves)
        self._note(number, "lost", result.lost)

    def _note(self, number: int, key: str, value: Any) -> None:
        self.storage.set_trial_user_attr(self._identity(number), key, value)

    def _identity(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)

    def _add(self, setting: dict[str, Any], worker: str) -> StudyTrial:
        """Append a running trial, in one record."""
        optuna = imported()
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, params=setting,
            distributions=self.distributions, user_attrs={"worker": worker},
        )  # fmt: skip
        identity = self.storage.create_new_trial(self.study._study_id, template_trial=template)
        return _read(self.storage.get_trial(identity))

    def _sampled(self, trials: Sequence[StudyTrial], count: int) -> Iterator[dict[str, Any]]:
        """Sample the next settings: a function of the plan and of the trials so far.

        The first is the setting without the study, where that is in the space.
        """
        memory = self._memory(trials) if count else None
        for number in range(len(trials), len(trials) + count):
            assert memory is not None
            if self.plan.sampler == "grid":
                choices = [each.choices for each in self.plan.dimensions()]
                values = next(itertools.islice(itertools.product(*choices), number, None))
                yield dict(zip(self.distributions, values, strict=True))
                continue
            base = self.plan.base() if number == 0 else None
            if base and all(each.holds(base[each.name]) for each in self.plan.dimensions()):
                memory.enqueue_trial(base)
            memory.sampler = self._sampler(number)
            drawn = memory.ask(self.distributions).params
            yield {each.name: each.short(drawn[each.name]) for each in self.plan.dimensions()}

    def _sampler(self, number: int) -> Any:
        """Return the sampler of a trial, whose seed is its own: resuming repeats no draw."""
        samplers = imported().samplers
        text = f"{self.plan.digest()}:{number}"
        seed = int.from_bytes(sha256(text.encode()).digest()[:4], "big")
        if self.plan.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if self.plan.sampler == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=STARTUP)
        return samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True
        )

    def _memory(self, trials: Sequence[StudyTrial]) -> Study:
        """Return a study with these trials and their values as they are now."""
        optuna = imported()
        states = {"running": "RUNNING", "done": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
        study = optuna.create_study(direction="maximize")
        values = self.values(trials)
        for trial in trials:
            study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState[states[trial.state]],
                    params=trial.setting,
                    distributions=self.distributions,
                    value=values.get(trial.number),
                    intermediate_values=trial.reported,
                )
            )
        return study


class _Lock:
    """Lock of a journal that dies with its process; a line cut off by a kill is removed first."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lock = FileLock(f"{file}.lock")

    def acquire(self) -> bool:
        self.lock.acquire()
        with contextlib.suppress(FileNotFoundError), self.file.open("rb+") as journal:
            if journal.seek(0, os.SEEK_END):
                journal.seek(-1, os.SEEK_END)
                if journal.read() != b"\n":
                    journal.seek(0)
                    journal.truncate(journal.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self.lock.release()


def _keeps_best(plan: StudyPlan) -> bool:
    """Return whether the agent ends with the weights that evaluations found best."""
    field = registry.agent_class(plan.agent).Config.model_fields.get("keep_best")
    return bool(field and plan.parameters.get("keep_best", field.default))


def _read(frozen: FrozenTrial) -> StudyTrial:
    states = {"RUNNING": "running", "WAITING": "running", "COMPLETE": "done", "PRUNED": "pruned",
              "FAIL": "failed"}  # fmt: skip
    attrs = frozen.user_attrs
    return StudyTrial(
        frozen.number, dict(frozen.params), states[frozen.state.name], TrialResult.read(attrs),
        attrs.get("reason", ""), attrs.get("seconds", 0.0), attrs.get("worker", ""),
        dict(frozen.intermediate_values),
    )  # fmt: skip
