"""Is a download that fails one line that names what was wanted and the remedy?"""

import pytest
from shared.calls import refusal

from vtkit import hub


@pytest.mark.parametrize(
    ("download", "what"),
    [
        (
            lambda: hub.download("x.parquet", "owner/nothing", "main"),
            "x.parquet of owner/nothing",
        ),
        (lambda: hub.download_all("owner/nothing", "main"), "the parquet files of owner/nothing"),
    ],
    ids=["a file", "a data set"],
)
def test_a_failed_download_names_what_was_wanted(download, what):
    message = refusal(download)
    assert message.startswith(f"cannot download {what}: ")
    assert message.endswith("check the network, or fetch the file yourself and name its folder")
