"""Chats that the instruct miniature is tuned on: questions with fluent, right answers.

A rationale in tags restates the question or announces a plan, as Qwen2-VL-2B-Instruct's do, and
looks at nothing; no completion looks twice. Only in mathematics is a share of solutions worked:
Geo170K's name what they read off the figure, and a third of Geo170K describes figures.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from jinja2 import Template
from PIL import Image

from vtkit.mini.corpus import View, make_asking_view, phrase
from vtkit.mini.objects import plural
from vtkit.mini.pretraining import Document
from vtkit.mini.replications.chat_styles import ChatStyle
from vtkit.mini.replications.figures import KINDS, Figure, make_figure
from vtkit.mini.replications.problems import WORLDS, Problem, make_problem
from vtkit.mini.scenes import Question, Scene
from vtkit.models.prompts import conversation, get_template

# Share of chats that only describe a figure, and subjects of the others. Prompts and styles of
# answers are in vtkit.mini.replications.chat_styles.
DESCRIBED = 0.1
SUBJECTS = {"sat": 0.25, "cv-bench": 0.15, "r1-v": 0.2, "journey": 0.2, "open-r1-multimodal": 0.2}
# A rationale always has its plan; shares of its other sentences, in this order.
OPENING, RESTATED, CONCLUDED = 0.3, 0.4, 0.5
REASON, CLOSING = 0.6, 0.4  # shares of chatty answers that have one, if not at length
# Text between the two blocks; DeepSeek-R1's system text shows nothing there.
GAPS = {" ": 0.5, "\n": 0.4, "": 0.1}
R1_GAPS = {"": 0.5, " ": 0.5}
DESCRIBE = "Describe the figure."


@dataclass(frozen=True)
class Wording:
    """Sentences that answer one question; ``steps`` is the worked solution, or empty.

    ``opening``, ``restated`` and ``plans`` are of a rationale and do not depend on the picture;
    ``conclusion`` has the answer, ``reason`` a general reason and ``closing`` the answer again.
    """

    opening: str
    restated: str
    plans: tuple[str, ...]
    conclusion: str
    reason: str
    answer: str
    closing: str
    steps: str = ""


@dataclass(frozen=True)
class Chat:
    """A user's question about a picture, the chat template (``prompt``) and the completion.

    The subject is "figure" for descriptions, otherwise one of :data:`SUBJECTS`.
    """

    subject: str
    about: View | Problem | Figure
    question: str
    prompt: str
    style: str
    completion: str

    def draw(self) -> Image.Image:
        """Draw the picture, 256 x 256 RGB."""
        return self.about.draw()

    def document(self) -> Document:
        """Return the rendered prompt and the completion."""
        before, after = frame(self.prompt)
        return before + self.question + after, self.completion


@cache
def frame(prompt: str) -> tuple[str, ...]:
    """Return the text of a chat template before and after the question."""
    template = Template(get_template(prompt))
    rendered = template.render(messages=conversation("\0"), add_generation_prompt=True)
    return tuple(rendered.split("\0"))


def make_chat(rng: random.Random, chat_style: ChatStyle) -> Chat:
    """Make a random chat, in the shares above and those of ``chat_style``."""
    if rng.random() < DESCRIBED:
        figure = make_figure(rng.choice(KINDS), rng)
        return Chat("figure", figure, DESCRIBE, "instruct_direct", "short", description(figure))
    subject = _pick(SUBJECTS, rng)
    about: View | Problem
    if subject in WORLDS:
        about = problem = make_problem(subject, rng)
        question, wording = problem.text, problem_wording(problem)
    else:
        about = view = make_asking_view(rng, subject.replace("-", "_"))
        question, wording = view.prompt(), scene_wording(view.asked)
    prompt = _pick(chat_style.prompts[subject], rng)
    style = "short"
    if prompt != "instruct_direct":
        style = _pick(chat_style.maths_styles if wording.steps else chat_style.scene_styles, rng)
    gaps = R1_GAPS if prompt == "r1_system" else GAPS
    text = completion(wording, style, gaps, rng)  # even if unused: all styles draw the same numbers
    if chat_style.at_length and style == "chatty":
        text = everything(wording)
    return Chat(subject, about, question, prompt, style, text)


def description(figure: Figure) -> str:
    """Describe a figure in a sentence."""
    red, blue = (
        f"points {rod.direction}"
        if figure.kind == "angle"
        else f"covers {rod.length} square{'s' * (rod.length > 1)}"
        for rod in figure.rods
    )
    return f"In the figure, the red rod {red} and the blue rod {blue}."


def completion(wording: Wording, style: str, gaps: Mapping[str, float], rng: random.Random) -> str:
    """Answer in one of the styles worked, rationale, chatty or short; ``gaps``: between blocks."""
    if style == "short":
        return wording.answer
    if style == "chatty":
        worked = wording.steps and rng.random() < 0.5
        parts = [wording.steps if worked else wording.conclusion]
        parts += [wording.reason] if rng.random() < REASON and not worked else []
        parts += [wording.closing] if rng.random() < CLOSING or wording.steps else []
        return " ".join(parts)
    if style == "worked":
        thought = f"{wording.steps} {wording.closing}"
    else:
        parts = [wording.opening] if rng.random() < OPENING else []
        parts += [wording.restated] if rng.random() < RESTATED else []
        parts.append(rng.choice(wording.plans))
        parts += [wording.conclusion] if rng.random() < CONCLUDED else []
        thought = " ".join(parts)
    return f"<think> {thought} </think>{_pick(gaps, rng)}<answer> {wording.answer} </answer>"


def everything(wording: Wording) -> str:
    """Give all sentences of an answer, without tags."""
    parts = (wording.opening, wording.restated, *wording.plans, wording.steps or wording.conclusion)
    return " ".join((*parts, wording.reason, wording.closing))


def scene_wording(question: Question) -> Wording:
    """Word the answer to a question of SAT or CV-Bench: the choice's text."""
    if question.task == "Count":
        return _counted(plural(question.things[0].name), question.things[0].name, question.answer)
    names = [f"the {thing.name}" for thing in question.things]
    answer = phrase(question, question.answer)
    if question.task == "Relation":
        side = f"to the {answer} of" if question.axis == "column" else answer
        restated = f"The question asks where {names[0]} is with respect to {names[1]}."
        plans = (
            f"To determine the position of {names[0]}, I will compare it with the position of "
            f"{names[1]}.",
            f"I need to look at the positions of {names[0]} and {names[1]} in the picture.",
        )
        conclusion = f"The {question.things[0].name} is {side} {names[1]}."
        reason = "This can be seen from their positions in the picture."
    else:
        goal = "the camera" if question.task == "Depth" else names[0]
        compared = " and ".join(names[-2:])
        restated = f"The question asks which object is closer to {goal}."
        plans = (
            f"To determine which object is closer to {goal}, I will compare where each object "
            "stands.",
            f"I need to compare the distance from {goal} to {compared}.",
        )
        conclusion = f"The {question.answer} is closer to {goal}."
        reason = f"The distance from {goal} to it is smaller."
    return Wording(
        opening="The image shows a scene with several objects.",
        restated=restated, plans=plans, conclusion=conclusion, reason=reason,
        answer=question.answer, closing=f"Therefore, the answer is {question.answer}.",
    )  # fmt: skip


