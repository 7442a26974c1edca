"""Calls that several test files make: a picture's bytes, a refused call, a started command."""

import io
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from vtkit.errors import UserError
from vtkit.files import ROOT


def png(size=(28, 28)):
    out = io.BytesIO()
    Image.new("RGB", size, "white").save(out, "PNG")
    return out.getvalue()


def refusal(function, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def start(command: list[str], log: Path) -> subprocess.Popen:
    with open(log, "w") as handle:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env={**os.environ, "VTKIT_HEADLESS": "1"},
        )
