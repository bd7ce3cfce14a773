"""Compute one part: write its rows and checkpoints, and report progress."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rlbench import registry
from rlbench.common.number_format import number_text
from rlbench.errors import UserError
from rlbench.execution.checkpoint_pace import CheckpointPace
from rlbench.execution.jobs import Job, Progress, Stopped
from rlbench.execution.stopping import StopSignal
from rlbench.experiments.preflight import environment_notes, packages
from rlbench.learning import checkpoint
from rlbench.learning.environments.workers import EVALUATION, worker_count
from rlbench.learning.evaluation.episodes import LANES
from rlbench.learning.evaluation.test_artifacts import gallery
from rlbench.learning.training.schedule import TrainingSchedule, overflow_allowed
from rlbench.process import configure_process
from rlbench.rows import Episode, Evaluation, Heartbeat, Metric, SeedEnded, TestPredictions
from rlbench.storage.locks import locked
from rlbench.storage.provenance import machine, now
from rlbench.storage.run_folder import RunFolder, RunPart, writing

COMPILING = (
    "updates are compiled before the first: 3 to 30 s each, which torch's cache saves later runs; "
    "rlbench show RUN --time prints what it saved"
)


def compute(job: Job, report: Callable[[Progress], None], stop: StopSignal) -> bool:
    """Compute a job to its end; return True if every seed is done.

    Raises:
        Stopped: A signal or the time limit stopped it; the job can be resumed.
    """
    configure_process()
    part = RunFolder(job.folder).part(job.seeds)
    with locked(part.path, f"{part.path}"):
        if part.finished():  # by another process, since this job was made
            return set(part.read()["status"].values()) == {"done"}
        if stop.code:
            raise Stopped(stop.code)
        return PartWorker(job, part).run_to_end(report, stop)


class PartWorker:
    """Training of one part, from its checkpoint or from the beginning."""

    def __init__(self, job: Job, part: RunPart) -> None:
        self.job, self.run, self.part = job, job.run, part
        run = job.run
        cls = registry.agent_class(run.agent)
        self.agent = cls(
            run.source,
            seeds=job.seeds,
            n_envs=run.n_envs,
            device=run.device,
            config=run.config,
        )
        self.agent.set_horizon(run.total_timesteps)
        self.plan = plan = TrainingSchedule(
            run.total_timesteps, run.eval_freq, run.eval_episodes, run.final_episodes,
            eval_max_steps=run.eval_max_steps,
            eval_workers=0 if job.video_every else worker_count(EVALUATION),  # films are of then
        )  # fmt: skip
        self.trainer = self.agent.trainer(plan)
        self.info: dict[str, Any] = {
            "seeds": list(job.seeds),
            "status": {str(seed): "running" for seed in job.seeds},
            "reason": {},
            "step": 0,
            "seconds": 0.0,
            "device": str(self.agent.device),
            "command": job.command,
            "started": now(),
            "restarts": 0,
            **machine((*cls.libraries, *packages(run))),
        }
        self.note = COMPILING if getattr(run.config, "compile", False) else ""
        self.pace = CheckpointPace()
        self.filmed = -1  # step of the latest film

    def run_to_end(self, report: Callable[[Progress], None], stop: StopSignal) -> bool:
        """Train to the end; see `compute`."""
        self._resume()
        view = _ProgressView(self)
        predictions: list[TestPredictions] = []
        try:
            with stop.deferring():
                with overflow_allowed():
                    for row in self.trainer.rows():
                        if isinstance(row, Heartbeat):
                            code = stop()
                            if row.can_checkpoint and (
                                code or row.force_checkpoint or self.pace.is_due()
                            ):
                                with stop.saving():
                                    self._save()
                            if code:
                                raise Stopped(code)
                            self.part.flush()
                            view.tick(row)
                            if not row.doing:
                                self._film(view)
                            report(view.progress())
                        elif isinstance(row, SeedEnded):
                            self.info["status"][str(row.seed)] = row.status
                            if row.reason:
                                self.info["reason"][str(row.seed)] = row.reason
                        elif isinstance(row, TestPredictions):
                            predictions.append(row)
                        else:
                            self.part.write(row)
                            view.see(row)
                report(view.progress())
                if predictions:
                    self.part.write_arrays("test.npz", gallery(self.agent, predictions))
                self._finish()
        finally:
            self.part.close()
            self.trainer.close()
        return set(self.info["status"].values()) == {"done"}

    def _resume(self) -> None:
        if not self.part.checkpoint.exists():
            self.part.write_info(self.info)
            self.part.begin()
            self._try_environment()
            return
        try:
            saved_state = checkpoint.load(self.part.checkpoint)
        except UserError as error:
            raise UserError(f"{error}: compute these seeds anew with --again") from None
        try:
            self.part.begin(saved_state["sizes"])
            started, restarts = saved_state["info"]["started"], saved_state["info"]["restarts"]
            self.info |= {key: saved_state["info"][key] for key in ("status", "reason")}
            if not self.trainer.restore(saved_state["trainer"]):
                self.note = self.trainer.resume_note
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"{self.part.checkpoint} does not fit this run ({error!r}): run with --again"
            ) from None
        self.filmed = self.trainer.step
        self.info |= {"started": started, "restarts": restarts + 1}
        self._update()

    def _film(self, view: _ProgressView) -> None:
        """Write a film, if this is after the first evaluation of another `video_every` steps."""
        every, step = self.job.video_every, self.trainer.step
        if not every or step // every <= self.filmed // every or view.evaluated != step:
            return
        from rlbench.video.training_films import TrainingFilms, why_not

        self.filmed = step
        folder = self.part.path.parent
        try:
            TrainingFilms(self.agent, self.run.env, self.run.env_kwargs, folder).write(step)
        except Exception as error:  # whatever draws: training does not end by it
            self.note, self.filmed = why_not(error), sys.maxsize

    def _try_environment(self) -> None:
        """Add warnings about the environment to the note, if the job asks for a trial."""
        with contextlib.suppress(UserError):  # training reports it
            notes = environment_notes(self.run) if self.job.trial else []
            self.note = "; ".join(filter(None, [self.note, *notes]))

    def _save(self) -> None:
        with self.pace.saving():
            sizes = self.part.flush()
            tree = {"trainer": self.trainer.state(), "sizes": sizes, "info": self.info}
            with writing(self.part.checkpoint):
                checkpoint.save(self.part.checkpoint, tree)
            self._update()

    def _update(self) -> None:
        self.info |= {
            "step": self.trainer.step,
            "seconds": round(self.trainer.seconds, 3),
            "updated": now(),
        }
        if self.trainer.split is not None:
            self.info["time"] = self.trainer.split.read()
            costs = [each for it in self.agent.learners() for each in it.compilations()]
            if costs:
                self.info["compile"] = {key: sum(each[key] for each in costs) for key in costs[0]}
        if (each := self.trainer.seed_seconds) is not None:
            self.info["seed_seconds"] = {str(seed): round(s, 3) for seed, s in each.items()}
        self.part.write_info(self.info)

    def _finish(self) -> None:
        self.part.flush()
        if self.agent.seeds:
            with writing(self.part.agent):
                self.agent.save(self.part.agent, replay=False)
        self.info |= self.part.of_files()
        self._update()
        with writing(self.part.checkpoint):
            self.part.checkpoint.unlink(missing_ok=True)


class _ProgressView:
    """Progress derived from the rows, for displays."""

    def __init__(self, session: PartWorker) -> None:
        self.session = session
        self.recent: dict[int, deque[float]] = {}
        self.scores: dict[tuple[int, bool], list[float]] = {}
        self.on_images = False
        self.start, self.first_step = time.monotonic(), session.trainer.step
        self.seeds = len(session.agent.seeds)
        self.points: set[tuple[int, int]] = set()  # evaluated grid points: (seed, step)
        self.evaluated = -1  # step of the latest
        self.doing, self.mark = "", self.start
        self.evaluating = 0.0  # seconds of finished and current evaluations
        self.since = 0.0  # seconds of the current evaluation

    def tick(self, tick: Heartbeat) -> None:
        """Record what is done besides training, and for how long."""
        now = time.monotonic()
        if self.doing or tick.doing:
            self.evaluating += now - self.mark
            self.since += now - self.mark
        if not tick.doing:
            self.since = 0.0
        self.doing, self.mark = tick.doing, now

    def see(self, row: Episode | Evaluation | Metric) -> None:
        if isinstance(row, Episode):
            self.recent.setdefault(row.seed, deque(maxlen=20)).append(row.ret)
        elif isinstance(row, Evaluation):
            at = row.step, row.phase != "grid"
            if row.phase == "grid":
                self.points.add((row.seed, row.step))
                self.evaluated = row.step
            # Keep the latest last, even if seeds train one after the other.
            scores = self.scores[at] = self.scores.pop(at, [])
            scores.append(row.ret if row.split == "episodes" else row.accuracy)
            self.on_images = row.split != "episodes"

    def progress(self) -> Progress:
        total = self.session.run.total_timesteps
        step = min(self.session.trainer.step, total)  # all environments step together
        seeds = len(self.session.agent.seeds)
        seconds = max(time.monotonic() - self.start, 1e-9)
        means = [sum(d) / len(d) for d in self.recent.values() if d]
        last = next(reversed(self.scores), None)
        return Progress(
            step=step,
            total=total,
            rate=(step - self.first_step) * seeds / seconds,
            episode_return=sum(means) / len(means) if means else None,
            score=None
            if last is None
            else (min(last[0], total), self._score_text(self.scores[last])),
            note=self.session.note,
            doing=self.doing,
            left=self._seconds_left(step, total, seconds),
        )

    def _seconds_left(self, step: int, total: int, seconds: float) -> float | None:
        """Estimate the seconds left, with evaluations; None while unknown."""
        plan, points_done, steps_done = self.session.plan, len(self.points), step - self.first_step
        if (step < total and steps_done <= 0) or (plan.every() and not points_done):
            return None
        remaining = (seconds - self.evaluating) * (total - step) / max(steps_done, 1)
        if points_done:
            grid, final = plan.eval_episodes, plan.final_episodes
            rounds = 1.0 if self.on_images else math.ceil(final / LANES) / math.ceil(grid / LANES)
            points = total // plan.every() - step // plan.every()
            each = (self.evaluating - self.since) * self.seeds / points_done
            remaining += each * (points + rounds) - self.since
        return max(remaining, 0.0)

    def _score_text(self, scores: list[float]) -> str:
        mean = sum(scores) / len(scores)
        if self.on_images:
            return f"accuracy {100 * mean:.1f} %"
        return f"evaluation {number_text(mean)}"
