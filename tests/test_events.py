"""What is written for TensorBoard, and that training does not depend on it."""

import builtins
import errno
import sys

import numpy as np
import pytest

from trainers.events import Events, tag


def _read(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()


def _points(events, name):
    return [(point.step, point.value) for point in events.Scalars(name)]


def test_scalars_and_images_come_back(tmp_path, capfd):
    tick = {"kimg": 1.0, "loss_g": 0.5, "r1": 0.25, "scores_real": 2.0, "w_std": 1.5, "lod": 1.0, "swd": 40.0}
    with Events(tmp_path) as events:
        events.scalars(1000, tick | {"images_per_second": 300.0})
        events.scalars(2000, {"loss_g": 0.75})
        events.image(2000, "grid", np.full((4, 6, 3), 7, np.uint8))
    assert capfd.readouterr() == ("", "")
    back = _read(tmp_path)
    assert sorted(back.Tags()["scalars"]) == [
        "latents/w_std", "loss/loss_g", "loss/r1", "metrics/swd", "schedule/lod", "scores/scores_real",
        "speed/images_per_second",
    ]  # fmt: skip
    assert _points(back, "loss/loss_g") == [(1000, 0.5), (2000, 0.75)]
    (image,) = back.Images("grid")
    assert (image.step, image.width, image.height) == (2000, 6, 4)


def test_a_point_is_on_disk_at_once(tmp_path):
    with Events(tmp_path) as events:
        events.scalars(1000, {"loss_d": 1.0})
        assert _points(_read(tmp_path), "loss/loss_d") == [(1000, 1.0)]


def test_after_a_resume_what_lies_beyond_the_snapshot_is_forgotten(tmp_path):
    with Events(tmp_path) as events:
        for images in (1000, 2000, 3000):
            events.scalars(images, {"loss_d": 1.0})
    with Events(tmp_path, 2000) as events:
        events.scalars(2500, {"loss_d": 5.0})
    assert _points(_read(tmp_path), "loss/loss_d") == [(1000, 1.0), (2000, 1.0), (2500, 5.0)]


def test_without_tensorboard_nothing_happens(tmp_path, monkeypatch):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ModuleNotFoundError(name)
        return original(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    said = []
    with Events(tmp_path, None, said.append) as events:
        events.scalars(1000, {"loss_d": 1.0})
        events.image(1000, "grid", np.zeros((2, 2, 3), np.uint8))
    assert (list(tmp_path.iterdir()), said) == ([], [])


def test_a_process_that_does_not_lead_writes_nothing(tmp_path):
    with Events(None) as events:
        events.scalars(1000, {"loss_d": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_said_once_and_stops_nothing(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    said = []
    with Events(tmp_path, None, said.append) as events:
        events.scalars(1000, {"loss_d": 1.0})
    assert len(said) == 1
    assert "not written any more" in said[0]
    with Events(tmp_path / "other", None, said.append) as events:
        events.image(1000, "grid", np.zeros((2, 2, 7), np.uint8))  # no image has seven channels
        events.scalars(1000, {"loss_d": 1.0})
    assert len(said) == 2


class _Full:
    def add_scalar(self, *args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_raised_but_hides_no_other_error(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", lambda *args, **kwargs: _Full())
    with pytest.raises(OSError, match="No space left"), Events(tmp_path) as events:
        events.scalars(1000, {"loss_d": 1.0})
    with pytest.raises(OSError, match="No space left"), Events(tmp_path):
        pass
    with pytest.raises(KeyboardInterrupt), Events(tmp_path):
        raise KeyboardInterrupt


def test_tags_of_fields_that_are_not_known_are_metrics():
    assert (tag("fid2048"), tag("gp"), tag("learning_rate")) == (
        "metrics/fid2048",
        "loss/gp",
        "schedule/learning_rate",
    )
