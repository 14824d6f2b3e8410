"""Resizing images: means of boxes where they get smaller, with a warning where they get larger."""

import pytest
import torch

from latentlab.errors import UpsamplingWarning, UsageError
from latentlab.images import box_overlaps, box_resize, resize_note
from latentlab.networks import downscale


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_whole_factors_give_the_bits_of_average_pooling(factor):
    images = torch.randn(2, 3, 12, 12)
    assert torch.equal(box_resize(images, 12 // factor), downscale(images, factor))
    assert torch.equal(box_resize(images, 12 // factor), torch.nn.functional.avg_pool2d(images, factor))


def test_equal_sizes_and_labellers_of_any_size_leave_images_alone():
    images = torch.randn(2, 3, 12, 12)
    assert box_resize(images, 12) is images
    assert box_resize(images, None) is images


@pytest.mark.parametrize(("size", "resolution"), [(3, 2), (12, 8), (12, 7), (100, 99), (299, 32)])
def test_boxes_share_pixels_by_area(size, resolution):
    overlaps = box_overlaps(size, resolution)
    assert overlaps.shape == (resolution, size)
    assert torch.allclose(overlaps.sum(dim=1), torch.ones(resolution, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(overlaps.sum(dim=0), torch.full((size,), resolution / size, dtype=torch.float64))
    assert torch.allclose(overlaps, overlaps.flip(0, 1), atol=1e-12)
    images = torch.randn(2, 3, size, size)
    small = box_resize(images, resolution)
    assert small.shape == (2, 3, resolution, resolution)
    assert torch.allclose(small.mean(dim=(2, 3)), images.mean(dim=(2, 3)), atol=1e-5)


def test_three_pixels_onto_two():
    image = torch.tensor([[0.0, 3.0, 6.0], [9.0, 12.0, 15.0], [18.0, 21.0, 24.0]])[None, None]
    # a box holds one whole pixel and half of the next in each direction
    first = (0 + 0.5 * 3 + 0.5 * 9 + 0.25 * 12) / 2.25
    assert torch.allclose(box_resize(image, 2)[0, 0, 0, 0], torch.tensor(first))
    assert torch.allclose(box_resize(image, 2).mean(), image.mean())


@pytest.mark.parametrize("resolution", [16, 13])
def test_other_factors_are_means_over_pixels_cut_finely_enough(resolution):
    images = torch.rand(1, 2, 20, 20)
    cut = images.repeat_interleave(resolution, 2).repeat_interleave(resolution, 3)
    assert torch.allclose(box_resize(images, resolution), torch.nn.functional.avg_pool2d(cut, 20), atol=1e-6)


def test_enlarging_is_bilinear_between_centres_and_warns():
    image = torch.tensor([[0.0, 4.0]]).expand(2, 2)[None, None]
    with pytest.warns(UpsamplingWarning, match="2x2 pixels are enlarged to 4x4.*less sure"):
        large = box_resize(image, 4)
    assert torch.allclose(large[0, 0], torch.tensor([0.0, 1.0, 3.0, 4.0]).expand(4, 4))


def test_the_type_is_kept():
    assert box_resize(torch.zeros(1, 1, 6, 6, dtype=torch.float64), 4).dtype == torch.float64
    assert box_resize(torch.zeros(1, 1, 6, 6, dtype=torch.bfloat16), 4).dtype == torch.bfloat16


def test_oblong_images_are_refused():
    with pytest.raises(UsageError, match="images of 6x4 pixels: only square"):
        box_resize(torch.zeros(1, 3, 4, 6), 2)


def test_notes_for_provenance():
    assert resize_note(32, 32) == resize_note(32, None) == "none"
    assert resize_note(64, 32) == "box 64 -> 32"
    assert resize_note(100, 32) == "box 100 -> 32"
    assert resize_note(32, 256) == "bilinear 32 -> 256, upsampled"
