"""The detector with the manners of scikit-learn's estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from tdctl.config import DetectorConfig
from tdctl.detector.detector_files import save_detector
from tdctl.detector.model import Detector
from tdctl.detector.preset import Curves, reader_of
from tdctl.detector.scoring import suspicion
from tdctl.detector.train_net import train_net
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import ConfigError, DetectorError
from tdctl.training import pick_device

__all__ = ["LSTMDetector"]


class LSTMDetector(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A detector of wrong labels, trained on curves whose wrong labels are known.

    Train it on one recording and use it on another: a detector that judges its own training rows
    looks too good. It keeps the epoch that ranks a held-out share of the rows best.

    Args:
        net: ``lstm`` (the paper's network), ``gru`` or ``tcn``.
        channels: what the network sees, as in ``--channels``; only ``given`` for arrays [n, E].
        epochs: passes over the curves; None chooses by their number.
        batch_size: curves per step; None uses 64 for the paper's network, else 256.
        lr: learning rate of AdamW; None uses 0.003.
        restarts: number of starts, the best of which is kept; None uses 3.
        held_out: share of the rows that is held out.
        random_state: the seed, a whole number; None counts as 0.
        device: where it is trained and used.

    Attributes:
        detector_: the ``Detector``, with ``save`` as a file for ``--detector``.
        classes_: the two values of ``flipped``; the second one means that the label is wrong.
        n_features_in_: E of the curves that it was trained on. Arrays must have as many; dynamics
            may have any number of epochs.

    Example::

        >>> detector = tdctl.LSTMDetector(epochs=20, restarts=1).fit(dynamics, labels.flipped)
        >>> suspicion = detector.score_samples(dynamics)  # float64 [n], higher: rather wrong
        >>> wrong = detector.predict(dynamics)  # bool [n]
        >>> suspicion.shape == wrong.shape == (60,)
        True
    """

    def __init__(
        self,
        *,
        net: str = "lstm",
        channels: str | None = "given",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        restarts: int | None = None,
        held_out: float = 0.1,
        random_state: int | None = 0,
        device: str = "cpu",
    ) -> None:
        self.net = net
        self.channels = channels
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.restarts = restarts
        self.held_out = held_out
        self.random_state = random_state
        self.device = device

    def fit(self, X: TrainingDynamics | ArrayLike, y: ArrayLike) -> LSTMDetector:
        """Trains the detector.

        Args:
            X: the dynamics of n samples; or float [n, E], the given label's probabilities.
            y: bool [n], whether the given label is wrong; or any two values, the second of which
                (in their order) means wrong.

        Returns:
            The estimator itself.

        Raises:
            ValueError: the arrays do not fit together, or contain NaN, or y has not two values.
            ConfigError: a parameter is out of range.
            DetectorError: too few rows of a kind, or the training collapsed.
        """
        values, y = self._curves(X, y)
        check_classification_targets(y)
        self.classes_, kinds = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            count = f"{len(self.classes_)} class{'es' * (len(self.classes_) != 1)}"
            raise ValueError(
                f"Only binary classification is supported: y has {count}; expected right and "
                "wrong labels, two values"
            )
        given = {
            "detector_net": self.net,
            "channels": self.channels,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "lr": self.lr,
            "restarts": self.restarts,
            "held_out": self.held_out,
        }
        config = _config_of(given)
        seed, device = self._seed_and_device()
        trained = train_net(
            [Curves(values, kinds == 1)],
            config,
            seed,
            device,
        )
        self.detector_ = Detector(
            trained.net, None, trained.epoch, trained.accuracy, trained.optimizer, reader_of(config)
        )
        return self

    def score_samples(self, X: TrainingDynamics | ArrayLike) -> NDArray[np.float64]:
        """The suspicion, float64 [n] in [0, 1]: P(the label is wrong).

        As everywhere in tdctl, and unlike scikit-learn's outlier detectors, higher means more
        likely wrong.

        Args:
            X: the dynamics of n samples; or float [n, E], as in ``fit``.
        """
        check_is_fitted(self)
        if isinstance(X, TrainingDynamics):
            return self.detector_.score(X)
        return suspicion(self.detector_.net, self._array(X, reset=False))

    def predict_proba(self, X: TrainingDynamics | ArrayLike) -> NDArray[np.float64]:
        """Float64 [n, 2]: the probabilities that the label is right, and that it is wrong."""
        wrong = self.score_samples(X)
        return np.stack([1 - wrong, wrong], axis=1)

    def predict(self, X: TrainingDynamics | ArrayLike) -> NDArray[Any]:
        """For each sample one of ``classes_``: whether its label is wrong, P >= 0.5; [n]."""
        wrong = self.score_samples(X) >= 0.5
        found: NDArray[Any] = self.classes_[wrong.astype(np.int64)]
        return found

    def save(self, path: str | Path) -> tuple[Path, ...]:
        """Writes the detector for ``tdctl detect --detector``; returns its files."""
        check_is_fitted(self)
        return save_detector(Path(path), self.detector_)

    def _curves(self, X: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        if not isinstance(X, TrainingDynamics):
            values, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
            self._check_channels()
            return values, y
        y = np.asarray(y)
        if y.shape != (len(X),):
            raise ValueError(f"y is {y.shape}, and the dynamics have {len(X)} samples")
        self.n_features_in_ = X.epochs
        config = _config_of({"detector_net": self.net, "channels": self.channels})
        reader = reader_of(config)
        return (X.given_curve() if reader.is_papers else reader.open(X).rows()), y

    def _seed_and_device(self) -> tuple[int, torch.device]:
        seed = 0 if self.random_state is None else self.random_state
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
            raise ConfigError(
                f"LSTMDetector: random_state is {seed!r}; expected a whole number from 0 on"
            )
        return int(seed), pick_device(self.device)

    def _array(self, X: Any, reset: bool) -> NDArray[np.float32]:
        self._check_channels()
        return np.asarray(validate_data(self, X, reset=reset, dtype=np.float32))

    def _check_channels(self) -> None:
        if self.channels != "given":
            raise DetectorError(
                f"LSTMDetector: channels={self.channels!r} cannot be computed from an array "
                "[n, E]; give a TrainingDynamics, or channels='given'"
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.poor_score = True
        return tags


def _config_of(given: dict[str, Any]) -> DetectorConfig:
    try:
        return DetectorConfig(**given)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"]).replace("detector_net", "net")
        said = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(f"LSTMDetector: {f'{name}: ' if name else ''}{said}") from None
