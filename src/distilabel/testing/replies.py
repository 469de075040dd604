"""What a simulated endpoint writes when nobody tells it what to write.

Rules:

- A prompt that asks for ratings (it holds ``#### Output for Text``) is answered with a well-formed
  section for each text; how many there are is the largest ``k`` in ``Text k``. Ratings run from 1
  to 5, four being the most frequent.
- Any other prompt is answered with a few plausible sentences.
- The reply is decided by the seed, the prompt and the index of the choice alone.

This module is pure.
"""

import re
import zlib
from random import Random

from distilabel.testing.request import Completion, SimRequest

__all__ = ["RATING_MARK", "DefaultReplies"]

RATING_MARK = "#### Output for Text"
"""A prompt with these words asks for ratings."""

_TEXTS_MAX = 32  # "Text 2024" in a row's own words is not a request for 2024 ratings
_TEXT_NUMBER = re.compile(r"Text (\d+)")
_SUBJECT_CHARS = 60
_CHARS_PER_TOKEN = 4
_ANSWERS = 509
_RATINGS = (1, 2, 3, 4, 5)
_WEIGHTS = (5, 12, 24, 36, 23)
_SENTENCES = (
    "The short answer is that it depends on what you want to keep constant.",
    "A good place to begin is the simplest case, where only one thing changes at a time.",
    "Most people notice the effect long before they can say what causes it.",
    "Suppose that you already know the outcome; then the first step follows from the last.",
    "It helps to write the numbers down, because intuition misleads here more often than not.",
    "There are exceptions, and they are worth knowing, but they do not change the picture.",
    "In practice you would try the cheap thing first and measure whether it was enough.",
    "The same idea turns up in cooking, in music and in the design of bridges.",
    "If that sounds too good to be true, look at how much the preparation costs.",
    "Two things follow: it takes longer than it seems, and it is rarely needed twice.",
    "Historically the opposite was believed, until somebody took the trouble to check.",
    "What matters in the end is whether another person can repeat it from your description.",
    "Think of it as a queue at a bakery: the order is fair, the waiting is not.",
    "None of this requires special equipment, only patience and a clean table.",
    "A common mistake is to stop at the first result that looks right.",
    "With that in mind, the rest is a matter of taste and of the time you have.",
)
_RATIONALES = {
    1: (
        "The text misses the request almost entirely and states things that are not so.",
        "It answers another question than the one that was asked.",
    ),
    2: (
        "Parts of the request are met, but important ones are left out or wrong.",
        "The text begins well: then it drifts away and never comes back.",
    ),
    3: (
        "The request is met in the main, with gaps that a careful reader will notice.",
        "Correct as far as it goes; it stays vague where an example was needed.",
    ),
    4: (
        "The text does what was asked and is sound, apart from small omissions.",
        "Clear and accurate. One more concrete detail would have made it complete.",
    ),
    5: (
        "Everything that was asked for is there, correct and well explained.",
        "Accurate, complete and pleasant to read: nothing to add.",
    ),
}


class DefaultReplies:
    """A reply function: plausible answers and well-formed ratings, decided by a seed.

    Args:
        seed: another seed gives other replies to the same prompts.

    >>> judge = SimRequest(index=0, attempt=1, route="chat", prompt="... #### Output for Text 1")
    >>> print(DefaultReplies(seed=2)(judge)[0].text)
    #### Output for Text 1
    Rating: 4
    Rationale: Clear and accurate. One more concrete detail would have made it complete.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed & 0xFFFFFFFF
        self._answers = _write_answers(Random(seed))

    def __call__(self, request: SimRequest) -> list[Completion]:
        """One completion for each choice that is asked for."""
        start = zlib.crc32(request.prompt.encode("utf-8", "replace"), self._seed)
        if RATING_MARK in request.prompt:
            return [_rate(request, Random(start + choice)) for choice in range(request.n)]
        return [self._answer(request, start + choice) for choice in range(request.n)]

    def _answer(self, request: SimRequest, number: int) -> Completion:
        text = f"On '{_subject(request.prompt)}': {self._answers[number % _ANSWERS]}"
        if request.max_tokens is not None and len(text) > request.max_tokens * _CHARS_PER_TOKEN:
            return Completion(text[: request.max_tokens * _CHARS_PER_TOKEN], "length")
        return Completion(text)


def _subject(prompt: str) -> str:
    """The beginning of the prompt's last line, up to the end of a word."""
    line = prompt.rstrip().rpartition("\n")[2]
    if len(line) > _SUBJECT_CHARS:
        line = line[:_SUBJECT_CHARS].rpartition(" ")[0] or line[:_SUBJECT_CHARS]
    return line.rstrip(" .,:;")


def _write_answers(random: Random) -> list[str]:
    """Answers to choose from: written beforehand, as a benchmark asks for very many of them."""
    return [
        " ".join(random.sample(_SENTENCES, random.randint(6, len(_SENTENCES))))
        for _ in range(_ANSWERS)
    ]


def _rate(request: SimRequest, random: Random) -> Completion:
    numbers = [int(digits) for digits in _TEXT_NUMBER.findall(request.prompt)]
    count = max((number for number in numbers if number <= _TEXTS_MAX), default=1)
    return Completion("\n\n".join(_section(k, random) for k in range(1, count + 1)))


def _section(number: int, random: Random) -> str:
    rating = random.choices(_RATINGS, _WEIGHTS)[0]
    rationale = random.choice(_RATIONALES[rating])
    return f"{RATING_MARK} {number}\nRating: {rating}\nRationale: {rationale}"
