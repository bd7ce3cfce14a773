"""Files of films: GIF by Pillow, MP4 by imageio-ffmpeg."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import itertools
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rlbench.common.safe_write import replacing
from rlbench.distribution import install
from rlbench.errors import UserError, unwritable

if TYPE_CHECKING:
    from PIL.Image import Image

# Frames of a film. Those of a GIF are held in RAM, 240 kB each at 600x400.
MOST = {".gif": 1_000, ".mp4": 20_000}


def can_write_mp4() -> bool:
    """Return whether the package for MP4 files is installed."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def check_output(file: Path) -> None:
    """Refuse a film that could not be written, before anything is played.

    Raises:
        UserError: It is neither a GIF nor an MP4 file, what writes MP4 files is not installed, or
            no file can be put into its folder.
    """
    kind = file.suffix.lower()
    if kind not in MOST:
        raise UserError(f"-o {file}: a film is a GIF or MP4, so its name must end in .gif or .mp4")
    if kind == ".mp4" and not can_write_mp4():
        raise UserError(
            f"-o {file}: an MP4 needs imageio-ffmpeg: {install('video')}, or give a name that ends "
            "in .gif"
        )
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise unwritable(file, error) from None


def write_film(frames: Iterable[Image], file: Path, frames_per_second: float) -> int:
    """Write frames of one size as a film; return how many, at most `MOST` of the kind of file.

    Raises:
        UserError: The file cannot be written.
    """
    kind = file.suffix.lower()
    cut = itertools.islice(frames, MOST[kind])
    write = _write_gif if kind == ".gif" else _write_mp4
    return write(cut, file, frames_per_second)


def _write_gif(frames: Iterator[Image], file: Path, frames_per_second: float) -> int:
    """Write a GIF that repeats, with 256 colours per frame."""
    drawn = [frame.quantize() for frame in frames]
    pause = max(20, 10 * round(100 / frames_per_second))  # milliseconds: players take no less
    try:
        with replacing(file) as stream:
            drawn[0].save(
                stream, format="GIF", save_all=True, append_images=drawn[1:], duration=pause, loop=0
            )
    except OSError as error:
        raise unwritable(file, error) from None
    return len(drawn)


def _write_mp4(frames: Iterator[Image], file: Path, frames_per_second: float) -> int:
    """Write an MP4 with H.264, frame by frame."""
    import imageio_ffmpeg

    first = next(frames)
    size = first.width + first.width % 2, first.height + first.height % 2  # H.264 needs even sides
    temporary = file.with_name(f"{file.stem[:200]}.{secrets.token_hex(8)}.tmp.mp4")
    count = 0
    try:
        temporary.touch()  # else ffmpeg's own words, a page of them
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            size,
            fps=frames_per_second,
            macro_block_size=1,
            ffmpeg_log_level="error",
        )
        with contextlib.closing(writer):
            writer.send(None)
            for frame in itertools.chain([first], frames):
                writer.send(_padded(frame, size).tobytes())
                count += 1
        temporary.replace(file)
    except OSError as error:
        raise unwritable(file, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return count


def _padded(frame: Image, size: tuple[int, int]) -> Image:
    from PIL import Image

    if frame.size == size and frame.mode == "RGB":
        return frame
    canvas = Image.new("RGB", size)
    canvas.paste(frame)
    return canvas
