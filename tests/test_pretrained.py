from __future__ import annotations

import json
import re
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Bomb, tiny_config
from safetensors.torch import save_file
from torch import nn

from tdctl import runner
from tdctl.config import Config, NetConfig
from tdctl.errors import ConfigError, RunError
from tdctl.inputs.prepare import with_whole_paths
from tdctl.nets import build_net, head_names
from tdctl.pretrained import load_published, load_weights, weights_file
from tdctl.settings import load_config
from tdctl.training import Progress

State = dict[str, Any]


def net_of(classes: int = 10, channels: int = 1, seed: int = 0, depth: int = 8) -> nn.Module:
    return build_net(NetConfig(depth=depth), classes, (channels, 32, 32), seed)


def state_of(classes: int = 10, channels: int = 1, seed: int = 1, depth: int = 8) -> State:
    return dict(net_of(classes, channels, seed, depth).state_dict())


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def same(ours: State, theirs: State) -> bool:
    return ours.keys() == theirs.keys() and all((ours[k] == theirs[k]).all() for k in ours)


def under(prefix: str) -> Callable[[State], State]:
    return lambda state: {f"{prefix}{key}": value for key, value in state.items()}


prefixed = under("module.")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        OrderedDict,
        prefixed,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": prefixed(state), "args": {"lr": 0.1}},
        lambda state: {"state_dict": under("model.")(state), "epoch": 3},
        lambda state: {"model_state_dict": under("_orig_mod.")(state)},
        lambda state: {"net": under("module.model.")(state)},
        under("backbone."),
        lambda state: {k: nn.Parameter(v, v.is_floating_point()) for k, v in state.items()},
        lambda state: {k: v for k, v in state.items() if "num_batches_tracked" not in k},
    ],
    ids=[
        "plain",
        "ordered",
        "module.",
        "state_dict",
        "model",
        "Lightning",
        "compiled",
        "twice",
        "backbone.",
        "parameters",
        "old batch norm",
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.pt"])
def test_a_state_dict_is_loaded_however_it_was_wrapped(
    tmp_path: Path, wrap: Any, name: str
) -> None:
    net, state = net_of(), state_of()
    weights = load_weights(net, saved(tmp_path / name, wrap(state)))
    assert same(dict(net.state_dict()), state)
    assert weights.file == name and weights.not_loaded is None
    assert "all its weights loaded" in weights.note


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_the_average_of_the_weights_is_taken_and_said(tmp_path: Path, key: str) -> None:
    net, plain, average = net_of(), state_of(), state_of(seed=2)
    averaged = {**prefixed(average), "n_averaged": torch.tensor(5)}
    file = saved(tmp_path / "w.pth", {"model": plain, key: averaged, "epoch": 3})
    weights = load_weights(net, file)
    assert same(dict(net.state_dict()), average)
    assert f"starts from the averaged weights '{key}' in w.pth" in weights.note
    assert weights.facts()["part"] == key
    without = load_weights(net, saved(tmp_path / "v.pth", {"model": plain, key: None}))
    assert same(dict(net.state_dict()), plain) and "part" not in without.facts()


@pytest.mark.parametrize("text", ["import torch\n", "{}", "", "vgg"])
def test_a_file_of_text_is_no_file_of_weights(tmp_path: Path, text: str) -> None:
    (tmp_path / "w.pth").write_text(text)
    with pytest.raises(ConfigError, match=r"w\.pth: cannot be read \(it is no file of torch\.save"):
        load_weights(net_of(), tmp_path / "w.pth")


def test_safetensors(tmp_path: Path) -> None:
    net, state = net_of(), state_of()
    save_file(state, tmp_path / "w.safetensors")
    load_weights(net, tmp_path / "w.safetensors")
    assert same(dict(net.state_dict()), state)


@pytest.mark.parametrize("net_type", ["resnet18", "resnet34", "resnet50"])
def test_torchvisions_weights_fit_but_for_the_head(tmp_path: Path, net_type: Any) -> None:
    from torchvision import models

    state = getattr(models, net_type)().state_dict()
    net = build_net(NetConfig(net_type=net_type), 7, (3, 32, 32), seed=5)
    fresh = {key: value.clone() for key, value in net.state_dict().items()}
    weights = load_weights(net, saved(tmp_path / "w.pth", state))
    for key, value in net.state_dict().items():
        from_where = fresh if key.startswith("fc.") else state
        assert (value == from_where[key]).all(), key
    assert "fc.weight, fc.bias" in weights.note and "1000 classes, not 7" in weights.note


@pytest.mark.parametrize(
    "net_type",
    ["squeezenet1_1", "mobilenet_v3_small", "densenet121", "googlenet", "timm:test_resnet"],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_every_network_fit_but_for_the_head(
    tmp_path: Path, net_type: str, prefix: str
) -> None:
    theirs = NetConfig(net_type=net_type)
    if net_type == "googlenet":  # torchvision's file has the auxiliary heads, too
        from torchvision import models

        state = models.get_model("googlenet", init_weights=False).state_dict()
    else:
        state = build_net(theirs, 12, (3, 32, 32), 1).state_dict()
    if net_type == "densenet121":  # the names in torchvision's files
        state = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): v for key, v in state.items()}
    path = saved(tmp_path / "w.pth", under(prefix)(state))
    net = build_net(theirs, 7, (3, 32, 32), seed=5)
    fresh = {key: value.clone() for key, value in net.state_dict().items()}
    weights = load_weights(net, path)
    head = head_names(net)[0]
    assert head in weights.note and "classes, not 7" in weights.note
    assert ("the auxiliary heads (aux1." in weights.note) == (net_type == "googlenet")
    for key, value in net.state_dict().items():
        if key.startswith(f"{head}."):
            assert (value == fresh[key]).all(), key
    body = [key for key in fresh if not key.startswith(f"{head}.") and fresh[key].ndim == 4]
    assert all((net.state_dict()[key] != fresh[key]).any() for key in body)


