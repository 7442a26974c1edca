"""Tables of text, and templates: what is missing is an error, what a page shows is escaped."""

import jinja2
import pytest

from vtkit.rendering import align, markdown, templates


def test_a_table_is_the_same_in_markdown_and_in_columns():
    header, rows = ["control", "met"], [["grey", "**0 of 2**"], ["shuffled pictures", ""]]
    assert markdown(header, rows).splitlines() == [
        "| control | met |", "| --- | --- |", "| grey | **0 of 2** |", "| shuffled pictures |  |",
    ]  # fmt: skip
    assert align([header, *rows]).splitlines() == [
        "control            met", "grey               **0 of 2**", "shuffled pictures",
    ]  # fmt: skip


def test_a_missing_variable_is_an_error(tmp_path):
    (tmp_path / "card.md").write_text("{{ card.steps }} of {{ card.name | repr }}\n")
    template = templates(tmp_path).get_template("card.md")
    assert template.render(card={"steps": 3, "name": "<x>"}) == "3 of '<x>'\n"
    with pytest.raises(jinja2.UndefinedError, match="steps"):
        template.render(card={"name": "x"})


def test_pages_escape_what_they_show(tmp_path):
    (tmp_path / "page.html").write_text("{{ value }} {{ mark | safe }}")
    template = templates(tmp_path, html=True).get_template("page.html")
    assert template.render(value="<b>", mark="<i>") == "&lt;b&gt; <i>"
