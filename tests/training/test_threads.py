"""How many threads compute, by which rule, and where they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import tdctl

from tdctl import processors
from tdctl.processors import most_threads, own_processors, users_environment
from tdctl.training import Threads

CPU = torch.device("cpu")
TWO = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two processors",
)


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*processors.ENVIRONMENT, "LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def allow(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    found = set(range(count))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: found, raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_affinity_limits_the_processors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    allow(monkeypatch, 3)
    assert own_processors(tmp_path) == 3
    several = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in {**several, "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert own_processors(tmp_path) == 1


V2 = {"proc/self/cgroup": "0::/group/job\n"}
V1 = {"proc/self/cgroup": "3:cpuset:/\n4:cpu,cpuacct:/docker/abc\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({**V2, "sys/fs/cgroup/group/job/cpu.max": "300000 100000\n"}, 3),
        # A group above is tighter; a share of a processor is one.
        ({**V2, "sys/fs/cgroup/group/cpu.max": "50000 100000\n"}, 1),
        ({**V2, "sys/fs/cgroup/group/job/cpu.max": "max 100000\n"}, 8),
        ({**V2, "sys/fs/cgroup/group/job/cpu.max": "250000 100000\n"}, 2),
        # In a container its own group is the top.
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        (
            {
                **V1,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                **V1,
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_limits_of_containers_count(
    files: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    allow(monkeypatch, 8)
    assert own_processors(write(tmp_path, files)) == expected


def test_of_more_than_two_processors_one_is_left_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for count, most in ((1, 1), (2, 2), (3, 2), (4, 3), (16, 15)):
        allow(monkeypatch, count)
        assert most_threads(tmp_path) == most


def test_a_core_with_two_hardware_threads_computes_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    allow(monkeypatch, 8)
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    write(tmp_path, {topology.format(n): f"{n % 4},{n % 4 + 4}\n" for n in range(8)})
    assert most_threads(tmp_path) == 4


def planned(flops: float, began: dict[str, object] | None = None) -> int:
    return Threads.planned(flops, CPU, began).count


def as_the_command(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """As in a process that the command line has set up, with so many processors."""
    allow(monkeypatch, count)
    monkeypatch.setattr(processors, "_quota", lambda root: None)
    monkeypatch.setattr(processors, "_cores", lambda allowed, root: len(allowed))
    monkeypatch.setattr(processors, "_set", {"OMP_NUM_THREADS"})


def test_the_work_of_a_step_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    as_the_command(monkeypatch, 8)
    work = {0.29e9: 1, 0.99e9: 1, 1.0e9: 2, 2.1e9: 4, 9e9: 7}
    assert {flops: planned(flops) for flops in work} == work


def test_a_run_goes_on_with_the_threads_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    as_the_command(monkeypatch, 4)
    assert planned(0.1e9, {"threads": 4}) == 4
    assert planned(9e9, {"threads": 1}) == 1
    assert planned(9e9, {"threads": 64}) == 3  # which the notes tell


def test_the_users_number_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    as_the_command(monkeypatch, 8)
    monkeypatch.setattr(processors, "_set", set())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = Threads.planned(9e9, CPU, {"threads": 7})
    assert (threads.count, threads.why) == (torch.get_num_threads(), "by OMP_NUM_THREADS")
    assert threads.facts()["threads_chosen"]["environment"] == {"OMP_NUM_THREADS": "1"}


def test_called_from_python_torchs_number_is_not_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    as_the_command(monkeypatch, 8)
    monkeypatch.setattr(processors, "_set", set())
    assert torch.get_num_threads() == 1 and planned(9e9) == 1


def test_torch_has_its_own_number_again_afterwards() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt), Threads(before + 2, "").used():
        assert torch.get_num_threads() == before + 2
        raise KeyboardInterrupt
    assert torch.get_num_threads() == before


# Two processors; prints what each thread of the process may run on.
PLACES = """
import json, os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import torch
from tdctl.processors import own_processors, unbound
from tdctl.training import Threads
def places():
    tasks = [int(task) for task in os.listdir("/proc/self/task")]
    return sorted(sorted(os.sched_getaffinity(task)) for task in tasks)
def work():
    conv = torch.nn.Conv2d(16, 16, 3)
    for _ in range(20):
        conv(torch.randn(32, 16, 24, 24)).sum().backward()
    tasks = os.listdir("/proc/self/task")
    return sorted(tasks)
found = {"both": sorted(os.sched_getaffinity(0))}
with Threads(2, "").used():
    before = work()
    found["apart"] = places()
    found["same threads"] = work() == before
    found["processors"] = own_processors()
    with unbound():
        found["unbound"] = sorted(os.sched_getaffinity(0))
    found["again"] = places()
found["after"] = places()
found["main"] = sorted(os.sched_getaffinity(0))
print(json.dumps(found))
"""


def run(program: str, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in processors.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@TWO
def test_two_threads_on_two_processors_keep_apart_while_they_compute() -> None:
    found = json.loads(run(PLACES))
    both = found["both"]
    for name in ("apart", "again"):
        assert [place for place in found[name] if len(place) == 1] == [[both[0]], [both[1]]]
    assert found["same threads"] and found["processors"] == 2
    assert found["unbound"] == found["main"] == both
    assert all(place == both for place in found["after"])


@TWO
def test_the_users_places_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.sched_getaffinity(0)
    monkeypatch.setattr("tdctl.training.threads.allowed_processors", lambda: set(sorted(mine)[:2]))
    two = Threads(2, "")
    assert two.facts()["threads_chosen"]["one_processor_each"], "where the user says nothing"
    monkeypatch.setenv("OMP_PROC_BIND", "false")
    assert not two.facts()["threads_chosen"]["one_processor_each"]
    with two.used():
        assert os.sched_getaffinity(0) == mine


# Of the libraries that compute, those that stand in place of LIBRARIES.
COMMAND = """
import sys
sys.argv = ["tdctl", "--version"]
from tdctl.cli import main
try:
    main()
except SystemExit:
    pass
assert not {"torch", "numpy", "sklearn"} & set(sys.modules)
import LIBRARIES
from threadpoolctl import threadpool_info
print(*(part["num_threads"] for part in threadpool_info()))
"""


def threads_of(libraries: str, **environment: str) -> set[str]:
    """The numbers of threads that libraries begin with after a command."""
    found = run(COMMAND.replace("LIBRARIES", libraries), **environment)
    return set(found.splitlines()[-1].split())


def test_a_command_begins_with_one_thread_in_every_library() -> None:
    assert threads_of("torch, numpy, sklearn.cluster") == {"1"}


@TWO
def test_a_command_leaves_the_users_threads() -> None:
    assert threads_of("numpy", OMP_NUM_THREADS="2") == {"2"}


def test_what_the_command_sets_is_not_taken_for_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_set", set())
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    # Registered, so that what the command sets is taken back.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OMP_NUM_THREADS")
    processors.tune_environment()
    assert os.environ["OMP_NUM_THREADS"] == "1" and "GOMP_SPINCOUNT" not in os.environ
    assert users_environment() == {"OMP_WAIT_POLICY": "PASSIVE"}
    assert processors.threads_are_ours() and not processors.threads_are_asked()


def test_the_manifest_says_how_many_and_why(tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = ["--dataset", "digits", "--limit", "100", "--net-type", "resnet", "--depth", "8"]
    done = tdctl("generate-td", *small, "--epochs", "1", "--quiet", "--out", out)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["threads"] == 1
    chosen = manifest["threads_chosen"]
    assert "billion operations a step" in chosen["why"] and not chosen["one_processor_each"]
    assert manifest["machine"]["processors"] == own_processors()