def test_a_file_without_a_head_is_one_of_features(tmp_path: Path) -> None:
    net = net_of()
    state = {key: value for key, value in state_of().items() if not key.startswith("fc.")}
    weights = load_weights(net, saved(tmp_path / "w.pth", state))
    assert "not loaded: the head (fc.weight, fc.bias), which the file does not have" in weights.note
    assert same({k: v for k, v in net.state_dict().items() if k in state}, state)


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    other = build_net(NetConfig(net_type="timm:test_vit"), 7, (3, 32, 32), 0).state_dict()
    net = build_net(NetConfig(net_type="squeezenet1_1"), 7, (3, 32, 32), 0)
    with pytest.raises(ConfigError, match=r"lacks features\.0\.weight, .* more, which") as caught:
        load_weights(net, saved(tmp_path / "w.pth", other))
    assert "\n" not in str(caught.value)


def test_published_weights_are_loaded_but_for_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    config = NetConfig(net_type="squeezenet1_1", pretrained="imagenet")
    state = build_net(config, 1000, (3, 32, 32), 1).state_dict()
    monkeypatch.setattr(
        "tdctl.nets.building.fetch_torchvision", lambda name: (f"weights of {name}", state)
    )
    net = build_net(config, 1000, (3, 32, 32), seed=2)
    head = net.get_parameter("classifier.1.weight").clone()
    weights = load_published(net, config)
    assert weights.file == "weights of squeezenet1_1" and len(weights.sha256) == 64
    assert "not loaded: the head (classifier.1.weight, classifier.1.bias)" in weights.note
    assert (net.get_parameter("features.0.weight") == state["features.0.weight"]).all()
    # Even if the data set has as many classes, they are others.
    assert (net.get_parameter("classifier.1.weight") == head).all()


@pytest.mark.parametrize("counters", [True, False], ids=["all", "floats"])
def test_half_precision_is_taken(tmp_path: Path, counters: bool) -> None:
    net, state = net_of(), state_of()
    half = {k: v.half() if counters or v.is_floating_point() else v for k, v in state.items()}
    load_weights(net, saved(tmp_path / "w.pth", half))
    assert torch.allclose(net.conv1.weight, state["conv1.weight"], atol=1e-3)
    assert net.conv1.weight.dtype == torch.float32


def without(*names: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if key not in names}


def changed(name: str, change: Callable[[torch.Tensor], Any]) -> Callable[[State], State]:
    return lambda state: state | {name: change(state[name])}


