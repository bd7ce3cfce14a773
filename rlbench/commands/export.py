"""The `export` command: write the policy of one seed to a file that needs no rlbench."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rlbench import __version__, registry
from rlbench.commands.evaluate import trained_agents
from rlbench.commands.model_card import Card, checked_text, decision_text
from rlbench.common.console import console as new_console
from rlbench.common.number_format import size_text
from rlbench.common.safe_write import replace_bytes
from rlbench.errors import UserError, unwritable
from rlbench.experiments.run import Run
from rlbench.learning.environments.space_json import to_json
from rlbench.learning.export import files, parity
from rlbench.learning.export.plain_policy import PlainPolicy, plain
from rlbench.process import configure_process
from rlbench.storage import run_folder
from rlbench.storage.run_folder import RunFolder


class Exported(NamedTuple):
    """Files of an export, and how the model compares with the agent."""

    model: Path
    card: Path
    parity: parity.Parity
    times: dict[str, float]  # microseconds of a decision, by what computes it


def export(name: str, seed: int | None, form: str, output: Path | None, out: Path) -> Exported:
    """Write the agent of one seed of a run as a model with a card beside it; print what they are.

    The file is read back and compared with the agent on observations of the sealed evaluation; it
    is removed where it differs by more than rounding.

    Raises:
        UserError: There is no such agent, it has no network, a library is missing, or the model
            differs.
    """
    configure_process()
    folder = RunFolder(run_folder.find_run(name, out))
    record = folder.read()
    run = Run.from_json(record, ())
    wanted = None if seed is None else [seed]
    ((seed, agent_file),) = trained_agents(folder, run, wanted, most=1)
    path = output or folder.path / "export" / f"seed-{seed}{files.FORMATS[form]}"
    if path.suffix != files.FORMATS[form]:
        raise UserError(f"-o {path}: {form} files end in {files.FORMATS[form]}")
    kind = registry.agent_class(run.agent)
    policy: Any = kind.load(agent_file, run.source, seed=seed, device="cpu").policy()
    module = plain(policy)
    about = _about(run, record["digest"], seed, module)
    files.write(module, form, path, about)
    model = files.read(module, form, path)
    recording = parity.record(policy, run.source, run.limit())
    result = parity.compare(recording, module, model)
    run.source.close()
    if not result.close:
        path.unlink()
    parity.check(result, path)
    times = _times(recording, module, model, form)
    beside = path.with_name(f"{path.name}.md")
    card = Card(run, folder.path, about, form, path, str(module), result, times)
    try:
        replace_bytes(beside, card.text().encode())
    except OSError as error:
        raise unwritable(beside, error) from None
    _print(path, beside, about, result, times)
    return Exported(path, beside, result, times)


def _about(run: Run, digest: str, seed: int, module: PlainPolicy) -> dict[str, Any]:
    """Return what a model says of itself."""
    example = module.example(1)
    arrays = dict(zip(module.input_names, example, strict=True))
    with torch.inference_mode():
        outputs = dict(zip(module.output_names, module(*example), strict=True))
    facts = run.source.facts
    names = getattr(run.source().unwrapped, "class_names", ()) if facts.data is not None else ()
    return {
        "rlbench": __version__,
        "agent": run.agent,
        "env": run.env,
        "digest": digest,
        "seed": seed,
        "inputs": {name: _shape(value) for name, value in arrays.items()},
        "outputs": {name: _shape(value) for name, value in outputs.items()},
        "observation_space": to_json(facts.observation_space),
        "action_space": to_json(facts.action_space),
        "classes": list(map(str, names)),
    }


def _shape(value: torch.Tensor) -> str:
    sides = ", ".join(["batch", *map(str, value.shape[1:])])
    return f"{str(value.dtype).removeprefix('torch.')} ({sides})"


def _times(
    recording: parity.Recording, module: PlainPolicy, model: files.Model, form: str
) -> dict[str, float]:
    """Time single decisions of the file's model, and of the same network in torch."""
    arrays = next(parity.one(recording, module))
    plain_model = files.as_model(module, module)
    times = {f"torch {torch.__version__}": parity.microseconds(lambda: plain_model(arrays))}
    if form == "onnx":
        runtime = f"onnxruntime {version('onnxruntime')}"
        times = {runtime: parity.microseconds(lambda: model(arrays)), **times}
    return times


def _print(
    path: Path, beside: Path, about: dict[str, Any], result: parity.Parity, times: dict[str, float]
) -> None:
    console = new_console()
    lines = {
        "model": f"{path} ({size_text(path.stat().st_size)})",
        "card": str(beside),
        "inputs": "; ".join(f"{name} {what}" for name, what in about["inputs"].items()),
        "outputs": "; ".join(f"{name} {what}" for name, what in about["outputs"].items()),
        "checked": checked_text(result),
        "decision": decision_text(times),
    }
    for name, text in lines.items():
        console.print(f" {name:9} {text}", soft_wrap=True, highlight=False)
