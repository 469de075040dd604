"""Make data sets with language models.

One LLM, the generator, writes answers; another, the labeller, rates them; rows stream out as they
complete, and a `datasets.Dataset` is what is left at the end::

    from distilabel.pipeline import Pipeline

    pipe = Pipeline(generator=..., labeller=...)
    dataset = pipe.generate(rows, num_generations=2)          # scripts, notebooks
    dataset = await pipe.agenerate(rows, num_generations=2)   # async apps
    async with pipe.stream(rows) as finished:                 # rows as they complete
        async for row in finished:
            ...

Importing this package is light: nothing heavy is loaded until it is used.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
