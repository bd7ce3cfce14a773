"""The card of an exported model: what it is, how it scored, and how it is called, in Markdown."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlbench.common.number_format import number_text
from rlbench.common.plain_text import plain_text
from rlbench.config import plain
from rlbench.experiments.run import Run
from rlbench.learning.export.parity import TIMED, Parity
from rlbench.storage.provenance import machine

CALLS = {
    "onnx": """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({file!r})
inputs = {{{inputs}}}
{outputs} = session.run(None, inputs)
""",
    "torch": """import torch

model = torch.export.load({file!r}).module()
{outputs} = model({inputs})
""",
    "safetensors": """from safetensors.torch import load_file

weights = load_file({file!r})  # of the modules below, by their names
""",
}


@dataclass(frozen=True)
class Card:
    """What a card tells."""

    run: Run
    folder: Path
    about: dict[str, Any]
    form: str
    path: Path
    structure: str  # of the network
    parity: Parity
    times: dict[str, float]

    def text(self) -> str:
        """Return the card as Markdown."""
        about, run = self.about, self.run
        changed = [f"`{name}={plain(value)}`" for name, value in run.config.changed().items()]
        facts = {
            "agent": f"`{run.agent}`, seed {about['seed']} of the run `{about['digest']}`",
            "environment": f"`{run.env}`{_arguments(run.env_kwargs)}",
            "trained for": f"{run.total_timesteps:,} env steps, {_environments(run.n_envs)}",
            "preset": run.preset or "none",
            "parameters": ", ".join(changed) or "defaults",
            "score": self._score(),
            "checked": checked_text(self.parity),
            "one decision": decision_text(self.times),
            "versions": ", ".join(f"{k} {v}" for k, v in machine()["versions"].items()),
        }
        sections = [
            "---",
            f"library_name: {'onnx' if self.form == 'onnx' else 'pytorch'}",
            f"tags: [{'image-classification' if self._images() else 'reinforcement-learning'}, "
            "rlbench]",
            "---",
            "",
            f"# {plain_text(run.agent)} on {plain_text(run.env)}, seed {about['seed']}",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {_cell(text)} |" for name, text in facts.items()),
            "",
            "## Inputs and outputs",
            "",
            "Observations go in as the environment gives them: scaling, normalisation, one-hot and "
            "the order of channels are part of the model.",
            *self._memory(),
            "",
            "| name | | type and shape |",
            "|---|---|---|",
            *(f"| `{name}` | in | {what} |" for name, what in about["inputs"].items()),
            *(f"| `{name}` | out | {what} |" for name, what in about["outputs"].items()),
            "",
            *self._classes(),
            "```python",
            self._call().rstrip(),
            "```",
            "",
            "## Network",
            "",
            "```text",
            self.structure,
            "```",
            "",
        ]
        return "\n".join(sections)

    def _images(self) -> bool:
        return bool(self.about["classes"])

    def _score(self) -> str:
        """Describe the score of this seed and of all, with n and the protocol."""
        from rlbench.reporting.tables.load import load
        from rlbench.reporting.tables.summaries import interval_text, overall, per_seed

        results = load(self.folder)
        seed = per_seed(results).query(f"seed == {self.about['seed']}").iloc[0]
        summary = overall(results).iloc[0]
        of = "accuracy_" if self._images() else ""
        own = seed["accuracy"] if of else seed["score"]
        items = f"all {seed['items']:,} test images" if of else f"{seed['episodes']} episodes"
        what = "test accuracy" if of else "mean return"
        mean, n = number_text(summary[f"{of}mean"]), summary[f"{of}n"]
        return (
            f"{what} {number_text(own)} over {items} of the sealed final evaluation, last weights, "
            f"deterministic; mean of n = {n} seeds {mean}, 95 % t-interval "
            f"{interval_text(summary, of)}"
        )

    def _memory(self) -> list[str]:
        if "episode_start" not in self.about["inputs"]:
            return []
        return [
            "The model remembers: pass `next_...` of one step as input of the next, anything where "
            "an episode begins, and say so by `episode_start`."
        ]

    def _classes(self) -> list[str]:
        names = self.about["classes"]
        if not names:
            return []
        text = ", ".join(f"{i}: {plain_text(name)}" for i, name in enumerate(names[:100]))
        return [f"Actions are classes: {text}.", ""]

    def _call(self) -> str:
        arrays = []
        for name, what in self.about["inputs"].items():
            dtype, _, sides = what.partition(" ")
            shape = sides.replace("batch", "1").replace("(1)", "(1,)")
            if self.form == "onnx":
                arrays.append(f'"{name}": np.zeros({shape}, "{dtype}")')
            else:
                arrays.append(f"torch.zeros({shape}, dtype=torch.{dtype})")
        outputs = ", ".join(self.about["outputs"])
        template = CALLS[self.form]
        return template.format(file=self.path.name, inputs=", ".join(arrays), outputs=outputs)


def checked_text(result: Parity) -> str:
    """Describe how a model compares with the agent."""
    return (
        f"on {result.observations:,} observations of the sealed evaluation: largest difference "
        f"{result.difference:.2g} of outputs up to {result.size:.3g}; {result.equal:,} of "
        f"{result.observations:,} actions equal"
    )


def decision_text(times: dict[str, float]) -> str:
    """Describe how long a decision takes."""
    each = ", ".join(f"{micros:.0f} µs by {what}" for what, micros in times.items())
    threads = torch.get_num_threads()
    return (
        f"{each} (median of {TIMED}, batch of 1, {threads} thread{'s' * (threads > 1)}, "
        f"{platform.machine()})"
    )


def _arguments(kwargs: dict[str, Any]) -> str:
    return "".join(f", `{name}={plain(value)}`" for name, value in kwargs.items())


def _cell(text: str) -> str:
    return plain_text(text).replace("|", "\\|")


def _environments(count: int) -> str:
    return f"in {count} environments at once" if count > 1 else "in one environment"
