"""Files of a plain policy: ONNX, torch's exported programs, and weights alone."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlbench.common.safe_write import replace_bytes
from rlbench.distribution import install
from rlbench.errors import UserError, unwritable
from rlbench.learning.export.plain_policy import PlainPolicy

FORMATS = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}
KEY = "rlbench"  # of what the file says of itself, as JSON
Arrays = dict[str, np.ndarray]
Model = Callable[[Arrays], Arrays]  # from inputs to outputs, by name


def write(policy: PlainPolicy, form: str, path: Path, about: Mapping[str, Any]) -> None:
    """Write a policy in one of FORMATS, with what is known `about` it.

    Raises:
        UserError: A library is missing, the policy cannot be traced, or the file not be written.
    """
    text = json.dumps(about)
    content = {"onnx": _onnx, "torch": _torch, "safetensors": _safetensors}[form](policy, text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content)
    except OSError as error:
        raise unwritable(path, error) from None


def read(policy: PlainPolicy, form: str, path: Path) -> Model:
    """Read what `write` wrote as a function of arrays; weights alone go into a copy of `policy`."""
    if form == "onnx":
        return onnx_model(path)[0]
    if form == "torch":
        return as_model(torch.export.load(path).module(), policy)
    bare = PlainPolicy.__new__(PlainPolicy)
    bare.__dict__.update(_emptied(policy).__dict__)
    bare.load_state_dict(_library("safetensors.torch", "onnx").load_file(path))
    return as_model(bare, policy)


def as_model(module: Callable[..., Any], policy: PlainPolicy) -> Model:
    """Return a module as a function of arrays by name."""

    def run(arrays: Arrays) -> Arrays:
        inputs = [torch.from_numpy(arrays[name]) for name in policy.input_names]
        with torch.inference_mode():
            outputs = module(*inputs)
        names = policy.output_names
        return {name: value.numpy() for name, value in zip(names, outputs, strict=True)}

    return run


def onnx_model(path: Path) -> tuple[Model, dict[str, Any], Any]:
    """Open an ONNX file: a function of arrays, what it says of itself, and the session.

    Raises:
        UserError: The file is none, or was not written here.
    """
    runtime = _library("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map.get(KEY, "null"))
    except Exception as error:
        raise UserError(f"{path} is no ONNX file that can be read: {_line(error)}") from None
    names = [each.name for each in session.get_outputs()]

    def run(arrays: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, arrays), strict=True))

    return run, about or {}, session


def _onnx(policy: PlainPolicy, about: str) -> bytes:
    _library("onnxscript", "onnx")
    onnx = _library("onnx", "onnx")
    batch = torch.export.Dim("batch")
    example = policy.example(2)
    with _quiet():
        program: Any = torch.onnx.export(
            policy, example, dynamo=True, verbose=False, input_names=list(policy.input_names),
            output_names=list(policy.output_names),
            dynamic_shapes={"inputs": tuple({0: batch} for _ in example)},
        )  # fmt: skip
    proto = program.model_proto
    proto.metadata_props.add(key=KEY, value=about)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def _torch(policy: PlainPolicy, about: str) -> bytes:
    batch = torch.export.Dim("batch")
    example, file = policy.example(2), io.BytesIO()
    with _quiet():
        program = torch.export.export(
            policy, example, dynamic_shapes={"inputs": tuple({0: batch} for _ in example)}
        )
        torch.export.save(program, file, extra_files={f"{KEY}.json": about})
    return file.getvalue()


def _safetensors(policy: PlainPolicy, about: str) -> bytes:
    weights = {name: value.contiguous() for name, value in policy.state_dict().items()}
    content: bytes = _library("safetensors.torch", "onnx").save(weights, {KEY: about})
    return content


def _emptied(policy: PlainPolicy) -> PlainPolicy:
    """Return a copy whose weights are all 0, so that a file that lacks some shows."""
    import copy

    bare = copy.deepcopy(policy)
    for value in bare.state_dict().values():
        value.zero_()
    return bare


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporters print, and turn what they raise into one line."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise UserError(
            f"torch cannot export this network: {_line(error)}; --format safetensors writes its "
            "weights"
        ) from None
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"this needs {name.partition('.')[0]}: {install(extra)}") from None


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
