"""The prompts of the demo: twenty kinds of task, ten subjects each. Data only."""

from __future__ import annotations

from typing import Final

__all__ = ["PROMPTS_MAX", "demo_prompts"]

_TASKS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "Explain to a curious ten-year-old {}.",
        (
            "why the sky is blue but sunsets are red",
            "how a vaccine teaches the body",
            "why ice floats",
            "what a black hole does to light",
            "how bees tell each other where the flowers are",
            "why we have leap years",
            "how a lock on a canal lifts a ship",
            "what makes a yawn catching",
            "why some numbers are called prime",
            "how money can lose its value",
        ),
    ),
    (
        "Write a polite but firm email {}.",
        (
            "asking a landlord to repair the heating before winter",
            "declining an invitation to speak at a conference",
            "reminding a client of an invoice that is six weeks late",
            "telling a supplier that the last delivery was incomplete",
            "asking a colleague to stop scheduling meetings at lunchtime",
            "withdrawing a job application after a better offer",
            "asking a neighbour to practise the drums before nine",
            "correcting a newspaper that misspelled your company's name",
            "requesting a refund for a cancelled train",
            "telling a team that the launch moves by a month",
        ),
    ),
    (
        "What are the strongest arguments for and against {}?",
        (
            "a four-day working week",
            "teaching cursive handwriting in school",
            "keeping zoos",
            "a tax on sugar",
            "voting at sixteen",
            "free public transport",
            "homework in primary school",
            "nuclear power in a warming world",
            "banning cars from city centres",
            "daylight saving time",
        ),
    ),
    (
        "Give me a recipe for {}, for two people and under forty minutes.",
        (
            "a warming lentil soup",
            "mushroom risotto without wine",
            "a chickpea curry from the store cupboard",
            "shakshuka with a twist",
            "fish tacos with a quick pickle",
            "gnocchi in brown butter",
            "a Thai-style noodle salad",
            "stuffed peppers without rice",
            "a Spanish omelette that does not fall apart",
            "an apple crumble with oats",
        ),
    ),
    (
        "Summarise in three sentences {}.",
        (
            "how the printing press changed Europe",
            "why the Roman Republic became an empire",
            "what happened at Chernobyl in 1986",
            "how the Suez Canal came to be built",
            "what the Rosetta Stone made possible",
            "why the Library of Alexandria is remembered",
            "what the Silk Road really carried",
            "how smallpox was wiped out",
            "why the Titanic sank so quickly",
            "what the Enigma machine did and how it was broken",
        ),
    ),
    (
        "I have one day in {} and dislike crowds. What should I do, hour by hour?",
        (
            "Lisbon",
            "Kyoto",
            "Edinburgh",
            "Mexico City",
            "Istanbul",
            "Cape Town",
            "Kraków",
            "Montréal",
            "Hanoi",
            "Ljubljana",
        ),
    ),
    (
        "Write a Python function that {}, with a docstring and one example.",
        (
            "merges overlapping intervals",
            "finds the longest palindrome in a string",
            "converts Roman numerals to integers",
            "groups words that are anagrams of each other",
            "checks whether brackets are balanced",
            "walks a directory and finds duplicate files",
            "retries a call with exponential backoff",
            "computes a moving average lazily",
            "parses durations such as 1h30m into seconds",
            "shuffles a list so that no item keeps its place",
        ),
    ),
    (
        "Write a short poem about {}, without using any rhyme.",
        (
            "a lighthouse that was switched off",
            "the last tram of the night",
            "learning a language late in life",
            "a kitchen at five in the morning",
            "moss",
            "a letter that was never sent",
            "the first snow in a city",
            "an abandoned observatory",
            "mending a fishing net",
            "the sound of a refrigerator",
        ),
    ),
    (
        "What is the difference between {}? Use one everyday example.",
        (
            "weather and climate",
            "a virus and a bacterium",
            "correlation and causation",
            "mass and weight",
            "a process and a thread",
            "irony and sarcasm",
            "precision and accuracy",
            "debt and deficit",
            "a simile and a metaphor",
            "authentication and authorisation",
        ),
    ),
    (
        "Plan {} on a budget of 100 euros.",
        (
            "a birthday party for a seven-year-old",
            "a weekend of hiking for two",
            "a dinner for eight friends",
            "a vegetable garden on a balcony",
            "a home office in a corner of the bedroom",
            "a first-aid cupboard for a family",
            "a film night for a whole street",
            "a month of learning the guitar",
            "a surprise for grandparents who have everything",
            "a picnic that works in the rain",
        ),
    ),
    (
        "Begin a story with this sentence and go on for a paragraph: “{}”",
        (
            "The map had one street too many.",
            "Nobody had wound the clock, and yet it was right.",
            "My sister came back from the sea with somebody else's coat.",
            "On the day of the eclipse the bakery sold out of salt.",
            "The elevator stopped at a floor that the building did not have.",
            "Every dog in the village looked the same way.",
            "The violin was cheaper than it should have been.",
            "Grandfather's last crossword had only one word filled in.",
            "The museum guard had stopped reading the signs years ago.",
            "It was the third spring without bees.",
        ),
    ),
    (
        "How would you politely tell {}?",
        (
            "a friend that their business idea will not work",
            "a colleague that their microphone has been on for an hour",
            "a relative that you will not discuss politics at dinner",
            "a student that their essay answers another question",
            "a host that you do not eat what they cooked",
            "a manager that the deadline was never realistic",
            "a child that their pet has died",
            "a guest that it is time to leave",
            "a teammate that their code is hard to read",
            "a stranger that they are in your seat",
        ),
    ),
    (
        "Describe step by step how {}.",
        (
            "to change a bicycle tyre on the road",
            "to bake sourdough bread without a Dutch oven",
            "to descale a kettle with what is in the kitchen",
            "to read a weather map",
            "to fold a shirt for a suitcase",
            "to calm somebody who is having a panic attack",
            "to take a good photograph of the moon",
            "to back up a laptop so that it can be restored",
            "to sharpen a kitchen knife on a stone",
            "to prepare for a job interview in two hours",
        ),
    ),
    (
        "Is it true that {}? Say how sure you are.",
        (
            "we use only ten per cent of our brains",
            "goldfish forget everything after three seconds",
            "the Great Wall of China can be seen from the Moon",
            "cracking one's knuckles causes arthritis",
            "lightning never strikes the same place twice",
            "sugar makes children hyperactive",
            "Vikings wore helmets with horns",
            "hair grows back thicker after shaving",
            "bulls are angered by the colour red",
            "glass is a liquid that flows very slowly",
        ),
    ),
    (
        "Write a product description, sixty words at most, for {}.",
        (
            "an umbrella that cannot be turned inside out",
            "a notebook for people who never finish one",
            "a lamp that imitates moonlight",
            "a second-hand typewriter in working order",
            "noise-cancelling headphones for toddlers",
            "a backpack made of old sails",
            "a chess set for travelling by train",
            "a teapot that pours without dripping",
            "wool socks knitted on an island",
            "a compost bin for a small flat",
        ),
    ),
    (
        "Estimate, and show your reasoning: {}?",
        (
            "how many piano tuners work in Vienna",
            "how much water a dripping tap wastes in a year",
            "how many words a person speaks in a lifetime",
            "how many footballs fit into a school bus",
            "how heavy all the ants on Earth are",
            "how much electricity a wind turbine makes in a day",
            "how many books a public library lends in a year",
            "how long it would take to walk around the equator",
            "how many slices of pizza are eaten in Naples each day",
            "how much memory every text message sent today would take",
        ),
    ),
    (
        "Translate into plain English, for a reader without training: “{}”",
        (
            "The party of the first part shall indemnify and hold harmless the lessor.",
            "The patient presents with acute bilateral otitis media.",
            "We leverage synergies to operationalise our core competencies.",
            "Past performance is not indicative of future results.",
            "The null hypothesis could not be rejected at the five per cent level.",
            "The device shall not be submerged whilst energised.",
            "A segmentation fault occurred owing to a dangling pointer.",
            "The committee resolved to table the motion sine die.",
            "Amortisation of intangibles weighed on the bottom line.",
            "The aircraft was placed in a holding pattern pending clearance.",
        ),
    ),
    (
        "Suggest five names for {}, and say in a few words what each one evokes.",
        (
            "a bakery that opens at midnight",
            "a sailing boat that is painted yellow",
            "a podcast about forgotten inventions",
            "a very small bookshop",
            "a rescue cat with one eye",
            "a team that keeps old software running",
            "a choir of beginners",
            "a hiking trail along an old railway",
            "a board game about beekeeping",
            "a robot that waters plants",
        ),
    ),
    (
        "What should a beginner know before {}?",
        (
            "adopting a greyhound",
            "keeping a beehive",
            "running a first half-marathon",
            "buying a used electric car",
            "learning to play the cello",
            "moving to a country whose language they do not speak",
            "signing a first employment contract",
            "going out to look for mushrooms",
            "investing a first thousand euros",
            "volunteering as a firefighter",
        ),
    ),
    (
        "Write a dialogue of six lines between {}.",
        (
            "two astronauts who disagree about the last biscuit",
            "a time traveller and a ticket inspector",
            "an old tree and the wind",
            "a chess grandmaster and her first teacher",
            "a satnav and a driver who knows better",
            "a translator and a poem",
            "a museum ghost and a school class",
            "a detective and a very honest thief",
            "a baker and a customer who is always late",
            "the sun and the last star of the morning",
        ),
    ),
)

PROMPTS_MAX: Final = sum(len(subjects) for _, subjects in _TASKS)
"""How many prompts there are."""


def demo_prompts(number: int) -> list[dict[str, str]]:
    """The first `number` prompts as rows; each is of another kind than the one before it.

    >>> demo_prompts(1)
    [{'input': 'Explain to a curious ten-year-old why the sky is blue but sunsets are red.'}]
    """
    rounds = zip(*(subjects for _, subjects in _TASKS), strict=True)
    texts = [
        template.format(subject)
        for subjects in rounds
        for (template, _), subject in zip(_TASKS, subjects, strict=True)
    ]
    return [{"input": text} for text in texts[:number]]
