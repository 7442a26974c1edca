"""What notebooks show: the same cells for a browser and for plain text."""

from vtkit.report import display


def test_a_table_of_text_is_markdown_and_columns(monkeypatch):
    shown = []
    monkeypatch.setattr(display, "display", lambda data, raw: shown.append(data))
    display.text_table(["control", "met"], [["grey", "**0 of 2 seeds**"]])
    assert shown[0]["text/markdown"].splitlines()[-1] == "| grey | **0 of 2 seeds** |"
    assert shown[0]["text/plain"] == "control  met\ngrey     **0 of 2 seeds**"
