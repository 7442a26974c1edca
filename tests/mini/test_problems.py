"""Figures and problems of the other replications: read off the picture a second way."""

import math
import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.mini.objects import plural
from vtkit.mini.replications.figures import ANGLES, COLOURS, KINDS, Figure, Rod, make_figure
from vtkit.mini.replications.problems import LETTERS, TASKS, WORLDS, make_problem
from vtkit.mini.scenes import CELL, SIDE, Scene

many = settings(max_examples=100, deadline=None)
seeds = st.integers(0, 2**32)


def direction(rod: Rod) -> np.ndarray:
    return np.subtract(rod.end, rod.start) / math.dist(rod.start, rod.end)


def colour_mask(figure: Figure, colour: str) -> np.ndarray:
    drawn = np.asarray(figure.draw(), int)
    return np.abs(drawn - COLOURS[colour]).sum(axis=2) < 30


@many
@given(seeds, st.booleans())
def test_angles_follow_from_the_end_points(seed, held_out):
    figure = make_figure("angle", random.Random(seed), held_out=held_out)
    assert figure == make_figure("angle", random.Random(seed), held_out=held_out)
    assert figure.held_out == held_out
    red, blue = figure.rods
    assert red.start == blue.start
    turn = math.degrees(math.acos(np.clip(direction(red) @ direction(blue), -1, 1)))
    assert figure.angle in ANGLES and abs(turn - figure.angle) < 2
    assert all(0 < value < SIDE for rod in figure.rods for value in rod.end)


@many
@given(seeds)
def test_lengths_are_whole_squares_and_rods_keep_apart(seed):
    figure = make_figure("lengths", random.Random(seed))
    covered = []
    for rod in figure.rods:
        (x1, y1), (x2, y2) = rod.start, rod.end
        cells = {
            (x // CELL, y // CELL)
            for x in range(min(x1, x2), max(x1, x2) + 1)
            for y in range(min(y1, y2), max(y1, y2) + 1)
        }
        assert len(cells) == rod.length
        covered.append(cells)
    assert not covered[0] & covered[1]


@pytest.mark.parametrize("kind", KINDS)
def test_rods_are_drawn_where_they_are(kind):
    for seed in range(3):
        figure = make_figure(kind, random.Random(seed))
        for rod in figure.rods:
            ys, xs = np.nonzero(colour_mask(figure, rod.colour))
            middle = np.add(rod.start, rod.end) / 2
            assert np.abs(middle - (xs.mean(), ys.mean())).max() < 8
            extent = math.hypot(np.ptp(xs), np.ptp(ys))
            assert abs(extent - math.dist(rod.start, rod.end)) < 16


def test_every_angle_and_length_is_as_likely_as_another():
    rng = random.Random(0)
    angles = Counter(make_figure("angle", rng).angle for _ in range(800))
    assert set(angles) == set(ANGLES) and min(angles.values()) > 150
    lengths = Counter(make_figure("lengths", rng).rods[0].length for _ in range(800))
    assert set(lengths) == {1, 2, 3, 4} and min(lengths.values()) > 150


def test_directions_are_named_as_seen():
    ends = {"right": (9, 5), "up": (5, 1), "down left": (1, 9), "up right": (9, 1)}
    assert {name: Rod("red", (5, 5), end).direction for name, end in ends.items()} == {
        name: name for name in ends
    }


def worked_out(text: str, picture: Scene | Figure) -> str:
    """The answer from the problem's words and the picture's objects alone."""
    if isinstance(picture, Figure):
        lengths = {rod.colour: round(math.dist(rod.start, rod.end) / CELL) for rod in picture.rods}
        if "angle" in text:
            red, blue = map(direction, picture.rods)
            return f"{45 * round(math.degrees(math.acos(np.clip(red @ blue, -1, 1))) / 45)}°"
        if "total" in text:
            return str(sum(lengths.values()))
        return str(lengths[re.search(r"length of the (red|blue) rod", text)[1]])
    names = [plural(thing.name) for thing in picture.things]
    n = max(names.count(word) for word in re.findall(r"\w+", text))
    if "taken away" in text:
        return str(n - int(re.search(r"if (\d)", text)[1]))
    if "added" in text:
        return str(n + int(re.search(r"if (\d)", text)[1]))
    if "dollars" in text:
        return str(n * int(re.search(r"costs (\d)", text)[1]))
    return str(n)


@many
@given(seeds, st.sampled_from(WORLDS))
def test_answers_are_right_and_among_the_choices(seed, world):
    problem = make_problem(world, random.Random(seed))
    assert problem.task in TASKS[world]
    assert problem.answer == worked_out(problem.question, problem.picture)
    if problem.choices:
        assert len(set(problem.choices)) == len(LETTERS)
        listed = re.findall(r"^([A-D])[:.] ?(.+)$", problem.text, re.MULTILINE)
        assert dict(listed)[problem.letter] == problem.answer
    else:
        assert problem.text == problem.question


@many
@given(seeds, st.sampled_from(WORLDS))
def test_worked_solutions_end_at_the_answer_and_their_sums_hold(seed, world):
    problem = make_problem(world, random.Random(seed))
    sums = re.findall(r"(\d+) ([-+x]) (\d+) = (\d+)", problem.steps)
    for first, sign, second, result in sums:
        a, b = int(first), int(second)
        assert {"+": a + b, "-": a - b, "x": a * b}[sign] == int(result)
        assert result == problem.answer
    assert re.search(rf"\b{problem.answer}(?!\w)", problem.steps)


def test_no_letter_gives_the_answer_away():
    rng = random.Random(1)
    letters = Counter(make_problem("journey", rng).letter for _ in range(800))
    assert set(letters) == set(LETTERS) and min(letters.values()) > 150
