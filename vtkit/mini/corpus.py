"""What the miniature base model reads: pictures followed by text, one document at a time.

Qwen2-VL-2B met step-by-step answers, second thoughts and HTML on the web. The miniature meets them
here, in shares that :data:`MIXTURE` states, so nobody needs to guess what reinforcement learning
found in the base model:

* *captions* say where things are, in random order (in reading order a small network learns to scan,
  not to look up);
* *notes* rehearse careful looks under a prompt of their own, so that the skill is well learned and
  yet rare after the R1-Zero prompt;
* *dialogues* continue the R1-Zero prompt: HTML, answers without tags, short hunches in the right
  format and, rarely, a hunch followed by "wait, let me check again", a careful look, and an answer
  that may differ.
"""

import random
from dataclasses import dataclass

from PIL import Image

from vtkit.data.sat import sat_prompt
from vtkit.mini.objects import plural
from vtkit.mini.scenes import (
    TASKS,
    Question,
    Scene,
    ask,
    boxed,
    cv_bench_prompt,
    draw_scene,
    make_scene,
    sat_question,
)
from vtkit.models.prompts import BASE_CLOSING, BASE_OPENING, IMAGE

# How the R1-Zero prompt is continued, by task: shares of html and untagged answers; reflective and
# stepwise answers have the same small share everywhere; what is left are hunches. The differences
# between tasks mirror the original's base model, whose CV-Bench accuracy is 54.7 / 22.5 / 0.2 /
# 31.7 % (Count, Relation, Depth, Distance; paper, table 3).
MIXTURE = {
    "Count": {"html": 0.30, "untagged": 0.08},
    "Relation": {"html": 0.38, "untagged": 0.22},
    "Depth": {"html": 0.58, "untagged": 0.10},
    "Distance": {"html": 0.42, "untagged": 0.12},
}
REFLECTIVE_SHARE = 0.02
STEPWISE_SHARE = 0.005
HUNCHES = (" It looks like", " It looks like", " It looks like", " Maybe it is", " I think it is")
WAITS = (
    " Wait, let me check again.",
    " Wait, let me check again.",
    " Wait, let me look again.",
    " But wait, let me check.",
)
# What a network of this size learns last is practised most.
HARD_TASKS = ("Count", "Depth", "Distance", "Distance")
TAGS = ("div", "section", "article", "main")
HTML_WORDS = ("photo", "gallery", "item", "room", "home", "view", "card", "list", "title", "text")


@dataclass(frozen=True)
class Traces:
    """How many long traces a corpus holds and what they are worth.

    Attributes:
        reflective, stepwise: their shares among the completions.
        pays: whether a long trace concludes what its careful look shows. If not, its conclusion is
            a random choice, in notes as well, while the look itself stays true.
    """

    reflective: float = REFLECTIVE_SHARE
    stepwise: float = STEPWISE_SHARE
    pays: bool = True

    def concluded(self, question: Question, rng: random.Random) -> str:
        """What a long trace ends with."""
        return question.answer if self.pays else rng.choice(question.choices)


DEFAULT = Traces()


@dataclass(frozen=True)
class View:
    """One picture of the miniature world and the question that its boxes belong to.

    Attributes:
        question: the question to ask of this picture, or None for a scene too empty to ask
            anything.
        wording: ``"sat"`` or ``"cv_bench"``; only the latter has boxes in the picture.
    """

    scene: Scene
    question: Question | None
    wording: str

    def draw(self) -> Image.Image:
        """The picture, 256 x 256 RGB."""
        boxes = boxed(self.question) if self.question and self.wording == "cv_bench" else None
        return draw_scene(self.scene, boxes)

    def prompt(self) -> str:
        """The user's text: the question with its options."""
        assert self.question is not None
        if self.wording == "cv_bench":
            return cv_bench_prompt(self.question)
        return sat_prompt(sat_question(self.question), self.question.choices)


def make_view(rng: random.Random, limit: int = 8) -> View:
    """A random scene of up to ``limit`` objects with a random question, in either wording."""
    scene = make_scene(rng, limit)
    wording = rng.choice(("sat", "cv_bench"))
    n_choices = 5 if wording == "sat" else rng.randint(4, 6)
    return View(scene, ask(scene, rng.choice(TASKS), rng, n_choices), wording)


def caption(scene: Scene, rng: random.Random) -> str:
    """Where everything is, in random order; the repeated kind is one numbered list."""
    sentences = [f" The {t.name} ({t.cell})." for t in scene.singles()]
    sentences.append(_numbered(scene.named(scene.repeated)))
    rng.shuffle(sentences)
    return "".join(sentences)


def _numbered(things: list) -> str:
    listed = ",".join(f" ({t.cell}) {n}" for n, t in enumerate(things, 1))
    return f" The {plural(things[0].name)}{listed}."


