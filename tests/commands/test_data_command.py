"""`rlbench data`: downloads from a real server that behaves badly, lists and checks."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import environment, wait_for
from data_files import REAL, lay, needs_mnist, refusal, small_mnist
from mirrors import Mirror

from rlbench.commands import data as data_module
from rlbench.envs.data import known_sets, splits
from rlbench.errors import UserError

FIRST, SECOND, *_ = NAMES = [f"{file}.gz" for file in known_sets.MNIST.sums]


class World:
    """A small MNIST that lies nowhere yet, and mirrors of it."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.folder, self.files = folder, files
        self.mirrors: list[Mirror] = []

    def mirror(self, **wrong: str) -> Mirror:
        wrong = {name.replace("_", "-"): what for name, what in wrong.items()}
        self.mirrors.append(Mirror(self.files, **wrong))
        return self.mirrors[-1]

    def get(self, *mirrors: Mirror) -> str:
        return data_module.get("mnist", quiet=True, mirrors=[mirror.url for mirror in mirrors])

    def here(self) -> list[str]:
        return sorted(file.name for file in self.folder.glob("*"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("no_proxy", "*")
    made = World(tmp_path / "data" / "mnist", small_mnist(monkeypatch, tmp_path / "data"))
    yield made
    for mirror in made.mirrors:
        mirror.end.set()
        mirror.shutdown()
        mirror.server_close()


def test_download_fetches_missing_files(world: World) -> None:
    """All four files, byte for byte; the second time nothing is asked for."""
    mirror = world.mirror()
    said = world.get(mirror)
    assert all(name in said for name in NAMES)
    assert mirror.asked == NAMES
    assert {name: (world.folder / name).read_bytes() for name in world.here()} == world.files
    assert splits.load("mnist").describe()["train"] == 80
    assert "already" in world.get(mirror)
    assert mirror.asked == NAMES


def test_progress_is_told(world: World) -> None:
    told: list[tuple[str, int, int | None]] = []
    known_sets.download(known_sets.SOURCES["mnist"], world.folder, [world.mirror().url],
                     lambda *news: told.append(news))  # fmt: skip
    last = {file: (done, total) for file, done, total in told}
    assert last == {file: (len(data), len(data)) for file, data in world.files.items()}


def test_only_what_is_missing_or_wrong_comes(world: World) -> None:
    mirror = world.mirror()
    lay(world.folder, {**world.files, FIRST: b"wrong", SECOND: world.files[SECOND][:-1]})
    (world.folder / NAMES[2]).unlink()
    world.get(mirror)
    assert mirror.asked == NAMES[:3]
    assert {name: (world.folder / name).read_bytes() for name in world.here()} == world.files


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("missing", "HTTP 404"),
        ("broken", "HTTP 503"),
        ("changed", "wrong checksum"),
        ("truncated", "it ended after"),
        ("unknown length", "wrong checksum"),
        ("reset", "[Errno"),
    ],
)
def test_a_bad_mirror(world: World, wrong: str, said: str) -> None:
    """The second mirror is asked; where there is none, one line says why and what to do."""
    bad, good = world.mirror(train_labels_idx1=wrong), world.mirror()
    line = refusal(world.get, bad, kind=UserError)
    assert f"{bad.url}{SECOND}: {said}" in line
    assert line.endswith(f"put {', '.join(NAMES[1:])} into {world.folder} by hand")
    assert world.here() == [FIRST]
    world.get(bad, good)
    assert good.asked == [SECOND]
    assert world.here() == sorted(NAMES)


def test_all_mirrors_are_named(world: World) -> None:
    bad, worse = (
        world.mirror(train_images_idx3="missing"),
        world.mirror(train_images_idx3="changed"),
    )
    line = refusal(world.get, bad, worse, kind=UserError)
    assert f"{bad.url}{FIRST}: HTTP 404; {worse.url}{FIRST}: wrong checksum" in line
    assert world.here() == []


def test_without_network_the_message_says_what_to_do(world: World) -> None:
    """Nobody listens there any more."""
    mirror = world.mirror()
    mirror.shutdown()
    mirror.server_close()
    line = refusal(world.get, mirror, kind=UserError)
    assert "refused" in line
    assert f"put {', '.join(NAMES)} into {world.folder} by hand" in line


