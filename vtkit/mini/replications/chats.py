"""Chats that the instruct miniature is tuned on: questions with fluent, right answers.

A rationale in tags restates the question or announces a plan, as Qwen2-VL-2B-Instruct's do, and
looks at nothing; no completion looks twice. Only in mathematics is a share of solutions worked:
Geo170K's name what they read off the figure, and a third of Geo170K describes figures.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Template
from PIL import Image

from vtkit.mini.corpus import View, make_asking_view
from vtkit.mini.pretraining import Document
from vtkit.mini.replications.chat_styles import ChatStyle
from vtkit.mini.replications.figures import KINDS, Figure, make_figure
from vtkit.mini.replications.problems import WORLDS, Problem, make_problem
from vtkit.mini.replications.recognition import Recognition, make_recognition
from vtkit.mini.replications.wordings import (
    Wording,
    problem_wording,
    recognition_wording,
    scene_wording,
)
from vtkit.models.prompts import conversation, get_template

# Share of chats that only describe a figure. Subjects of the others, prompts and styles of answers
# are in vtkit.mini.replications.chat_styles.
DESCRIBED = 0.1
# A rationale always has its plan; shares of its other sentences, in this order.
OPENING, RESTATED, CONCLUDED = 0.3, 0.4, 0.5
REASON, CLOSING = 0.6, 0.4  # shares of chatty answers that have one, if not at length
# Text between the two blocks; DeepSeek-R1's system text shows nothing there.
GAPS = {" ": 0.5, "\n": 0.4, "": 0.1}
R1_GAPS = {"": 0.5, " ": 0.5}
DESCRIBE = "Describe the figure."


@dataclass(frozen=True)
class Chat:
    """A user's question about a picture, the chat template (``prompt``) and the completion.

    The subject is "figure" for descriptions, otherwise one of the chat style's.
    """

    subject: str
    about: View | Problem | Recognition | Figure
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
    subject = _pick(chat_style.subjects, rng)
    about: View | Problem | Recognition
    if subject in WORLDS:
        about = problem = make_problem(subject, rng)
        question, wording = problem.text, problem_wording(problem)
    elif subject == "recognition":
        about = asked = make_recognition(rng)
        question, wording = asked.prompt(), recognition_wording(asked)
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


def _pick(shares: Mapping[str, float], rng: random.Random) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]
