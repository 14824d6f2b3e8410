"""Questions are answered by processes of their own, which a broken package may end without ending this one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from latentlab.doctor.form import Answer

PATIENCE = 60.0  # seconds that a process may take; all its questions together usually take 5
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from latentlab.doctor.probes import main; main()"


def ask(groups: Sequence[Sequence[str]]) -> dict[str, Answer]:
    """Answers by question; each group of questions has a process of its own, and all of these run side by side."""
    with ThreadPoolExecutor(max_workers=len(groups)) as pool:
        return {name: answer for answers in pool.map(_ask_all, groups) for name, answer in answers.items()}


def _ask_all(questions: Sequence[str]) -> dict[str, Answer]:
    """Answers to all questions; where one ends the process, another process goes on with the rest."""
    answers: dict[str, Answer] = {}
    while left := [name for name in questions if name not in answers]:
        broken = [name for name, answer in answers.items() if answer.error]
        said, end = _run(left, broken)
        answers |= {name: answer for name, answer in said.items() if name in left}
        missing = [name for name in left if name not in answers]
        if missing:
            answers[missing[0]] = Answer(error=end or "the process that looked at it said nothing")
    return answers


def _run(questions: Iterable[str], broken: Iterable[str]) -> tuple[dict[str, Answer], str]:
    """What one process answered, and how it ended if not well."""
    words = [json.dumps(value) for value in (sys.path, list(questions), list(broken))]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}  # a user's "error" would make old packages look broken
    try:
        done = subprocess.run([sys.executable, "-c", _CHILD, *words], capture_output=True, env=quiet, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        return _read(error.stdout or b""), f"no answer within {PATIENCE:g} s"
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return _read(done.stdout), f"{_ended(done.returncode)}{': ' if last else ''}{''.join(last)}"


def _ended(status: int) -> str:
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        return f"its process was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"its process was ended by signal {-status}"


def _read(output: bytes) -> dict[str, Answer]:
    answers = {}
    for line in output.splitlines(keepends=True):
        if line.endswith(b"\n"):  # the last one may be cut short
            said = json.loads(line)
            answers[said["question"]] = Answer(said["facts"], said["error"])
    return answers
