"""Calls that several test files make: a picture's bytes, a refused call, a training."""

import contextlib
import io
import zlib
from itertools import starmap
from pathlib import Path

import pytest
from PIL import Image

from vtkit.errors import UserError


def png(size=(28, 28)):
    out = io.BytesIO()
    Image.new("RGB", size, "white").save(out, "PNG")
    return out.getvalue()


def png_without_pixels(size=(28, 28)):
    """A PNG whose structure is whole, check sums included; it cannot be decoded."""
    header = b"".join(side.to_bytes(4) for side in size) + bytes([8, 2, 0, 0, 0])
    chunks = (b"IHDR", header), (b"IDAT", b"nothing deflated"), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(starmap(_chunk, chunks))


def _chunk(kind, data):
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def refusal(function, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def train_here(command: list[str], log: Path) -> None:
    """Carry out a ``train_command`` in this process, which has imported all that it needs."""
    from vtkit.training import __main__ as training

    with pytest.MonkeyPatch.context() as patch, open(log, "w") as handle:
        patch.setenv("VTKIT_HEADLESS", "1")
        with contextlib.redirect_stdout(handle), contextlib.redirect_stderr(handle):
            status = training.main(command[command.index("vtkit.training") + 1 :])
    assert status == 0, log.read_text()
