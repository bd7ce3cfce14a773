"""MLflow: a parent run of all seeds, with a run per seed below it.

Where they go is MLflow's own setting (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME). They are found
there by their tags, and go on after the steps that they have.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from rlbench.tracking.trackers import RunFacts, commas, title

EXPERIMENT = "rlbench"
MOST = 1000  # values in one request
MOST_PARAMETERS = 100
# MLflow itself would try for minutes.
HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
ENDS = {"done": "FINISHED", "stopped": "KILLED"}


class MLflowRun:
    """Run of one seed, or of all together."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.client, self.id = client, run.info.run_id
        # `metrics` has the latest values only, without their steps.
        self.last = {each.key: each.step for each in run.data._metric_objs}
        self.waiting: list[Metric] = []
        if run.info.status != "RUNNING":
            client.update_run(self.id, status="RUNNING")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by key at a step."""
        now = int(time.time() * 1000)
        self.waiting += [Metric(key, value, now, step) for key, value in values.items()]

    def attach(self, path: Path, step: int) -> None:
        """Attach a figure or film at a step."""
        del step
        self.client.log_artifact(self.id, str(path), "figures")

    def flush(self) -> None:
        """Send what is waiting."""
        for start in range(0, len(self.waiting), MOST):
            self.client.log_batch(self.id, metrics=self.waiting[start : start + MOST])
        self.waiting.clear()

    def close(self, status: str) -> None:
        """End the tracker's run as its seed ended."""
        self.flush()
        self.client.set_terminated(self.id, ENDS.get(status, "FAILED"))


class MLflow:
    """Tracker that writes to the MLflow that its settings name."""

    def __init__(self) -> None:
        for name, value in HASTE.items():
            os.environ.setdefault(name, value)
        self.client = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        there = self.client.get_experiment_by_name(name)
        self.experiment = there.experiment_id if there else self.client.create_experiment(name)
        self.parents: dict[str, str] = {}  # runs of all seeds, by group

    def open(self, facts: RunFacts, seed: int | None, again: bool) -> MLflowRun:
        """Open the tracker's run of a seed, or of all seeds where `seed` is None."""
        above = {}
        if seed is not None and len(facts.seeds) > 1:
            if facts.group not in self.parents:
                self.parents[facts.group] = self._found(facts, None, {}, again).info.run_id
            above["mlflow.parentRunId"] = self.parents[facts.group]
        elif seed is None and facts.group in self.parents:  # it was opened for the first seed
            return MLflowRun(self.client, self.client.get_run(self.parents[facts.group]))
        run = self._found(facts, seed, above, again)
        if seed is None:
            self.parents[facts.group] = run.info.run_id
        for tag, value in above.items():
            if run.data.tags.get(tag) != value:  # there are more seeds now
                self.client.set_tag(run.info.run_id, tag, value)
        return MLflowRun(self.client, run)

    def _found(
        self, facts: RunFacts, seed: int | None, more: Mapping[str, str], again: bool
    ) -> Run:
        """Find the run by its tags, or create it; a run of fewer seeds together is replaced."""
        of = commas(facts.seeds) if seed is None else str(seed)
        tags = {
            "rlbench.digest": facts.digest,
            "rlbench.created": facts.created,
            "rlbench.run": title(seed),
        }
        asked = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        for run in self.client.search_runs([self.experiment], asked):
            if not again and run.data.tags.get("rlbench.seeds") == of:
                return run
            self.client.delete_run(run.info.run_id)
        tags |= {"rlbench.seeds": of, "rlbench.group": facts.group, **more}
        name = f"{facts.name} {title(seed)}"
        made = self.client.create_run(self.experiment, tags=tags, run_name=name)
        parameters = [Param(key, str(value)) for key, value in facts.hyperparameters.items()]
        for start in range(0, len(parameters), MOST_PARAMETERS):
            part = parameters[start : start + MOST_PARAMETERS]
            self.client.log_batch(made.info.run_id, params=part)
        return made

    def where(self, folder: Path) -> str:
        """Return how or where the mirror of a run is looked at."""
        del folder
        address = mlflow.get_tracking_uri()
        if address.startswith("http"):
            return address
        return f"mlflow ui --backend-store-uri {shlex.quote(address)}"


tracker = MLflow
