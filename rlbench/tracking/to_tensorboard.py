"""TensorBoard: event files in `tensorboard/` in the run's folder, a folder per seed.

They are written anew by every mirror, from the first row on, so that no step is there twice however
often a run was stopped. `tensorboard --logdir results` shows all runs.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from rlbench.tracking.trackers import RunFacts, title

ENDS = {"done": Status.STATUS_SUCCESS, "stopped": Status.STATUS_RUNNING}


class TensorBoardRun:
    """Event file of one seed, or of all together."""

    def __init__(self, facts: RunFacts, seed: int | None) -> None:
        self.last: dict[str, int] = {}
        folder = facts.folder / "tensorboard" / title(seed)
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = EventFileWriter(str(folder))
        # A TensorBoard that has read the file before forgets what it has read.
        self._add(0, Event(session_log=SessionLog(status=SessionLog.START)))
        start = plugin_data_pb2.SessionStartInfo(
            group_name=facts.group, start_time_secs=time.time()
        )
        for name, value in facts.hyperparameters.items():
            field = start.hparams[name]
            if isinstance(value, bool):
                field.bool_value = value
            elif isinstance(value, str):
                field.string_value = value
            else:
                field.number_value = value
        self._session(metadata.SESSION_START_INFO_TAG, session_start_info=start)

    def _session(self, tag: str, **info: object) -> None:
        """Write what TensorBoard's page of hyperparameters reads."""
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **info)
        plugin = SummaryMetadata.PluginData(
            plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString()
        )
        value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))
        self._add(0, Event(summary=Summary(value=[value])))

    def _add(self, step: int, event: Event) -> None:
        event.wall_time, event.step = time.time(), step
        self.writer.add_event(event)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by key at a step."""
        each = [Summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        self._add(step, Event(summary=Summary(value=each)))

    def attach(self, path: Path, step: int) -> None:
        """Add a picture; a GIF moves. Films of other kinds cannot be shown."""
        if path.suffix not in (".png", ".gif"):
            return
        from PIL import Image

        with Image.open(path) as picture:
            width, height = picture.size
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes()
        )
        tag = f"figures/{path.stem}"
        self._add(step, Event(summary=Summary(value=[Summary.Value(tag=tag, image=image)])))

    def flush(self) -> None:
        """Write what is waiting to the file."""
        self.writer.flush()

    def close(self, status: str) -> None:
        """Write how the seed ended, and close the file."""
        end = plugin_data_pb2.SessionEndInfo(
            status=ENDS.get(status, Status.STATUS_FAILURE), end_time_secs=time.time()
        )
        self._session(metadata.SESSION_END_INFO_TAG, session_end_info=end)
        self.writer.close()


class TensorBoard:
    """Tracker that writes event files."""

    def open(self, facts: RunFacts, seed: int | None, again: bool) -> TensorBoardRun:
        """Open the tracker's run of a seed, or of all seeds where `seed` is None."""
        del again  # every mirror is a new one
        return TensorBoardRun(facts, seed)

    def where(self, folder: Path) -> str:
        """Return how or where the mirror of a run is looked at."""
        return f"tensorboard --logdir {shlex.quote(str(folder))}"


tracker = TensorBoard
