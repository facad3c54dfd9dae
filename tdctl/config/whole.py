"""All settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import Field, field_validator, model_validator

from tdctl.config.data import DataConfig
from tdctl.config.detector import DetectorConfig
from tdctl.config.heads import HeadsConfig
from tdctl.config.layers import fill_in
from tdctl.config.net import NetConfig
from tdctl.config.noise import NoiseConfig
from tdctl.config.robust import RobustConfig
from tdctl.config.section import Section, Seed
from tdctl.config.train import RetrainConfig, TrainConfig
from tdctl.recipes import recipe_names

__all__ = ["Config"]


class Config(Section):
    """All settings of a run.

    A setting that is not given comes from the recipe. If the recipe does not have it, it comes from
    the data set's preset (what the paper uses), and else from the defaults. ``Config()`` has the
    same settings as the command line without flags, for the digits. ``Config(recipe=None)`` uses
    no recipe.

    Example:
        >>> config = Config(data={"dataset": "digits"}, train={"epochs": 5})
        >>> config.recipe, config.train.epochs, config.train.schedule
        ('detect', 5, 'one-cycle')
    """

    seed: Seed = Field(
        0, description="Seed of the training, and of noise and splits if these have no own seed."
    )
    recipe: str | None = Field(
        None,
        description="Named group of settings, which your own settings override; 'tdctl recipes' "
        "lists them (default: finetune for pretrained networks; else detect, or paper for a data "
        "set known by name with images of more than 64 pixels).",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    data: DataConfig = DataConfig()
    noise: NoiseConfig = NoiseConfig()
    net: NetConfig = NetConfig()
    train: TrainConfig = TrainConfig()
    heads: HeadsConfig = HeadsConfig()
    retrain: RetrainConfig = RetrainConfig()
    robust: RobustConfig = RobustConfig()
    detector: DetectorConfig = DetectorConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        return fill_in(given)[0] if isinstance(given, Mapping) else given

    @field_validator("recipe")
    @classmethod
    def _recipe_is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in recipe_names():
            raise ValueError(f"'{value}' is unknown; use {', '.join(recipe_names())}")
        return value

    @model_validator(mode="after")
    def _noise_needs_one_truth(self) -> Config:
        data, noise = self.data, self.noise
        if noise.noise_type == "labels":
            if data.dataset == "table":
                raise ValueError(
                    "noise.noise_type: dataset 'table' has its labels from --labels as it is; "
                    "leave out --noise-type, and name the true ones with --true-column"
                )
            if data.labels is None:
                raise ValueError(
                    "noise.noise_type: 'labels' takes the given labels from a table; name it with "
                    "--labels FILE"
                )
        elif data.true_column is not None and noise.changes_labels:
            setting = "noise_ratio" if noise.noise_ratio > 0 else "noise_type"
            raise ValueError(
                f"noise.{setting}: the label table already names given and true labels; "
                f"leave out --true-column or --{setting.replace('_', '-')}"
            )
        if noise.oracle and data.true_column is None and not noise.changes_labels:
            raise ValueError(
                "noise.oracle: no label is known to be wrong; give --noise-ratio, or a table's "
                "--true-column"
            )
        return self

    @model_validator(mode="after")
    def _features_have_a_network(self) -> Config:
        vectors, net = self.data.dataset == "embeddings", self.net
        if vectors and net.net_type != "linear":
            raise ValueError(
                f"net.net_type: '{net.net_type}' reads images, and embeddings are vectors; leave "
                "out --net-type and --recipe"
            )
        if net.net_type == "linear" and not vectors:
            raise ValueError(
                "net.net_type: 'linear' reads vectors; give --dataset embeddings, or another "
                "--net-type"
            )
        if self.train.store == "auto" and not (vectors or net.frozen):
            raise ValueError(
                "train.store: 'auto' goes with --recipe features; give full, given, topk:K or few:K"
            )
        if net.frozen and not vectors and not net.starts_trained:
            raise ValueError(
                "net.frozen: features of a network without pretrained weights tell little; name "
                "one with --net-type NAME --pretrained imagenet (or a FILE)"
            )
        if vectors and net.starts_trained:
            raise ValueError(
                "net.pretrained: a linear head on embeddings starts from nothing; leave out "
                "--pretrained"
            )
        return self

    @property
    def reads_vectors(self) -> bool:
        """Whether the classifier reads vectors: embeddings, or features of a frozen network."""
        return self.data.dataset == "embeddings" or self.net.frozen

    @property
    def split_seed(self) -> int:
        """The seed of the splits: ``data.split_seed``, or else the run's seed."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    @property
    def noise_seed(self) -> int:
        """The seed of the noise: ``noise.noise_seed``, or else the run's seed."""
        return self.seed if self.noise.noise_seed is None else self.noise.noise_seed

    def to_yaml(self, *, ascii_only: bool = False) -> str:
        """The settings as YAML, from which ``load_config`` makes an equal ``Config``.

        Args:
            ascii_only: escape all other letters, for a stream that cannot write them.
        """
        tree = self.model_dump(mode="json")
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=not ascii_only)
