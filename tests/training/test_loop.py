"""The loop on small networks: what stopped goes on bit for bit, what is best is kept, what is wrong is said."""

import csv
import dataclasses
import pickletools
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from skyloom.errors import DataError, SpecError
from skyloom.runtime.device import DeviceSettings
from skyloom.runtime.networks import state_arrays
from skyloom.training.checkpoint import CHECKPOINT
from skyloom.training.loop import ArrayExamples, LoopConfig, fit

CONFIG = LoopConfig(epochs=5, batch_rows=16, learning_rate=5e-3, seed=7)
KINDS = {
    "adam, cosine": {},
    "adamw, clipped": {"optimiser": "adamw", "weight_decay": 0.1, "clip_norm": 0.5},
    "sgd, constant": {"optimiser": "sgd", "schedule": "constant", "learning_rate": 0.05},
}


class Net(nn.Module):
    """Convolution, batch norm and dropout: everything that has a state or draws."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Conv2d(1, 4, 3)
            self.norm = nn.BatchNorm2d(4)
            self.last = nn.Linear(4 * 36, 2)
        self.dropout = nn.Dropout(0.3)

    def forward(self, image):
        hidden = functional.relu(self.norm(self.first(image)))
        return {"logits": self.last(self.dropout(hidden.flatten(1)))}


def some_examples(n, seed=0):
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    image = rng.normal(0, 1, (n, 1, 8, 8)) + 0.6 * target[:, None, None, None]
    return ArrayExamples({"image": image.astype(np.float32)}, target)


def loss(outputs, target):
    return functional.cross_entropy(outputs["logits"], target)


def doubled(outputs, target):
    return 2.0 * loss(outputs, target)


def mirrored(arrays, rng):
    image = arrays["image"]
    return {"image": image[..., ::-1] if rng.random() < 0.5 else image}


def trained(folder=None, *, net=None, config=CONFIG, **how):
    net = net or Net()
    how = {"loss": loss, "augment": mirrored, "device": DeviceSettings("cpu"), **how}
    history = fit(net, some_examples(70), some_examples(33, 1), config=config, folder=folder, **how)
    return net, history


def same(one, other):
    a, b = state_arrays(one), state_arrays(other)
    return [name for name in a if a[name].tobytes() != b[name].tobytes()] == []


class Stopped(Exception):
    """Stands for a lost machine."""


def stop_in(epoch):
    def stop(tick):
        if tick.epoch == epoch and tick.rows_done > 20:
            raise Stopped

    return stop


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epoch", [1, 2, 5])
def test_a_run_stopped_in_any_epoch_goes_on_to_the_same_bits(tmp_path, kind, epoch):
    config = dataclasses.replace(CONFIG, **KINDS[kind])
    whole, history = trained(tmp_path / "whole", config=config)
    with pytest.raises(Stopped):
        trained(tmp_path / "cut", config=config, progress=stop_in(epoch))
    assert (tmp_path / "cut" / CHECKPOINT).exists() == (epoch > 1)
    torch.manual_seed(epoch)  # nothing may depend on the generator of the process
    again, continued = trained(tmp_path / "cut", config=config, resume=True)
    assert same(whole, again)
    assert continued == history
    for name in ("curve.csv", CHECKPOINT):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_a_finished_run_is_not_trained_again(tmp_path):
    whole, history = trained(tmp_path)
    ticks = []
    again, same_history = trained(tmp_path, resume=True, progress=ticks.append)
    assert not ticks
    assert same(whole, again)
    assert same_history == history


def test_one_seed_gives_one_set_of_weights_and_another_seed_another():
    first, second = trained()[0], trained()[0]
    assert same(first, second)
    assert not same(first, trained(config=dataclasses.replace(CONFIG, seed=8))[0])


def test_the_generator_and_the_threads_of_the_process_are_left_alone():
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    trained()
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_what_can_be_learnt_is_learnt():
    net, history = trained(config=dataclasses.replace(CONFIG, epochs=15))
    images, target = some_examples(200, 5).take(np.arange(200))
    with torch.no_grad():
        found = net(torch.from_numpy(images["image"]))["logits"].argmax(1).numpy()
    assert (found == target).mean() > 0.9
    assert history.best.validation_loss < 0.5 * np.log(2)


def test_the_weights_kept_are_those_of_the_epoch_with_the_least_validation_loss(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=30, learning_rate=0.05, schedule="constant", patience=3)
    net, history = trained(tmp_path, config=config)
    losses = [each.validation_loss for each in history.epochs]
    best = int(np.argmin(losses))
    assert history.stopped_early
    assert len(losses) == best + 1 + 3
    assert history.best.epoch == best + 1
    short, _ = trained(config=dataclasses.replace(config, epochs=best + 1))
    assert same(net, short)
    images, target = some_examples(33, 1).take(np.arange(33))
    with torch.no_grad():
        found = float(loss(net(torch.from_numpy(images["image"])), torch.from_numpy(target)))
    assert found == pytest.approx(losses[best], rel=1e-5)


def test_patience_counts_on_over_a_stop(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=30, learning_rate=0.05, schedule="constant", patience=3)
    whole, history = trained(config=config)
    with pytest.raises(Stopped):
        trained(tmp_path, config=config, progress=stop_in(history.best.epoch + 2))
    again, continued = trained(tmp_path, config=config, resume=True)
    assert same(whole, again)
    assert continued == history


def test_frozen_parameters_stay_bit_for_bit_and_the_others_move():
    net = Net()
    net.first.requires_grad_(False)
    before = state_arrays(net)
    trained(net=net, config=dataclasses.replace(CONFIG, optimiser="adamw", weight_decay=0.5))
    after = state_arrays(net)
    moved = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert {"net.first.weight", "net.first.bias"}.isdisjoint(moved)
    assert {"net.last.weight", "net.norm.weight"} <= moved


def test_a_loss_without_a_value_is_an_error_that_keeps_the_checkpoint_before(tmp_path):
    broken_after = [20]

    def breaks(outputs, target):
        broken_after[0] -= 1
        return loss(outputs, target) * (float("nan") if broken_after[0] < 0 else 1.0)

    with pytest.raises(SpecError, match=r"epoch 3: the loss became nan.*end of epoch 2"):
        trained(tmp_path, loss=breaks)
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1 + 2
    whole, history = trained()
    broken_after[0] = 1000
    again, continued = trained(tmp_path, loss=breaks, resume=True)
    assert same(whole, again)
    assert continued == history


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": dataclasses.replace(CONFIG, learning_rate=1e-4)}, "config.learning_rate was 0.005, is 0.0001"),
        ({"config": dataclasses.replace(CONFIG, patience=4)}, "config.patience was None, is 4"),
        ({"net": Net(seed=1)}, "module at the start"),
        ({"augment": None}, "augmentation was mirrored, is none"),
        ({"loss": doubled}, "loss was loss, is doubled"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_says_what_differs(tmp_path, change, words):
    trained(tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(SpecError, match="of another run") as caught:
        trained(tmp_path, resume=True, **change)
    assert words in caught.value.message
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_other_rows_or_other_frozen_layers_is_refused(tmp_path):
    trained(tmp_path)
    how = {"loss": loss, "augment": mirrored, "config": CONFIG, "folder": tmp_path, "resume": True}
    with pytest.raises(SpecError, match="examples to learn from"):
        fit(Net(), some_examples(70, seed=9), some_examples(33, 1), **how)
    with pytest.raises(SpecError, match="examples to judge by"):
        fit(Net(), some_examples(70), some_examples(34, 1), **how)
    frozen = Net()
    frozen.first.requires_grad_(False)
    with pytest.raises(SpecError, match=r"frozen parameters was none, is first\.weight, first\.bias"):
        fit(frozen, some_examples(70), some_examples(33, 1), **how)


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: b"{}" * 400])
def test_a_torn_checkpoint_is_said_and_not_trained_over(tmp_path, damage):
    trained(tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    torn = path.read_bytes()
    with pytest.raises(DataError, match="torn or no checkpoint"):
        trained(tmp_path, resume=True)
    assert path.read_bytes() == torn


def test_nothing_that_a_run_writes_is_pickled(tmp_path):
    from safetensors.numpy import load_file

    trained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, "curve.csv", "curve.png"]
    assert {name.split(".")[0] for name in load_file(tmp_path / CHECKPOINT)} == {
        "module",
        "best",
        "optimiser",
        "generator",
    }
    with pytest.raises(ValueError, match=r"opcode|pickle"):
        list(pickletools.genops((tmp_path / CHECKPOINT).read_bytes()))


def test_a_crash_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    from skyloom.training import checkpoint

    trained(tmp_path, config=dataclasses.replace(CONFIG, epochs=1))
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "os", types.SimpleNamespace(fsync=full, getpid=lambda: 1))
    with pytest.raises(OSError, match="No space"):
        trained(tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_curve_is_a_table_of_the_history_and_a_picture(tmp_path):
    _, history = trained(tmp_path)
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == [
        dataclasses.asdict(each) for each in history.epochs
    ]
    rates = [each.learning_rate for each in history.epochs]
    assert rates[0] == CONFIG.learning_rate
    assert rates == sorted(rates, reverse=True)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_progress_counts_the_rows_of_every_epoch():
    ticks = []
    _, history = trained(progress=ticks.append)
    assert [tick.ended for tick in ticks if tick.ended] == list(history.epochs)
    within = [tick.rows_done for tick in ticks if tick.epoch == 2 and not tick.ended]
    assert within == [16, 32, 48, 64, 70]
    assert {tick.rows for tick in ticks} == {70}


def test_a_last_row_alone_joins_the_step_before_it():
    ticks = []
    fit(Net(), some_examples(33), some_examples(9), loss=loss, config=CONFIG, progress=ticks.append)
    assert [tick.rows_done for tick in ticks if tick.epoch == 1 and not tick.ended] == [16, 33]


def test_the_validation_loss_is_the_mean_over_rows_however_they_are_cut():
    still = dataclasses.replace(CONFIG, epochs=1, learning_rate=1e-12)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    net.forward = lambda image, run=net.forward: {"logits": run(image)}
    found = [
        fit(
            net, some_examples(8), some_examples(33, 1), loss=loss, config=dataclasses.replace(still, batch_rows=n)
        )
        for n in (4, 7, 100)
    ]
    values = [history.best.validation_loss for history in found]
    np.testing.assert_allclose(values, values[0], rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch_rows": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"weight_decay": -1.0},
        {"optimiser": "rmsprop"},
        {"schedule": "linear"},
        {"momentum": 1.0},
        {"patience": 0},
        {"clip_norm": 0.0},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(SpecError, match=next(iter(settings))):
        LoopConfig(**({"epochs": 3} | settings))


def test_what_cannot_be_trained_is_refused():
    none, some = some_examples(0), some_examples(10)
    how = {"loss": loss, "config": CONFIG}
    for learning, validation in ((none, some), (some, none)):
        with pytest.raises(SpecError, match="rows to learn from and rows to judge by"):
            fit(Net(), learning, validation, **how)
    with pytest.raises(SpecError, match="requires a gradient"):
        fit(Net().requires_grad_(False), some, some, **how)
    with pytest.raises(SpecError, match="float32"):
        fit(Net(), some, some, device=DeviceSettings("cpu", precision="bfloat16"), **how)
    with pytest.raises(SpecError, match="folder"):
        fit(Net(), some, some, resume=True, **how)
    with pytest.raises(SpecError, match="one number"):
        fit(Net(), some, some, loss=lambda found, target: found["logits"], config=CONFIG)
    with pytest.raises(SpecError, match="as long as"):
        ArrayExamples({"image": np.zeros((3, 1))}, np.zeros(4))
