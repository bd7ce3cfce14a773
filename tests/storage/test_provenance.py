"""What a part records of the checkout that made it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rlbench.storage import provenance


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_commit_is_read_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with a newer date alone is no change, and the index stays as it was."""

    def git(*arguments: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "rlbench" / "storage" / "file.py"))
    assert provenance._commit() is None
    git("init", "-q")
    (tmp_path / "text").write_text("one")
    git("add", "text")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "--short=12", "HEAD")
    index = (tmp_path / ".git" / "index").read_bytes()
    os.utime(tmp_path / "text", (1, 1))
    assert provenance._commit() == commit
    assert (tmp_path / ".git" / "index").read_bytes() == index
    (tmp_path / "text").write_text("two")
    assert provenance._commit() == f"{commit}+"
