"""Sentences that answer the questions of the instruct miniature's chats, whatever the style."""

from dataclasses import dataclass, replace

from vtkit.mini.corpus import phrase
from vtkit.mini.objects import plural
from vtkit.mini.replications.problems import Problem
from vtkit.mini.replications.recognition import Recognition
from vtkit.mini.scenes import Question, Scene

_SCENE = "The image shows a scene with several objects."


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
        opening=_SCENE,
        restated=restated, plans=plans, conclusion=conclusion, reason=reason,
        answer=question.answer, closing=f"Therefore, the answer is {question.answer}.",
    )  # fmt: skip


def _counted(many: str, one: str, answer: str) -> Wording:
    return Wording(
        opening=_SCENE,
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


def recognition_wording(asked: Recognition) -> Wording:
    """Word the answer to a question that asks what an object is: its name."""
    which = "which object this is" if asked.marked else "which object is in the scene"
    look = "look at the picture" if asked.marked else "look at each object in the picture"
    found = "This object" if asked.marked else "The object in the scene"
    return Wording(
        opening=_SCENE,
        restated=f"The question asks {which}.",
        plans=(f"To determine {which}, I will {look}.", f"I need to {look} and identify it."),
        conclusion=f"{found} is the {asked.answer}.",
        reason="It can be seen in the picture.",
        answer=asked.answer,
        closing=f"Therefore, the answer is {asked.answer}.",
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
