"""Where completions are cut, that a cut loses nothing, and what is put in there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.aha.cuts import (
    commonest_sentence,
    count_sentences,
    count_tokens,
    cut_reflection,
    cut_thinking,
    forced_answer,
    make_placebo,
)
from vtkit.judging.phrases import find_reflections

END = " </think> <answer> left </answer>"


@pytest.mark.parametrize(
    ("completion", "before", "sentence"),
    [
        (" It is left. Wait, let me look. No.", " It is left.", " Wait, let me look."),
        (" it is left. wait, let me look. no.", " it is left.", " wait, let me look."),
        (
            "Left!\n\nHold on - that is 3.5 m away. No.",
            "Left!",
            "\n\nHold on - that is 3.5 m away.",
        ),
        (" Wait, let me look." + END, "", " Wait, let me look."),
        ("<think> Wait, let me look." + END, "<think>", " Wait, let me look."),
        (" A. Looking at it, hold on, B" + END, " A.", " Looking at it, hold on, B"),
        # only the first of several
        (" A. Wait, B. Wait, C. Wait, D.", " A.", " Wait, B."),
        (" A. But wait! I can think of more.", " A.", " But wait!"),
        # prose without full stops: the phrase alone
        (
            " it is left" + " or up" * 50 + " hold on, it is right",
            " it is left" + " or up" * 50,
            " hold on,",
        ),
    ],
)
def test_the_sentence_of_the_first_phrase(completion, before, sentence):
    assert cut_reflection(completion)[:2] == (before, sentence)


@pytest.mark.parametrize(
    "completion",
    [
        "",
        " It is left." + END,
        " They wait there." + END,
        " A. Wait, let me",  # cut off
        " A." + END + " Wait, no.",  # after the answer
        " A. </THINK> Wait, no.",
        ' <div class="a"> A. Wait, let me look. B. </div>',
    ],
)
def test_nothing_to_cut(completion):
    assert cut_reflection(completion) is None


@pytest.mark.parametrize(
    ("sentences", "before"),
    [
        (None, "<think> A is 3.5 m away. So B.\nOr C"),
        (1, "<think> A is 3.5 m away."),
        (2, "<think> A is 3.5 m away. So B."),
        (3, "<think> A is 3.5 m away. So B.\nOr C"),
        (9, "<think> A is 3.5 m away. So B.\nOr C"),
    ],
)
def test_a_completion_without_reflection_is_cut_after_a_sentence_or_all(sentences, before):
    completion = "<think> A is 3.5 m away. So B.\nOr C" + END
    assert cut_thinking(completion, sentences) == (before, "", completion[len(before) :])


@pytest.mark.parametrize(
    "completion",
    [
        " It is left.",  # never ends its thinking
        END,  # has none
        "<think> " + END,
        " A. Wait, no." + END,
        " <ul> <li> A. </li> </ul>" + END,
    ],
)
def test_completions_in_which_nothing_can_be_put(completion):
    assert cut_thinking(completion) is None


def test_a_second_thought_after_the_answer_is_no_reflection_in_the_thinking():
    assert cut_thinking(" A." + END + " Wait, no.").before == " A."


FRAGMENTS = st.sampled_from(
    (
        *(" It is left.", " wait, let me check again.", " Hold on!", "\n", " ", "<think>", END),
        *(" re-check it", " 3.5 m", "...", " <div>", "…", " </think>", "<answer>", "A", "wait, "),
    )
)


@given(st.lists(FRAGMENTS, max_size=9).map("".join), st.integers(1, 4))
def test_a_cut_loses_nothing(completion, sentences):
    cuts = [
        cut_reflection(completion),
        cut_thinking(completion),
        cut_thinking(completion, sentences),
    ]
    for cut in filter(None, cuts):
        assert "".join(cut) == completion
        assert cut.before == cut.before.rstrip() or cut.before == completion[: len(cut.before)]
        assert not find_reflections(cut.before)
    removed = cuts[0]
    if removed:  # taken out and put back: no change
        without = removed.before + removed.after
        place = len(removed.before)
        assert without[:place] + removed.sentence + without[place:] == completion
        assert find_reflections(removed.sentence + removed.after[:1])
    if cuts[1]:
        assert cuts[2].before == cuts[1].before[: len(cuts[2].before)]
        assert count_sentences(cuts[2].before) <= count_sentences(cuts[1].before)


def test_forcing_closes_only_what_is_open():
    assert forced_answer(" It is left.", prefilled=True) == " </think> <answer>"
    assert forced_answer("<think> It is left.", prefilled=False) == " </think> <answer>"
    assert forced_answer("It is left.", prefilled=False) == " <answer>"


def test_the_commonest_sentence_needs_three():
    assert commonest_sentence([]) is None
    assert commonest_sentence([" Wait, a.", " Wait, a.", " Hold on."]) is None
    said = ["\nWait, b.", " Wait, a.", " Wait, b.", " Wait, a.", " Wait, a.", " Wait, b."]
    assert commonest_sentence(said) == " Wait, b."


@pytest.mark.parametrize("length", [3, 6, 7, 8, 9, 12, 20, 33, 60])
def test_a_placebo_is_as_long_and_reflects_nothing(length, random_base):
    from vtkit.models.loading import load_processor

    tokenizer = load_processor(
        random_base, prompt="base", min_pixels=4096, max_pixels=4096
    ).tokenizer
    placebo = make_placebo(tokenizer, length)
    assert abs(count_tokens(tokenizer, placebo) - length) <= 1
    assert not find_reflections(placebo) and placebo.startswith(" ") and placebo.endswith(".")
