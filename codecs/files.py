"""Files that are either the old one or the whole new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{uuid4().hex[:12]}.part")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # or a crash could leave the new name with none of its bytes
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
