"""The Trainer of Hugging Face: the mixin against the real package. Nothing is downloaded."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from noisy_digits import CLASSES, check_found, check_once_an_epoch, noisy_digits, run_example
from processes import in_world

from tdctl import IndexedDataset, Recorder, read_run
from tdctl.errors import DynamicsError, RunError

WORDS = 16
SMALL = 80


pytestmark = [
    pytest.mark.skipif(find_spec(name) is None, reason=f"needs pip install {extra}")
    for name, extra in (
        ("transformers", "tdctl[huggingface]"),
        ("accelerate", "tdctl[huggingface]"),
        ("datasets", "datasets"),
    )
]


@cache
def hf() -> SimpleNamespace:
    """The packages, loaded by the first test: of the processes that list tests one runs these."""
    import datasets
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        Trainer,
        TrainingArguments,
    )

    from tdctl.adapters.huggingface import RecorderMixin

    class RecordingTrainer(RecorderMixin, Trainer):
        """What a user writes."""

    return SimpleNamespace(
        BertConfig=BertConfig,
        BertForSequenceClassification=BertForSequenceClassification,
        Dataset=datasets.Dataset,
        RecordingTrainer=RecordingTrainer,
        Trainer=Trainer,
        TrainingArguments=TrainingArguments,
    )


def net(**more: Any) -> Any:
    """A BERT from a configuration. A digit's 8 rows are its words."""
    torch.manual_seed(0)
    return hf().BertForSequenceClassification(
        hf().BertConfig(
            vocab_size=WORDS,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
            num_labels=CLASSES,
            **more,
        )
    )


def digits(n: int = SMALL, index: str = "index") -> Any:
    x, given, _ = noisy_digits(n)
    words = x.reshape(n, 8, 8).mean(dim=2).mul(WORDS - 1).long()
    columns = {"input_ids": words.numpy(), "labels": given.numpy(), index: np.arange(n)}
    return hf().Dataset.from_dict(columns)


def arguments(folder: Path, epochs: int, **more: Any) -> Any:
    return hf().TrainingArguments(
        str(folder / "checkpoints"),
        num_train_epochs=epochs,
        per_device_train_batch_size=16,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **({"save_strategy": "no"} | more),
    )


def trained(
    folder: Path, epochs: int = 2, again: Any = None, model: Any = None, n: int = SMALL, **more: Any
) -> Recorder:
    recorder = Recorder(folder / "run", n, CLASSES)
    trainer = hf().RecordingTrainer(
        model or net(),
        arguments(folder, epochs, **more),
        train_dataset=digits(n),
        eval_dataset=digits(40),
        recorder=recorder,
    )
    trainer.train(resume_from_checkpoint=again)
    return recorder


def test_the_example_finds_planted_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_example("Hugging Face Trainer", tmp_path, monkeypatch)
    check_once_an_epoch(names["recorder"], 12)
    check_found(tmp_path / "runs/own")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"label_smoothing_factor": 0.1},
        {"gradient_accumulation_steps": 3},
        {"eval_strategy": "steps", "eval_steps": 2},
    ],
    ids=lambda more: next(iter(more), "plain"),
)
def test_each_sample_is_recorded_once_an_epoch(tmp_path: Path, more: dict[str, Any]) -> None:
    recorder = trained(tmp_path, **more)
    check_once_an_epoch(recorder, 2, SMALL)
    recorder.finish()
    assert np.array_equal(read_run(tmp_path / "run")[1].assigned, noisy_digits(SMALL)[1])


def test_a_data_set_of_dicts_gets_its_ids_from_indexed_dataset(tmp_path: Path) -> None:
    rows = [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in digits()]
    data, recorder = IndexedDataset(rows, key="index"), Recorder(tmp_path, SMALL, CLASSES)
    hf().RecordingTrainer(
        net(), arguments(tmp_path, 1), train_dataset=data, recorder=recorder
    ).train()
    check_once_an_epoch(recorder, 1, SMALL)


def test_the_recording_changes_nothing_of_the_training(tmp_path: Path) -> None:
    more = {"label_smoothing_factor": 0.1, "gradient_accumulation_steps": 2}
    recorded, plain = net(), net()
    trained(tmp_path, model=recorded, **more)
    data = digits().remove_columns("index")
    hf().Trainer(plain, arguments(tmp_path, 2, **more), train_dataset=data).train()
    for one, other in zip(recorded.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def test_models_that_return_tuples_and_predictions_without_labels(tmp_path: Path) -> None:
    model = net(return_dict=False)
    recorder = Recorder(tmp_path / "run", SMALL, CLASSES)
    trainer = hf().RecordingTrainer(
        model, arguments(tmp_path, 1), train_dataset=digits(), recorder=recorder
    )
    trainer.train()
    check_once_an_epoch(recorder, 1, SMALL)
    found = trainer.predict(digits().remove_columns("labels")).predictions
    assert found.shape == (SMALL, CLASSES)


@pytest.mark.parametrize(
    ("save", "step"),
    [("epoch", 10), (5, 5), (4, 8)],
    ids=["end of an epoch", "last step of an epoch", "within an epoch"],
)
def test_a_stopped_training_goes_on_from_its_checkpoint(
    tmp_path: Path, save: Any, step: int
) -> None:
    """An epoch has 5 steps."""
    saves = {"save_strategy": "epoch"}
    if save != "epoch":
        saves = {"save_strategy": "steps", "save_steps": save}
    trained(tmp_path, 2, **saves)
    checkpoint = tmp_path / "checkpoints" / f"checkpoint-{step}"
    recorder = trained(tmp_path, 4, again=str(checkpoint))
    check_once_an_epoch(recorder, 4, SMALL)
    recorder.finish()
    assert read_run(tmp_path / "run")[0].epochs == 4


def test_a_checkpoint_without_recording_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, 1, save_strategy="epoch")
    checkpoint = tmp_path / "checkpoints" / "checkpoint-5"
    (checkpoint / "tdctl_recorder_0.pt").unlink()
    with pytest.raises(RunError, match="made without a recorder"):
        trained(tmp_path, 2, again=str(checkpoint))


def test_a_missing_id_column_is_said(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run", SMALL, CLASSES)
    data = digits(index="number")
    trainer = hf().RecordingTrainer(
        net(), arguments(tmp_path, 1), train_dataset=data, recorder=recorder
    )
    with pytest.raises(DynamicsError, match="the batch has no 'index'"):
        trainer.train()
    trainer = hf().RecordingTrainer(
        net(), arguments(tmp_path, 1), train_dataset=data, recorder=recorder, id_column="number"
    )
    trainer.train()
    check_once_an_epoch(recorder, 1, SMALL)


def test_two_processes_record_each_sample_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # accelerate warns where it is not set
    n = 151

    def act() -> Any:
        logging.disable(logging.WARNING)
        recorder = trained(tmp_path, 2, n=n, ddp_backend="gloo")
        recorder.finish()
        return recorder.reports

    reports = in_world(2, act)
    assert reports[0] == reports[1]
    # 160 = 5 steps of 2 x 16.
    assert [(one.samples, one.missed, one.repeated) for one in reports[0]] == [(n, 0, 9)] * 2
    assert read_run(tmp_path / "run")[0].index.tolist() == list(range(n))
