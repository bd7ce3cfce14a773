"""The rows of a CSV file that another process may still be writing."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from rlbench.common.safe_write import NO_FOLLOW

Row = dict[str, str]


class RowTail:
    """Reader of the rows that were added since it last looked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode, self._offset, self._names = -1, 0, list[str]()

    def new(self) -> list[Row]:
        """Return new whole lines as rows: text by column.

        A part that goes on cuts its files to what its checkpoint holds, which makes new files: then
        all rows are returned once more.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | NO_FOLLOW)
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._inode, self._offset, self._names = status.st_ino, 0, []
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = list(csv.reader(io.StringIO(whole.decode("utf-8", "replace"))))
        if lines and not self._names:
            self._names = lines.pop(0)
        return [dict(zip(self._names, line, strict=False)) for line in lines]
