"""TRL's trainers take the exports as they are: their own data processing, and one step of each.

Run by `nox -s training`; elsewhere torch and TRL are not installed, and these tests are skipped.
Nothing is downloaded: the tokenizer and the model are made here.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from distilabel.llm import LLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask

if TYPE_CHECKING:
    from distilabel.dataset import CustomDataset

trl = pytest.importorskip("trl")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("default")  # those of torch and TRL are not ours to mend

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|> {{ message.content }} <|end|> "
    "{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
PROMPT = "<|system|> Be brief. <|end|> <|user|> question 0 <|end|> "
ROWS = 8


class Writer(LLM):
    """Writes texts that differ."""

    model_name = "writer"

    async def complete(self, call):
        """As many words as the generation's number."""
        first = call.first_generation
        return ["word " * (first + n + 1) for n in range(call.num_generations)]


class Judge(LLM):
    """Rates the longer text higher."""

    model_name = "judge"

    async def complete(self, call):
        """One section for each of three texts; the judge is shown them unshuffled."""
        del call
        sections = (f"#### Output for Text {k}\nRating: {k + 1}\nRationale: R." for k in (1, 2, 3))
        return ["\n\n".join(sections)]


@pytest.fixture(scope="module")
def dataset() -> CustomDataset:
    """Rows of three texts, rated 2, 3 and 4."""
    pipe = Pipeline(
        generator=Writer(TextGenerationTask(system_prompt="Be brief."), prompt_format="openai"),
        labeller=Judge(UltraFeedbackTask.for_honesty()),
    )
    rows = [{"input": f"question {n}"} for n in range(ROWS)]
    return pipe.generate(
        rows, num_generations=3, shuffle_before_labelling=False, enable_checkpoints=False
    )


@pytest.fixture
def tokenizer():
    """A tokenizer of a few words, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<pad>", "<unk>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "word"]
    words += ["Be", "brief.", "question", *map(str, range(ROWS))]
    fast = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", unk_token="<unk>", eos_token="<|end|>"
    )
    made.chat_template = TEMPLATE
    return made


@pytest.fixture
def model(tokenizer):
    """A random model of a few thousand weights."""
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return transformers.LlamaForCausalLM(config)


@pytest.fixture
def arguments(tmp_path) -> dict:
    """What all trainers are given: one step on the CPU, nothing reported."""
    return {
        "output_dir": str(tmp_path / "out"),
        "per_device_train_batch_size": 4,
        "max_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "max_length": 64,
    }


def words(tokenizer, tokens: list[int]) -> str:
    """What tokens stand for, with one blank between them."""
    return " ".join(tokenizer.decode(tokens).split())


def test_dpo(dataset, tokenizer, model, arguments):
    """DPOTrainer tokenizes prompt, chosen and rejected of each pair, and trains a step on them."""
    pairs = dataset.to_preference("worst")
    trainer = trl.DPOTrainer(
        model=model,
        ref_model=deepcopy(model),
        args=trl.DPOConfig(**arguments),
        train_dataset=pairs,
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(pairs) == ROWS
    row = trainer.train_dataset[0]
    assert words(tokenizer, row["prompt_ids"]) == PROMPT + "<|assistant|>"
    assert words(tokenizer, row["chosen_ids"]) == "word word word <|end|>"
    assert words(tokenizer, row["rejected_ids"]) == "word <|end|>"
    assert trainer.train().global_step == 1


def test_sft(dataset, tokenizer, model, arguments):
    """SFTTrainer tokenizes each conversation, and trains a step on them."""
    best = dataset.to_sft(min_rating=4)
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(**arguments),
        train_dataset=best,
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(best) == ROWS
    tokens = trainer.train_dataset[0]["input_ids"]
    assert words(tokenizer, tokens) == PROMPT + "<|assistant|> word word word <|end|>"
    assert trainer.train().global_step == 1


def test_kto(dataset, tokenizer, model, arguments):
    """KTOTrainer tokenizes each labelled text, and trains a step on them."""
    labelled = dataset.to_kto(threshold=3)
    trainer = trl.KTOTrainer(
        model=model,
        ref_model=deepcopy(model),
        args=trl.KTOConfig(**arguments),
        train_dataset=labelled,
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(labelled) == ROWS * 3
    assert list(trainer.train_dataset["label"]) == [False, True, True] * ROWS
    assert trainer.train().global_step == 1