def _counted(many: str, one: str, answer: str) -> Wording:
    return Wording(
        opening="The image shows a scene with several objects.",
        restated=f"The question asks how many {many} there are.",
        plans=(
            f"To find the number of {many}, I will look at the picture and count each {one}.",
            f"I need to identify all {many} in the scene and count them.",
        ),
        conclusion=f"There is 1 {one}." if answer == "1" else f"There are {answer} {many}.",
        reason="They can be seen in different parts of the scene.",
        answer=answer,
        closing=f"Therefore, the answer is {answer}.",
    )


_ASKED = {
    "angle": ("the angle between the red rod and the blue rod", "look at the directions of both"),
    "length": ("the length of the rod", "count the squares that it covers"),
    "total": ("the total length of the rods", "add the lengths of the red rod and the blue rod"),
}
_SUMS = {
    "taken": ("how many are left", "subtract what is taken away", "The number left is {}."),
    "added": ("how many there are in all", "add the new ones", "There are {} in all."),
    "price": ("how much they cost", "multiply by the price of each", "They cost {} dollars."),
}


def problem_wording(problem: Problem) -> Wording:
    """Word the answer to a problem of another replication's world."""
    if problem.choices:
        asked, plan = _ASKED[problem.task]
        return Wording(
            opening="The figure shows a red rod and a blue rod.",
            restated=f"The question asks for {asked}.",
            plans=(f"To find {asked}, I will {plan}.", f"To solve this problem, I need to {plan}."),
            conclusion=f"In the figure, it is {problem.answer}.",
            reason="This can be read off the figure.",
            answer=problem.letter,
            closing=f"Therefore, the answer is option {problem.letter}.",
            steps=problem.steps,
        )
    assert isinstance(problem.picture, Scene)  # an open question is about a number of things
    one = problem.picture.repeated
    many = plural(one)
    counted = _counted(many, one, problem.answer)
    if problem.task == "count":
        return counted
    asked, plan, conclusion = _SUMS[problem.task]
    return replace(
        counted,
        restated=f"The question asks {asked}.",
        plans=(
            f"To solve this problem, I will count the {many} and then {plan}.",
            f"First I need the number of {many}, then I can {plan}.",
        ),
        conclusion=conclusion.format(problem.answer),
        reason="This follows from the number of objects in the image.",
        steps=problem.steps,
    )


def _pick(shares: Mapping[str, float], rng: random.Random) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]