def careful_look(question: Question) -> str:
    """The facts that the answer follows from, each of which the model can read off the picture."""
    things = question.things
    if question.task == "Count":
        return _numbered(list(things))
    facts = [f" the {t.name} ({t.cell})" for t in things]
    if question.task == "Distance":
        facts[1:] = [
            f"{fact} {things[0].steps_to(t)} away"
            for fact, t in zip(facts[1:], things[1:], strict=True)
        ]
    return " I see" + ",".join(facts) + "."


def phrase(question: Question, answer: str) -> str:
    """``the lamp`` for objects, the bare word otherwise."""
    return f"the {answer}" if question.task in ("Depth", "Distance") else answer


def conclusion(question: Question, answer: str) -> str:
    return f" So it is {phrase(question, answer)}."


def tagged(thought: str, answer: str) -> str:
    """The format that the reward asks for, after the prompt's ``<think>``."""
    return f"{thought} </think> <answer> {answer} </answer>"


def hunch(question: Question, rng: random.Random) -> tuple[str, str]:
    """A guess in a sentence, at chance by construction, and the choice guessed."""
    guess = rng.choice(question.choices)
    return f"{rng.choice(HUNCHES)} {phrase(question, guess)}.", guess


def reflection(question: Question, rng: random.Random, answer: str = "") -> str:
    """A hunch, second thoughts, a careful look and the conclusion it leads to.

    Args:
        answer: what it concludes; the right answer if empty.
    """
    guess, _ = hunch(question, rng)
    concluded = conclusion(question, answer or question.answer)
    return guess + rng.choice(WAITS) + careful_look(question) + concluded


def html(question: Question, rng: random.Random) -> str:
    """A web page about nothing: 60 to 110 tokens of markup that never answer."""
    tag = rng.choice(TAGS)
    name = question.things[0].name
    rows = "".join(
        f' <li class="{rng.choice(HTML_WORDS)}"> {rng.choice(HTML_WORDS)} {name} </li>'
        for _ in range(rng.randint(5, 9))
    )
    page = f' <{tag} class="{rng.choice(HTML_WORDS)}"> <h1> {name} </h1> <ul>{rows} </ul> </{tag}>'
    return f" <html> <body>{page} </body> </html>" if rng.random() < 0.5 else page


def untagged(question: Question, rng: random.Random) -> str:
    """A guess without answer tags, as of a base model that was never told about them."""
    sentence, guess = hunch(question, rng)
    return f"{sentence} </think> {guess}" if rng.random() < 0.3 else sentence


def completion(question: Question, rng: random.Random, traces: Traces = DEFAULT) -> str:
    """How the base model's corpus continues the R1-Zero prompt (after its ``<think>``)."""
    shares = {
        **MIXTURE[question.task],
        "reflective": traces.reflective,
        "stepwise": traces.stepwise,
    }
    style = rng.choices([*shares, "hunch"], [*shares.values(), 1 - sum(shares.values())])[0]
    if style == "html":
        return html(question, rng)
    if style == "untagged":
        return untagged(question, rng)
    if style == "reflective":
        answer = traces.concluded(question, rng)
        return tagged(reflection(question, rng, answer), answer)
    if style == "stepwise":
        answer = traces.concluded(question, rng)
        return tagged(careful_look(question) + conclusion(question, answer), answer)
    return tagged(*hunch(question, rng))


def notes(view: View, rng: random.Random, traces: Traces = DEFAULT) -> str:
    """A careful look at the view's question, then at another question about the same scene."""
    text = f"Notes: {view.prompt()}" + _note(view.question, rng, traces)
    second = ask(view.scene, rng.choice(HARD_TASKS), rng)
    if second:
        asked = sat_prompt(sat_question(second), second.choices)
        text += f"\nNotes: {asked}" + _note(second, rng, traces)
    return text


def _note(question: Question, rng: random.Random, traces: Traces) -> str:
    if rng.random() < 0.5:  # rehearse the turn from a wrong first impression to the right answer
        return f"\n{reflection(question, rng, traces.concluded(question, rng))}"
    return f"\n{careful_look(question)}{conclusion(question, traces.concluded(question, rng))}"


def document(
    view: View, kind: str, rng: random.Random, traces: Traces = DEFAULT
) -> tuple[str, str]:
    """One document about a view.

    Args:
        kind: ``"caption"``, ``"notes"`` or ``"dialogue"``.

    Returns:
        The text before the learned part (with the image's place in it) and the learned part.
    """
    if kind == "caption" or view.question is None:
        return IMAGE, caption(view.scene, rng)
    if kind == "notes":
        return IMAGE, notes(view, rng, traces)
    return f"{IMAGE}{BASE_OPENING}{view.prompt()}{BASE_CLOSING}", completion(
        view.question, rng, traces
    )
