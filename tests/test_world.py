from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from processes import in_world
from torch import nn

from tdctl.errors import ConfigError, DataError, RunError
from tdctl.training.world import World


def worldly(act: Callable[[World], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with World.joined("cpu") as world:
            return act(world)

    return run


def test_alone_every_call_is_a_plain_one() -> None:
    with World.joined("cpu") as world:
        assert (world.rank, world.size, world.is_first) == (0, 1, True)
        assert world.first(lambda: 3) == 3 and world.together(lambda: 4) == 4
        assert world.shared("x") == "x"
        assert world.part(5, 9) == slice(5, 9)
        values = {"a": torch.arange(3)}
        assert world.gather(values) == [values]
        net = nn.Linear(1, 1)
        assert world.wrap(net) is net


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("total", [0, 1, 2, 7, 30])
def test_parts_cover_every_row_once(size: int, total: int) -> None:
    parts = [World(rank, size).part(10, 10 + total) for rank in range(size)]
    rows = [row for part in parts for row in range(part.start, part.stop)]
    assert rows == list(range(10, 10 + total))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_values_travel_whole_whatever_their_type_and_length() -> None:
    def act(world: World) -> Any:
        own = {
            "half": torch.full((world.rank, 2), world.rank / 3, dtype=torch.float16),
            "short": torch.arange(world.rank + 1, dtype=torch.int16),
            "flag": torch.tensor([world.is_first]),
            "wide": torch.tensor([world.rank], dtype=torch.int64),
        }
        first, every = world.gather(own), world.gather_to_all(own)
        total = world.sum(torch.tensor([1.0 + world.rank]))
        return first, every, float(total), world.shared(f"from {world.rank}")

    results = in_world(3, worldly(act))
    assert [first is not None for first, *_ in results] == [True, False, False]
    for _, every, total, shared in results:
        assert total == 6 and shared == "from 0"
        for rank, found in enumerate(every):
            assert found["half"].shape == (rank, 2)
            assert found["short"].tolist() == list(range(rank + 1))
            assert found["flag"].item() == (rank == 0) and found["wide"].item() == rank
            assert found["half"].dtype == torch.float16 and found["short"].dtype == torch.int16


def test_an_error_of_the_first_reaches_all_and_is_told_once() -> None:
    def refuse() -> None:
        raise RunError("no")

    def act(world: World) -> Any:
        try:
            world.first(refuse)
        except RunError as error:
            return str(error), error.told_elsewhere

    assert in_world(2, worldly(act)) == [("no", False), ("no", True)]


def test_an_error_of_any_reaches_all() -> None:
    def act(world: World) -> Any:
        def fail() -> int:
            if world.rank == 1:
                raise FileNotFoundError(2, "not there", "photos")
            return 1

        try:
            world.together(fail)
        except RunError as error:
            return str(error)

    assert in_world(2, worldly(act)) == ["photos: not there"] * 2


def test_different_data_are_refused() -> None:
    def act(world: World) -> None:
        world.check_same("digits", str(world.rank // 2))

    assert all(
        isinstance(e, DataError) and "process 2" in str(e) for e in in_world(3, worldly(act))
    )


def test_running_statistics_are_averaged() -> None:
    def act(world: World) -> Any:
        net = nn.BatchNorm1d(2)
        net.running_mean.fill_(float(world.rank))
        world.average_buffers(net)
        return net.running_mean.tolist()

    assert in_world(2, worldly(act)) == [[0.5, 0.5]] * 2


def test_a_process_that_dies_is_told_to_the_others() -> None:
    def act(world: World) -> None:
        world.shared(0)
        if world.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(100):
            world.sum(torch.zeros(1))

    first, second = in_world(2, worldly(act))
    assert isinstance(first, RunError) and "--resume" in str(first)
    assert second is None


def test_all_on_one_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="one GPU"), World.joined("cuda:1"):
        pass