def test_a_mirror_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_sets, "_SECONDS", 0.2)
    mirror, told = world.mirror(train_images_idx3="hangs"), []

    def download() -> None:
        known_sets.download(known_sets.SOURCES["mnist"], world.folder, [mirror.url],
                         lambda *news: told.append(news))  # fmt: skip

    assert "timed out" in refusal(download)
    assert world.here() == []
    length = len(world.files[FIRST])
    assert told == [(FIRST, length // 2, length)]  # what came was told at once


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_while_downloading(world: World, how: signal.Signals) -> None:
    """Ctrl-C leaves nothing; kill -9 nothing that has a file's name."""
    mirror = world.mirror(train_images_idx3="hangs")
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from rlbench.commands import data; data.get('mnist', mirrors=[{mirror.url!r}])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment(), stderr=subprocess.PIPE
    ) as child:
        wait_for(lambda: any(world.folder.glob(".*")), child)
        child.send_signal(how)
        said = child.communicate(timeout=30)[1]
    assert (b"KeyboardInterrupt" in said) == (how == signal.SIGINT)
    # Python ends with 1 where the signal comes while it handles another exception.
    assert child.returncode in ({-how, 1} if how == signal.SIGINT else {-how})
    left = world.here()
    assert left == [] if how == signal.SIGINT else all(name[0] == "." for name in left)
    assert len(known_sets.missing(known_sets.SOURCES["mnist"], world.folder)) == 4


def test_a_folder_that_cannot_be_made(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RLBENCH_DATA", str(tmp_path / "file"))
    line = refusal(world.get, world.mirror(), kind=UserError)
    assert "cannot be written" in line
    assert "RLBENCH_DATA" in line


def test_what_cannot_be_downloaded(tmp_path: Path) -> None:
    assert "comes with scikit-learn" in refusal(data_module.get, "digits", kind=UserError)
    assert "tones is made by rlbench: only" in refusal(data_module.get, "Tones", kind=UserError)
    assert "is your own data" in refusal(data_module.get, str(tmp_path), kind=UserError)
    assert "Did you mean 'mnist'?" in refusal(data_module.get, "mnits", kind=UserError)
    assert "Did you mean 'mnist'?" in refusal(data_module.check, "mnits", kind=UserError)


def test_the_bar_is_drawn(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    data_module.get("mnist", mirrors=[world.mirror().url])
    output = capsys.readouterr()
    assert all(name in output.err for name in NAMES)
    assert output.out == ""


def test_listing_says_where_data_sets_are(world: World, tmp_path: Path) -> None:
    digits, mnist, fashion, cancer, *made = data_module.listing().splitlines()
    assert digits.startswith("digits ")
    assert cancer == "breast-cancer  569 cases of 30 numbers, 2 classes; comes with scikit-learn"
    assert [line.split()[0] for line in made] == ["next-value", "series", "texts", "tones"]
    assert all(line.endswith("; is made by rlbench") for line in made)
    assert f"4 of 4 files missing in {world.folder}: rlbench data get mnist" in mnist
    assert f"missing in {tmp_path / 'data' / 'fashion-mnist'}" in fashion
    assert "30.9 MB" in fashion
    lay(world.folder, {FIRST: b""})
    assert "3 of 4 files missing" in data_module.listing()
    lay(world.folder, world.files)
    assert f"; in {world.folder} (0.0 MB)" in data_module.listing()


def test_check_prints_checksums_splits_and_classes(world: World) -> None:
    assert "`rlbench data get mnist`" in refusal(data_module.check, "mnist", kind=UserError)
    lay(world.folder, world.files)
    lines = data_module.check("mnist").splitlines()
    first, files, titles, zero, total = lines[0], lines[1:5], lines[5], lines[6], lines[-1]
    assert len(lines) == 1 + 4 + 1 + 10 + 1
    assert "10 classes, images of 4x4x1" in first
    for line, name in zip(files, NAMES, strict=True):
        assert str(world.folder / name) in line
        assert f" {len(world.files[name]):,} bytes  checksum fits" in line
    assert titles.split() == ["class", "train", "validation", "test"]
    assert zero.split() == ["0", "8", "2", "2"]
    assert total.split() == ["all", "80", "20", "20"]
    lay(world.folder, {SECOND: world.files[NAMES[3]]})
    assert refusal(data_module.check, "mnist", kind=UserError).startswith(
        str(world.folder / SECOND)
    )


def test_check_of_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "comes with scikit-learn\n" in data_module.check("digits")
    small_mnist(monkeypatch, tmp_path)
    own = lay(tmp_path / "own", {name.removesuffix(".gz"): data for name, data in
                                 small_mnist(monkeypatch, tmp_path).items()})  # fmt: skip
    assert f"{own}: no checksum is known\n" in data_module.check(str(own))


@needs_mnist
def test_check_of_the_real_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLBENCH_DATA", str(REAL))
    said = data_module.check("mnist")
    assert said.count("checksum fits") == 4
    assert said.splitlines()[-1].split() == ["all", "55,000", "5,000", "10,000"]
    assert "checksums fit" in data_module.get("mnist", quiet=True)