def one_nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[-1] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without("bn1.weight"), "lacks bn1.weight, which the network has"),
        (without("fc.bias"), "lacks fc.bias"),
        (
            lambda s: s | {"extra.weight": s["fc.bias"]},
            "contains extra.weight, which the network does",
        ),
        (lambda s: state_of(depth=14), "and 33 more, which the network does not have"),
        (lambda s: state_of(channels=3), "is for images of 3 channels, not 1"),
        (changed("bn1.weight", lambda t: t[:3]), "bn1.weight [3] in place of [16]"),
        (changed("fc.weight", lambda t: t[:, :9]), "fc.weight [10, 9] in place of [10, 64]"),
        (changed("fc.weight", lambda t: t[:5]), "fc.weight [5, 64] in place of [10, 64]"),
        (changed("fc.bias", lambda t: t[0]), "fc.bias [] in place of [10]"),
        (changed("conv1.weight", lambda t: t.sum()), "conv1.weight [] in place of [16, 1, 3, 3]"),
        (changed("bn1.weight", lambda t: t.long()), "another type in bn1.weight"),
        (changed("bn1.weight", one_nan), "not finite in bn1.weight"),
        (changed("bn1.running_var", lambda t: t / 0), "not finite in bn1.running_var"),
        (changed("bn1.weight", lambda t: 3), "its 'bn1.weight' is not a tensor"),
        (changed("bn1.weight", lambda t: t.to_sparse()), "its 'bn1.weight' is not a tensor"),
        (lambda s: {1: s["bn1.weight"]}, "its '1' is not a tensor"),
        (lambda s: {"state_dict": {}}, "contains no named weights"),
        (lambda s: s["bn1.weight"], "contains no named weights"),
        (lambda s: list(s.values()), "contains no named weights"),
        (lambda s: {"weights": s}, "it contains 'weights'; expected one of state_dict"),
        (lambda s: {"student": s, "teacher": s, "epoch": 1}, "it contains 'student', 'teacher'"),
        (lambda s: prefixed(without("bn1.weight")(s)), "lacks bn1.weight, which the network has"),
        (lambda s: under("a.")(s) | under("b.")(s), "several such networks, 'a.' and 'b.'"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(
    tmp_path: Path, damage: Any, says: str
) -> None:
    net = net_of()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    path = saved(tmp_path / "w.pth", damage(state_of()))
    with pytest.raises(ConfigError) as caught:
        load_weights(net, path)
    message = str(caught.value)
    assert says in message and str(path) in message and "--pretrained none" in message
    assert "\n" not in message and len(message) < 400
    assert same(dict(net.state_dict()), before), "the network is as it was"


def test_many_misfits_are_counted_not_listed(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", {"a": torch.zeros(1)})
    with pytest.raises(ConfigError, match=r"lacks conv1\.weight, bn1\.weight, .* and \d+ more"):
        load_weights(net_of(), path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04" + bytes(50)])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_weights(net_of(), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_nothing_is_executed(tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    path = saved(tmp_path / "w.pth", {"state_dict": Bomb(crater)})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_weights(net_of(), path)
    assert not crater.exists()


def of_birds(**more: Any) -> Config:
    overrides = {k.replace("__", "."): v for k, v in more.items()}
    return load_config(None, {"data.dataset": "cub_200_2011", "data.data_dir": "x"} | overrides)


def test_where_the_paper_starts_from_imagenet_the_user_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cub_200_2011 from ImageNet.*torchvision's resnet34"):
        weights_file(of_birds())
    with pytest.raises(
        ConfigError,
        match=r"\(torchvision's resnet50\), or --pretrained none; --pretrained imagenet",
    ):
        weights_file(of_birds(net__net_type="resnet50"))
    assert weights_file(of_birds(net__pretrained="none")) is None
    file = saved(tmp_path / "w.pth", {})
    assert weights_file(of_birds(net__pretrained=str(file))) == file
    assert weights_file(tiny_config()) is None


@pytest.mark.parametrize(("path", "says"), [("/nowhere.pth", "no such file"), ("/", "is a folder")])
def test_a_missing_file_is_an_error(path: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        weights_file(tiny_config(net__pretrained=path))


@pytest.mark.parametrize("step", [runner.generate_td, runner.plan_generate])
def test_the_choice_is_asked_for_before_the_images_are_read(tmp_path: Path, step: Any) -> None:
    with pytest.raises(ConfigError, match="give --pretrained FILE"):
        step(of_birds(), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_none_survives_a_runs_settings_and_a_path_becomes_whole() -> None:
    config = with_whole_paths(of_birds(net__pretrained="none"))
    assert config.net.pretrained == "none"
    config = with_whole_paths(of_birds(net__pretrained="w.pth"))
    assert config.net.pretrained == Path.cwd() / "w.pth"
    assert config.data.data_dir == Path.cwd() / "x"


def manifest(run: Path) -> Any:
    return json.loads((run / "manifest.json").read_text())


def test_a_run_and_its_retrainings_start_from_the_weights_and_say_so(
    tmp_path: Path, detector_file: Path
) -> None:
    state = state_of(classes=4)
    file = saved(tmp_path / "w.pth", state)
    config = tiny_config(net__pretrained=str(file), train__lr=1e-9, retrain__lr=1e-9)
    result = runner.generate_td(config, tmp_path / "run")
    facts = result.manifest["pretrained"]
    assert facts["file"] == "w.pth" and len(facts["sha256"]) == 64
    assert "4 classes, not 10" in facts["not_loaded"]
    assert any("starts from w.pth; not loaded: the head" in note for note in result.notes)
    out = tmp_path / "d"
    pruned = runner.denoise(config, result.folder, detector_file, [0.2], out=out)
    assert any("starts from w.pth" in note for note in pruned.notes)
    retrained = Path(pruned.rows[0].folder)
    assert manifest(retrained)["pretrained"] == facts
    head = net_of(seed=config.seed).state_dict()["fc.weight"]
    for folder in (result.folder, retrained):
        # At this rate the training leaves them where they began.
        trained = torch.load(folder / "model.pth", weights_only=True)
        assert torch.allclose(trained["conv1.weight"], state["conv1.weight"], atol=1e-6)
        assert torch.allclose(trained["fc.weight"], head, atol=1e-6), "the head is the seed's"


def test_a_run_without_weights_says_that(digits_run: Path) -> None:
    assert manifest(digits_run)["pretrained"] is None


def test_weights_that_do_not_fit_leave_no_trace(tmp_path: Path, detector_file: Path) -> None:
    file = saved(tmp_path / "w.pth", state_of(channels=3))
    config = tiny_config(net__pretrained=str(file))
    for step in (runner.generate_td, runner.plan_generate):
        with pytest.raises(ConfigError, match="3 channels, not 1"):
            step(config, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_dry_denoising_checks_the_weights(
    tmp_path: Path, digits_run: Path, detector_file: Path
) -> None:
    config = tiny_config(
        net__pretrained=str(saved(tmp_path / "w.pth", state_of(depth=14))), data__num_valid=30
    )
    with pytest.raises(ConfigError, match="which the network does not have"):
        runner.denoise(config, digits_run, detector_file, [0.2], out=tmp_path / "d", dry_run=True)


def stop_in_the_second_epoch(progress: Progress) -> None:
    if progress.epoch == 1:
        raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["generate-td", "denoise"])
def test_another_file_under_the_same_name_is_refused_on_resumption(
    tmp_path: Path, detector_file: Path, step: str
) -> None:
    file = saved(tmp_path / "w.pth", state_of())
    config = tiny_config(net__pretrained=str(file))
    run = tmp_path / "run"
    if step == "denoise":
        runner.generate_td(config, run)

    def act(**more: Any) -> Any:
        if step == "generate-td":
            return runner.generate_td(config, run, **more)
        return runner.denoise(config, run, detector_file, [0.2], out=tmp_path / "d", **more)

    with pytest.raises(KeyboardInterrupt):
        act(report=stop_in_the_second_epoch)
    saved(file, state_of(seed=2))
    with pytest.raises(RunError, match="pretrained differs: the weights it starts from"):
        act(resume=True)
    saved(file, state_of())
    act(resume=True)


def test_what_stands_beside_the_network_is_named(tmp_path: Path) -> None:
    net, state = net_of(), state_of()
    beside = {"criterion.weight": torch.ones(10), "metric.total": torch.zeros(1)}
    path = saved(tmp_path / "w.ckpt", {"state_dict": under("model.")(state) | beside})
    weights = load_weights(net, path)
    assert same(dict(net.state_dict()), state)
    assert (
        "not loaded: criterion.weight, metric.total, which the network does not have"
        in weights.note
    )


def test_a_head_for_other_classes_is_known_behind_a_prefix(tmp_path: Path) -> None:
    weights = load_weights(net_of(), saved(tmp_path / "w.pth", under("model.")(state_of(7))))
    assert weights.not_loaded is not None and "for 7 classes, not 10" in weights.not_loaded


def scripted(path: Path) -> None:
    with pytest.warns(FutureWarning):
        torch.jit.script(nn.Linear(2, 2)).save(path)


@pytest.mark.parametrize(
    ("save", "says"),
    [
        (lambda path: torch.save(net_of(), path), "a Python object, tdctl.nets.cifar.CifarResNet"),
        (lambda path: saved(path, {"state_dict": state_of(), "args": Namespace()}), "Namespace"),
        (scripted, "a program of TorchScript"),
    ],
    ids=["whole model", "arguments", "TorchScript"],
)
def test_a_pickled_model_names_the_way_out(tmp_path: Path, save: Any, says: str) -> None:
    path = tmp_path / "w.pth"
    save(path)
    with pytest.raises(ConfigError) as caught:
        load_weights(net_of(), path)
    assert says in str(caught.value)
    assert "save its state_dict(): torch.save(model.state_dict(), FILE)" in str(caught.value)
