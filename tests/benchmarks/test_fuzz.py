"""Any bytes in the place of a file, a suite or a parameter end well or as a user's mistake."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # its modules import each other by name

pytest.importorskip("optuna")

import fuzz  # noqa: E402

TARGETS = fuzz.targets()
LIMIT = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", TARGETS)
def test_samples_are_accepted(name: str, tmp_path: Path) -> None:
    """Control: what the fuzzer begins with is read, so changes of it reach far."""
    target = TARGETS[name]
    assert all(fuzz.attempt(target, sample, tmp_path) for sample in target.samples)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200))
@LIMIT
def test_any_bytes(name: str, tmp_path: Path, data: bytes) -> None:
    fuzz.attempt(TARGETS[name], data, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@LIMIT
def test_changed_samples(name: str, tmp_path: Path, data: st.DataObject) -> None:
    """A few bytes are replaced, put in or cut out of a valid input."""
    content = bytearray(data.draw(st.sampled_from(TARGETS[name].samples)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 8))
        content[at : at + length] = data.draw(st.binary(max_size=8))
    fuzz.attempt(TARGETS[name], bytes(content), tmp_path)


def hostile_npz(shape: tuple[int, ...], megabytes: int) -> bytes:
    """Return an archive whose array claims a shape, and unpacks to so many megabytes of zeros."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("results.npy", "w") as entry,
    ):
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(entry, header)
        for _ in range(megabytes):
            entry.write(bytes(2**20))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("npz", hostile_npz((2**50,), 0)),
        ("npz", hostile_npz((2**24,), 128)),
        ("import-npz", hostile_npz((2**40, 2**10), 1)),
        ("import-marl-eval", b"[" * 200_000),
        ("import-marl-eval", b'{"a":' * 100_000),
        ("store-run.json", b"[" * 200_000),
        ("store-part.json", b'{"seeds":' * 100_000),
        ("suite", b"a = " + b"[" * 50_000),
        ("import-marl-eval", json.dumps({"e": "9" * 10_000}).encode()),
        ("seeds", b"0-99999999999"),
        ("seeds", b"9" * 5_000),
        ("parameters", b"net_arch=" + b"[" * 50_000),
        ("parameters", b"gamma=" + b"9" * 10_000),
    ],
)
def test_claims_and_depth_take_no_memory(name: str, data: bytes, tmp_path: Path) -> None:
    """Huge shapes, bombs and deep nesting are refused, within 100 MB."""
    tracemalloc.start()
    accepted = fuzz.attempt(TARGETS[name], data, tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not accepted or name == "seeds"
    assert most < 100 * 2**20
