from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from processes import forked, free_port, in_world, result_of, variables
from torch import nn

from tdctl.errors import ConfigError, DataError, RunError
from tdctl.torchrun import START_SECONDS, place, rank, sharing, start_seconds
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
        for number, found in enumerate(every):
            assert found["half"].shape == (number, 2)
            assert found["short"].tolist() == list(range(number + 1))
            assert found["flag"].item() == (number == 0) and found["wide"].item() == number
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
    for name, value in variables(0, 2, 29500).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="one GPU"), World.joined("cuda:1"):
        pass


@pytest.mark.parametrize(("own", "says"), [(0, "1 did not come within"), (1, "process 0 of 2")])
def test_processes_that_never_come_are_one_line(own: int, says: str) -> None:
    left = variables(own, 2, free_port()) | {START_SECONDS: "0.5"}
    error = result_of(forked(worldly(lambda world: None), left))
    assert isinstance(error, RunError) and says in str(error)
    assert "unset WORLD_SIZE" in str(error) and START_SECONDS in str(error)


def test_processes_that_come_late_are_waited_for() -> None:
    port = free_port()
    act = worldly(lambda world: world.shared(f"of {world.rank}"))

    def late() -> Any:
        time.sleep(1)
        return act()

    # Neither who serves need be the first to come.
    for starts in ((act, late), (late, act)):
        children = [forked(start, variables(r, 2, port)) for r, start in enumerate(starts)]
        assert [result_of(child) for child in children] == ["of 0"] * 2
        port = free_port()


def test_an_address_that_is_taken_is_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        left = variables(0, 2, other.getsockname()[1])
        error = result_of(forked(worldly(lambda world: None), left))
    assert isinstance(error, RunError) and "a free MASTER_PORT" in str(error)


WHOLE = variables(0, 2, 29500)


@pytest.mark.parametrize(
    ("left", "says"),
    [
        ({"WORLD_SIZE": "8"}, r"WORLD_SIZE=8.*RANK, MASTER_ADDR and MASTER_PORT are not set"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is '', expected a whole number"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', expected a whole number"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0', expected a whole number, at least 1"),
        (WHOLE | {"RANK": "2"}, "RANK is '2', expected a whole number, 0 to 1"),
        (WHOLE | {"RANK": ""}, "RANK is not set"),
        (WHOLE | {"MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
        (WHOLE | {"LOCAL_RANK": "-1"}, "LOCAL_RANK is '-1'"),
    ],
)
def test_what_a_cluster_left_in_the_environment_is_one_line(
    monkeypatch: pytest.MonkeyPatch, left: dict[str, str], says: str
) -> None:
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=says) as caught, World.joined("cpu"):
        pass
    assert "unset WORLD_SIZE" in str(caught.value) and "torchrun" in str(caught.value)
    assert rank() == 0 and sharing() == 1


def test_what_says_nothing_of_other_processes_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = {"RANK": "3", "MASTER_ADDR": "", "LOCAL_WORLD_SIZE": "8", "SLURM_NTASKS": "8"}
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    with World.joined("cpu") as world:
        assert (world.rank, world.size) == (0, 1)
    assert rank() == 0 and sharing() == 1
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert place().size == 1


def test_the_time_to_wait_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start_seconds() == 600
    for text in ("soon", "0", "-1", "nan", "inf", ""):
        monkeypatch.setenv(START_SECONDS, text)
        with pytest.raises(ConfigError, match="number of seconds above 0"):
            start_seconds()
