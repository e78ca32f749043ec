"""STTN: what it promises whatever its weights are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vinpaint.errors import UserError
from vinpaint.models.sttn import STTN, patch_grids
from vinpaint.models.sttn_attention import attend, cut_tokens, hole_tokens, join_tokens
from vinpaint.ops.region import Region

PAPER_PATCHES = ((60, 108), (20, 36), (10, 18), (5, 9))


def tiny(**options: object) -> STTN:
    torch.manual_seed(1)
    arguments: dict[str, object] = {"channels": 16, "num_blocks": 2, "init_gain": 1.0, **options}
    return STTN(**arguments).eval()  # type: ignore[arg-type]


def clip(batch: int = 1, num_frames: int = 3, height: int = 48, width: int = 48) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    frames = torch.rand(batch, num_frames, 3, height, width, generator=generator)
    masks = torch.zeros(batch, num_frames, 1, height, width)
    for time in range(num_frames):
        masks[:, time, :, 4 : 4 + height // 2, 2 * time : 2 * time + width // 2] = 1
    return frames, masks


# ---------------------------------------------------------------- size


def test_parameter_counts_are_the_published_codes() -> None:
    model = STTN()
    count = sum(value.numel() for value in model.parameters())
    block = sum(value.numel() for value in model.transformer[0].parameters())
    assert (count, len(model.state_dict()), block) == (16_556_163, 112, 1_967_616)
    assert count - 2 * block == 12_620_931  # six blocks: what the paper calls 12.6 M


def test_initial_weights_have_the_published_spread_and_zero_bias() -> None:
    weight = STTN().transformer[0].feed_forward.conv[0].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert all(not value.any() for key, value in STTN(num_blocks=1).named_parameters() if key.endswith("bias"))


def test_init_gain_keeps_unit_variance_per_layer() -> None:
    weight = STTN(init_gain=1.0, num_blocks=1).transformer[0].feed_forward.conv[0].weight
    assert weight.std().item() == pytest.approx((256 * 9) ** -0.5, rel=0.02)


def test_paper_patches_are_cut_without_extension_at_432x240() -> None:
    model = STTN(num_blocks=1)
    assert [(60 // rows, 108 // columns) for rows, columns in model.grids] == list(PAPER_PATCHES)
    assert 240 % model.multiple[0] == 0
    assert 432 % model.multiple[1] == 0


def test_patches_of_another_aspect_are_accepted() -> None:
    assert patch_grids([(15, 80), (6, 32), (5, 10), (3, 5)], (120, 640)) == [(2, 2), (5, 5), (6, 16), (10, 32)]


@pytest.mark.parametrize(("height", "width", "num_frames"), [(239, 431, 1), (64, 64, 2), (48, 48, 1), (5, 7, 2)])
def test_any_frame_size_comes_back_as_it_went_in(height: int, width: int, num_frames: int) -> None:
    frames, masks = clip(num_frames=num_frames, height=height, width=width)
    with torch.no_grad():
        completed = tiny(num_blocks=1)(frames, masks)
    assert completed.shape == frames.shape
    assert completed.dtype == torch.float32
    assert completed.min() >= 0
    assert completed.max() <= 1
    assert completed.std() > 1e-3


def test_odd_frames_are_extended_by_their_edge() -> None:
    frames, masks = clip(height=45, width=47)
    visible = torch.where(masks > 0.5, 0.5, frames)
    extended = [F.pad(images.flatten(0, 1), (0, 1, 0, 3), mode="replicate")[None] for images in (visible, masks)]
    model = tiny()
    with torch.no_grad():
        torch.testing.assert_close(model(frames, masks), model(*extended)[..., :45, :47])


# ---------------------------------------------------------------- holes


def test_hole_content_is_irrelevant() -> None:
    frames, masks = clip(batch=2)
    other = torch.where(masks > 0.5, torch.rand_like(frames), frames)
    nothing = torch.where(masks > 0.5, torch.nan, frames)
    model = tiny()
    with torch.no_grad():
        expected = model(frames, masks)
        assert torch.equal(model(other, masks), expected)
        assert torch.equal(model(nothing, masks), expected)


def test_nothing_is_borrowed_from_the_hole_in_keys_mode_only() -> None:
    frames, masks = clip()
    cells = masks[..., ::4, ::4]
    model = tiny()
    for head, grid in enumerate(model.grids):
        hidden = hole_tokens(cells, grid=grid)
        assert bool(hidden.any()) == (head > 0), "the example should hide patches of all heads but the coarsest"
        model.attn_mask = "keys"
        with torch.no_grad():
            masked = model.attention_maps(frames, masks)[head].flatten(4).flatten(1, 3)
        assert (masked[0][:, hidden[0]] == 0).all()
        torch.testing.assert_close(masked.sum(-1), torch.ones_like(masked[..., 0]))
        model.attn_mask = "none"
        with torch.no_grad():
            unmasked = model.attention_maps(frames, masks)[head].flatten(4).flatten(1, 3)
        assert (unmasked > 0).all()


def test_a_patch_is_hole_when_more_than_half_of_it_is() -> None:
    cells = torch.zeros(1, 1, 1, 2, 4)
    cells[..., 0, 0] = cells[..., 1, 0] = 1  # left patch: exactly half
    assert hole_tokens(cells, grid=(1, 2)).tolist() == [[False, False]]
    cells[..., 0, 1] = 1  # three quarters
    assert hole_tokens(cells, grid=(1, 2)).tolist() == [[True, False]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_is_finite_in_half_precision_when_every_key_is_masked(dtype: torch.dtype) -> None:
    everything = torch.ones(2, 2, 1, 6, 6)
    everything[1, 1, :, :, 3:] = 0
    hidden = hole_tokens(everything, grid=(2, 2))
    assert hidden.tolist() == [[True] * 8, [True] * 5 + [False, True, False]]
    tokens = 30 * torch.randn(2, 8, 12, dtype=dtype)
    record: list[Tensor] = []
    out = attend(tokens, tokens, tokens, hidden=hidden, record=record)
    assert out.isfinite().all()
    assert torch.equal(record[0][0], torch.full((8, 8), 1 / 8, dtype=dtype))
    assert not record[0][1][:, hidden[1]].any()


def test_bfloat16_network_is_finite_and_near_when_everything_is_hole() -> None:
    frames, masks = clip()
    model = tiny()
    with torch.no_grad():
        whole = model(frames, torch.ones_like(masks))
        expected = model(frames, masks)
        model.bfloat16()
        assert model(frames, torch.ones_like(masks)).isfinite().all()
        completed = model(frames, masks)
    assert whole.isfinite().all()
    assert completed.dtype == torch.float32
    assert (completed - expected).abs().mean() < 5e-3


# ---------------------------------------------------------------- the same values by another way


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    frames, masks = clip(batch=2)
    masks[1] = masks[1].flip(-1)
    model = tiny()
    with torch.no_grad():
        together = model(frames, masks)
        apart = torch.cat([model(frames[:1], masks[:1]), model(frames[1:], masks[1:])])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_order_of_frames_does_not_matter() -> None:
    frames, masks = clip(num_frames=4)
    order = torch.tensor([2, 0, 3, 1])
    model = tiny()
    with torch.no_grad():
        torch.testing.assert_close(
            model(frames[:, order], masks[:, order]), model(frames, masks)[:, order], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("patch_frames", [1, 3])
def test_wanted_frames_alone_equal_the_full_computation(patch_frames: int) -> None:
    frames, masks = clip(batch=2, num_frames=5)
    model = tiny(patch_frames=patch_frames)
    with torch.no_grad():
        features = model.encode(frames, masks)
        full = model.transform(features, masks)
        few = model.transform(features, masks, num_queries=2)
    assert few.shape[1] == 2
    torch.testing.assert_close(few, full[:, :2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("query_chunk", [1, 7, 1000])
def test_chunked_queries_equal_unchunked(query_chunk: int) -> None:
    frames, masks = clip(batch=2)
    with torch.no_grad():
        expected = tiny()(frames, masks)
        torch.testing.assert_close(tiny(query_chunk=query_chunk)(frames, masks), expected, atol=1e-5, rtol=0)


def test_queries_that_do_not_fit_are_attended_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = torch.randn(3, 2, 12, 6)
    expected = attend(query, key, value)
    bmm, rows = torch.bmm, []

    def short(weights: Tensor, values: Tensor) -> Tensor:
        if weights.shape[1] > 4:
            raise torch.OutOfMemoryError
        rows.append(weights.shape[1])
        return bmm(weights, values)

    monkeypatch.setattr(torch, "bmm", short)
    with pytest.warns(UserWarning, match="queries attended 3 at a time"):
        found = attend(query, key, value)
    assert rows == [3, 3, 3, 3]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("patch_frames", [1, 2])
@pytest.mark.parametrize("region", [(0, 48, 0, 96), (0, 1, 0, 1), (47, 48, 95, 96), (13, 22, 40, 77), (0, 30, 50, 96)])
def test_a_region_is_what_the_whole_frame_holds_there(region: tuple[int, ...], patch_frames: int) -> None:
    wanted = Region(*region)
    frames, masks = clip(batch=2, height=48, width=96)
    model = tiny(patch_frames=patch_frames)
    with torch.no_grad():
        features = model.encode(frames, masks)
        whole = model.decode(model.transform(features, masks, num_queries=2))
        cut = model.transform_region(features, masks, region=wanted, num_queries=2)
        found = model.decode_region(cut, region=wanted, size=(48, 96))
    torch.testing.assert_close(found, wanted.of(whole), atol=2e-6, rtol=0)


def test_a_small_region_costs_little() -> None:
    frames, masks = clip(height=96, width=192)
    model = tiny(num_blocks=1)
    with torch.no_grad():
        features = model.encode(frames, masks)
        with FlopCounterMode(display=False) as whole:
            model.decode(model.transform(features, masks))
        with FlopCounterMode(display=False) as part:
            region = Region(40, 60, 90, 130)
            cut = model.transform_region(features, masks, region=region)
            model.decode_region(cut, region=region, size=(96, 192))
    assert part.get_total_flops() < 0.3 * whole.get_total_flops()


def test_forward_is_encode_transform_decode() -> None:
    frames, masks = clip(height=40, width=44)
    model = tiny()
    with torch.no_grad():
        staged = model.decode(model.transform(model.encode(frames, masks), masks), size=(40, 44))
        assert torch.equal(staged, model(frames, masks))


def test_training_and_inference_compute_the_same() -> None:
    frames, masks = clip()
    model = tiny()
    with torch.no_grad():
        silent = model(frames, masks)
    loud = model(frames, masks)
    torch.testing.assert_close(loud, silent, atol=1e-6, rtol=0)


def test_gradients_reach_every_parameter_that_can_have_one() -> None:
    frames, masks = clip()
    model = tiny().double()
    model(frames.double(), masks).square().mean().backward()
    # a softmax does not see a constant added to all keys, so the key bias has no gradient in exact arithmetic
    silent = [key for key, value in model.named_parameters() if value.grad is None or value.grad.abs().max() < 1e-12]
    assert all("key_embedding.bias" in key for key in silent), silent


def test_gradient_of_attention_is_the_numerical_one() -> None:
    tokens = [torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    hidden = torch.tensor([[False, True, False, False]])
    assert torch.autograd.gradcheck(lambda q, k, v: attend(q, k, v, hidden=hidden, query_chunk=3), tokens)


# ---------------------------------------------------------------- tokens


def test_tokens_are_ordered_by_time_row_column() -> None:
    maps = torch.arange(2 * 2 * 4).reshape(1, 2, 2, 4, 1)  # two frames of 2x4 cells
    tokens = cut_tokens(maps, grid=(2, 2))
    assert tokens[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13], [14, 15]]
    assert cut_tokens(maps, grid=(1, 2))[0, :2].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_three_d_patches_span_frames() -> None:
    maps = torch.arange(2 * 2 * 4).reshape(1, 2, 2, 4, 1)
    assert cut_tokens(maps, grid=(2, 2), patch_frames=2)[0].tolist() == [
        [0, 1, 8, 9],
        [2, 3, 10, 11],
        [4, 5, 12, 13],
        [6, 7, 14, 15],
    ]


@pytest.mark.parametrize("patch_frames", [1, 2, 4])
def test_joining_undoes_cutting(patch_frames: int) -> None:
    maps = torch.randn(2, 4, 6, 8, 5)
    tokens = cut_tokens(maps, grid=(3, 2), patch_frames=patch_frames)
    assert tokens.shape == (2, 4 // patch_frames * 6, patch_frames * 8 * 5)
    assert torch.equal(join_tokens(tokens, grid=(3, 2), size=(6, 8), patch_frames=patch_frames), maps)


def test_long_tokens_are_multiplied_as_exactly_as_short_ones() -> None:
    query, key = 1 + torch.randn(2, 3, 5, 90_000)  # a mean of 1 makes sums that float32 rounds
    value = torch.eye(5).expand(3, 5, 5)
    exact = attend(query.double(), key.double(), value.double())
    assert (attend(query, key, value) - exact).abs().max() < 1e-4


def test_three_d_patches_accept_any_number_of_frames() -> None:
    frames, masks = clip(num_frames=4)
    model = tiny(patch_frames=3)
    with torch.no_grad():
        assert model(frames, masks).shape == frames.shape
        maps = model.attention_maps(frames, masks)
    assert [tuple(weights.shape) for weights in maps] == [(1, 2, n, n, 2, n, n) for n in (1, 3, 6, 12)]


def test_attention_maps_of_any_block_are_distributions() -> None:
    frames, masks = clip()
    model = tiny()
    with torch.no_grad():
        first, last = model.attention_maps(frames, masks, block=0), model.attention_maps(frames, masks)
    for weights in (*first, *last):
        torch.testing.assert_close(weights.sum((-3, -2, -1)), torch.ones(weights.shape[:4]))
    assert not torch.allclose(first[3], last[3])
    with pytest.raises(IndexError):
        model.attention_maps(frames, masks, block=2)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_sizes": [(7, 9)]}, "7x9 .* must divide the 60x108 features"),
        ({"channels": 30}, "channels=30: must divide by 4"),
        ({"channels": 20, "patch_sizes": [(5, 9)] * 3}, "the 3 heads"),
        ({"attn_mask": "queries"}, "attn_mask='queries': expected keys or none"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(**options)


def test_wrong_shapes_are_named() -> None:
    frames, masks = clip()
    with pytest.raises(ValueError, match=r"frames \(1, 3, 3, 48, 48\) and masks \(1, 2, 1, 48, 48\)"):
        tiny()(frames, masks[:, :2])
