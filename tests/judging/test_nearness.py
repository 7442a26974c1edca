"""Closer and farther, the camera's motion, points, and texts that only describe or ask back."""

import pytest

from vtkit.judging import find_answer

POINTS, THINGS, SIDES = ("A is closer", "B is closer"), ("cup", "plate"), ("left", "right")
THREE = ("chair", "table", "lamp")
DEPTH = [
    ("A is closer to the camera, which makes B the farther one.", POINTS, 0),
    ("Point A is nearer to the camera. So B is the one farther away.", POINTS, 0),
    ("A is closer. Therefore point B is the more distant one.", POINTS, 0),
    ("Point A is on the road in front of us. So B is farther away.", POINTS, 0),
    ("The cues agree, and they put B farther away than A.", POINTS, 0),
    ("Everything leaves A the more distant of the two.", POINTS, 1),
    ("A is not farther away than B.", POINTS, None),
    ("The cup is closer to the camera, which makes the plate the farther one.", THINGS, 0),
    ("The plate is nearer. Its rim is sharp, so the cup is the one further away.", THINGS, 1),
    ("The plate is nearer. Hence the cup is the more distant object.", THINGS, 1),
    ("The plate is closer. That means the farther object is the cup.", THINGS, 1),
    ("The cup is in front of the plate, so the plate is behind.", THINGS, 0),
    ("The cup is at 3.4 m, so it is the object at the greater distance.", THINGS, None),
    ("桌子离相机更近。", ("椅子", "桌子"), 1),
    ("Point B is on the hand, and point A is on the wall. The hand is closer.", POINTS, 1),
    ("Point B is on the hand, and point A is on the wall. The sleeve is closer.", POINTS, None),
    ("Point B is on the fence, and it is made of wood.", POINTS, None),
    ("Point A is on the car. Point B is on the wall and the moss on it is green.", POINTS, None),
]
MOTION = [
    ("The camera travelled to the left.", SIDES, 0),
    ("The objects drift left, which means that the camera moved right.", SIDES, 1),
    ("A shift of the cup to the right means that the camera travelled left.", SIDES, 0),
    ("First I thought it was moving right. That's wrong. The camera is moving left.", SIDES, 0),
    ("Since the chair drifts right, the camera is moving left.", SIDES, 0),
    ("Initially I thought the camera was moving left.", SIDES, None),
    ("When the camera moves right, things drift left in the frame.", SIDES, None),
    ("La caméra se déplace vers la droite.", SIDES, 1),
    ("Die Kamera bewegt sich nach links.", SIDES, 0),
    ("La cámara se mueve hacia la izquierda.", SIDES, 0),
    ("相机向左移动。", SIDES, 0),
    ("相机向左移动还是向右移动？", SIDES, None),
    ("相机没有向左移动。", SIDES, None),
]
OTHERS = [
    ("The chair is nearest to the left edge. Which edge do you mean?", THREE, None),
    (
        "I can't say which it is. I see:\n- The **chair** is red.\n- No legs are visible.",
        THREE,
        None,
    ),
    ("The chair has only three legs. The table satisfies both conditions.", THREE, 1),
    ("Only the lamp is lit.", THREE, 2),
    ("The table is near, and so is the chair, that would be the lamp.", THREE, 2),
]


@pytest.mark.parametrize(("text", "choices", "place"), [*DEPTH, *MOTION, *OTHERS])
def test_the_claim_that_answers_counts(text, choices, place):
    assert find_answer(text, choices, prefilled=False).choice == place
