"""Default replies are plausible, well-formed and decided by seed and prompt."""

import re
from collections import Counter

from distilabel.testing import SimRequest
from distilabel.testing.replies import DefaultReplies

SECTION = re.compile(r"#### Output for Text (\d+)\nRating: ([1-5])\nRationale: (.+)")


def request(prompt: str, n: int = 1, max_tokens: int | None = None) -> SimRequest:
    """A chat request with this prompt."""
    return SimRequest(0, 1, "chat", n=n, max_tokens=max_tokens, prompt=prompt)


def judge_prompt(row: int, texts: int) -> str:
    """A prompt that asks for ratings of so many texts."""
    shown = "\n".join(f"<text {k}>\nSince Text 2024 ...\nText {k}" for k in range(1, texts + 1))
    return f"{shown}\nrow {row}\n#### Output for Text 1\nRating: <number>"


def test_every_text_gets_a_section():
    """There are as many sections as texts, in order; years are not taken for texts."""
    for texts in (1, 2, 4, 9):
        (reply,) = DefaultReplies()(request(judge_prompt(0, texts)))
        numbers = [int(section[0]) for section in SECTION.findall(reply.text)]
        assert numbers == list(range(1, texts + 1))


def test_ratings_are_spread():
    """Over many rows every rating occurs, and four is the most frequent."""
    write = DefaultReplies(seed=1)
    ratings = Counter(
        int(section[1])
        for row in range(300)
        for section in SECTION.findall(write(request(judge_prompt(row, 2)))[0].text)
    )
    assert set(ratings) == {1, 2, 3, 4, 5}
    assert ratings.most_common(1)[0][0] == 4


def test_the_same_seed_and_prompt_give_the_same_reply():
    """Replies repeat with seed and prompt, and differ with either, and among n choices."""
    for prompt in ("Write a poem.", judge_prompt(0, 3)):
        first = DefaultReplies(seed=1)(request(prompt, n=3))
        assert first == DefaultReplies(seed=1)(request(prompt, n=3))
        assert first != DefaultReplies(seed=2)(request(prompt, n=3))
        assert len({choice.text for choice in first}) > 1
        assert first != DefaultReplies(seed=1)(request(prompt + "!", n=3))


def test_generations_respect_max_tokens():
    """A generation is cut at max_tokens and says so; ratings are never cut."""
    (short,) = DefaultReplies()(request("Write a poem.", max_tokens=5))
    assert (len(short.text), short.finish_reason) == (20, "length")
    (rated,) = DefaultReplies()(request(judge_prompt(0, 2), max_tokens=5))
    assert len(SECTION.findall(rated.text)) == 2


def test_half_a_surrogate_does_not_break_it():
    """A prompt that is no valid Unicode is answered like any other."""
    assert DefaultReplies()(request("broken \ud800"))[0].text
