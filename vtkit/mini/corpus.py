"""Documents that the miniature base is pre-trained on: a picture followed by text.

* *captions* list where things are, in random order, to teach looking up instead of scanning;
* *notes* practise careful looks under their own prompt, which keeps them rare in dialogues;
* *dialogues* continue the R1-Zero prompt in the shares of :data:`MIXTURE`: HTML, answers without
  tags, short hunches and, rarely, a hunch, "wait, let me check again" and a careful look.
"""

import random
from dataclasses import dataclass

from PIL import Image

from vtkit.data.sat import sat_prompt
from vtkit.mini import scenes
from vtkit.mini.objects import plural
from vtkit.mini.scenes import TASKS, Question, Scene, Thing, ask, make_scene
from vtkit.models.prompts import BASE_CLOSING, BASE_OPENING, IMAGE

# Continuations of the R1-Zero prompt by task: shares of html and untagged answers; reflective and
# stepwise ones have the same small share in all tasks; the rest are hunches. The differences mirror
# the original's base model, whose CV-Bench accuracy is 54.7 / 22.5 / 0.2 / 31.7 % (Count, Relation,
# Depth, Distance; paper, table 3).
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
# Tasks that a network of this size learns last are practised most.
HARD_TASKS = ("Count", "Depth", "Distance", "Distance")
TAGS = ("div", "section", "article", "main")
HTML_WORDS = ("photo", "gallery", "item", "room", "home", "view", "card", "list", "title", "text")


@dataclass(frozen=True)
class Traces:
    """The long traces of a corpus, with their shares among the completions.

    If they do not pay, they conclude a random choice, in notes as well; the look itself stays true.
    """

    reflective: float = REFLECTIVE_SHARE
    stepwise: float = STEPWISE_SHARE
    pays: bool = True

    def concluded(self, question: Question, rng: random.Random) -> str:
        """Return the answer that a long trace ends with."""
        return question.answer if self.pays else rng.choice(question.choices)


DEFAULT = Traces()


@dataclass(frozen=True)
class View:
    """A scene and a question about it (None if the scene is too empty).

    The ``wording`` is ``"sat"`` or, with boxes in the picture, ``"cv_bench"``.
    """

    scene: Scene
    question: Question | None
    wording: str

    def draw(self) -> Image.Image:
        """Draw the picture, 256 x 256 RGB."""
        marked = self.question and self.wording == "cv_bench"
        return scenes.draw_scene(self.scene, scenes.boxed(self.asked) if marked else None)

    @property
    def asked(self) -> Question:
        """The question of a view that has one."""
        assert self.question is not None
        return self.question

    def prompt(self) -> str:
        """Return the user's text: the question with its options."""
        if self.wording == "cv_bench":
            return scenes.cv_bench_prompt(self.asked)
        return sat_prompt(scenes.sat_question(self.asked), self.asked.choices)


def make_view(rng: random.Random, limit: int = 8) -> View:
    """Make a random scene of up to ``limit`` objects with a random question, in either wording."""
    scene = make_scene(rng, limit)
    return _view(scene, rng.choice(("sat", "cv_bench")), rng)


def make_asking_view(rng: random.Random, wording: str, limit: int = 8) -> View:
    """Make a view as :func:`make_view` in one wording, and always with a question."""
    while not (view := _view(make_scene(rng, limit), wording, rng)).question:
        pass
    return view


def _view(scene: Scene, wording: str, rng: random.Random) -> View:
    n_choices = 5 if wording == "sat" else rng.randint(4, 6)
    return View(scene, ask(scene, rng.choice(TASKS), rng, n_choices), wording)


def caption(scene: Scene, rng: random.Random) -> str:
    """Give the place of everything, in random order; the repeated kind is one numbered list."""
    sentences = [f" The {t.name} ({t.cell})." for t in scene.singles()]
    sentences.append(_numbered(scene.named(scene.repeated)))
    rng.shuffle(sentences)
    return "".join(sentences)


def _numbered(things: list[Thing]) -> str:
    listed = ",".join(f" ({t.cell}) {n}" for n, t in enumerate(things, 1))
    return f" The {plural(things[0].name)}{listed}."


def careful_look(question: Question) -> str:
    """Give the facts that the answer follows from, as the picture shows them."""
    first, *others = question.things
    if question.task == "Count":
        return _numbered([first, *others])
    away = {t: f" {first.steps_to(t)} away" for t in others if question.task == "Distance"}
    facts = [f" the {t.name} ({t.cell}){away.get(t, '')}" for t in question.things]
    return " I see" + ",".join(facts) + "."


def phrase(question: Question, answer: str) -> str:
    """Return ``the lamp`` for objects, the bare word otherwise."""
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
    """A hunch, second thoughts, a careful look and a conclusion (the right one by default)."""
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
    """A guess without answer tags."""
    sentence, guess = hunch(question, rng)
    return f"{sentence} </think> {guess}" if rng.random() < 0.3 else sentence


def completion(question: Question, rng: random.Random, traces: Traces = DEFAULT) -> str:
    """A continuation of the R1-Zero prompt (after its ``<think>``), in the stated shares."""
    shares = MIXTURE[question.task] | {"reflective": traces.reflective, "stepwise": traces.stepwise}
    style = rng.choices([*shares, "hunch"], [*shares.values(), 1 - sum(shares.values())])[0]
    if style == "html":
        return html(question, rng)
    if style == "untagged":
        return untagged(question, rng)
    if style == "hunch":
        return tagged(*hunch(question, rng))
    answer = traces.concluded(question, rng)
    if style == "reflective":
        return tagged(reflection(question, rng, answer), answer)
    return tagged(careful_look(question) + conclusion(question, answer), answer)


def notes(view: View, rng: random.Random, traces: Traces = DEFAULT) -> str:
    """A careful look at the view's question, then at another question about the same scene."""
    text = f"Notes: {view.prompt()}" + _note(view.asked, rng, traces)
    if second := ask(view.scene, rng.choice(HARD_TASKS), rng):
        asked = sat_prompt(scenes.sat_question(second), second.choices)
        text += f"\nNotes: {asked}" + _note(second, rng, traces)
    return text


def _note(question: Question, rng: random.Random, traces: Traces) -> str:
    reflective = rng.random() < 0.5  # practises the turn from a wrong guess to the right answer
    answer = traces.concluded(question, rng)
    if reflective:
        return f"\n{reflection(question, rng, answer)}"
    return f"\n{careful_look(question)}{conclusion(question, answer)}"


def document(
    view: View, kind: str, rng: random.Random, traces: Traces = DEFAULT
) -> tuple[str, str]:
    """Make a ``"caption"``, ``"notes"`` or ``"dialogue"``: a prompt and the learned part."""
    if kind == "caption" or view.question is None:
        return IMAGE, caption(view.scene, rng)
    if kind == "notes":
        return IMAGE, notes(view, rng, traces)
    before = f"{IMAGE}{BASE_OPENING}{view.prompt()}{BASE_CLOSING}"
    return before, completion(view.question, rng, traces)
