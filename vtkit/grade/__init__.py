"""Grading: exercises that otter-grader turns into students' copies, and a pile of submissions.

- assignments: students' copies, solutions and tests of the notebooks in ``notebooks/exercises``
- submissions: the code cells of a notebook that a student handed in
- examiner: runs these cells and the tests, in a process of its own
- limits: what that process may use and change
- marks: grades many submissions, a few at a time, and writes a CSV

``python -m vtkit.grade FOLDER`` is the command; the extra ``course`` installs otter-grader.
"""
