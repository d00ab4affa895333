"""Guards: what is like the calibration images, and what is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from judging.guarding.fitting import MOST_REFUSED, fit_guard, fit_likeness
from judging.guarding.guard import Guard, Unlikeness, describe_unlike
from judging.guarding.traits import GROUPS, measure_traits
from loading.disturbances import AS_IT_IS, Condition, disturb, parse_condition


def draw_faces(num: int, seed: int, condition: Condition = AS_IT_IS) -> np.ndarray:
    """Blurred noise with a fine grain, as alike as photographs of one camera."""
    generator = np.random.default_rng(seed)
    samples = []
    for _ in range(num):
        small = generator.integers(60, 200, (16, 16, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((64, 64), 3), np.float32)
        grain = generator.normal(0, generator.uniform(3, 5), (64, 64, 1))
        pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        image = disturb(Image.fromarray(pixels), *condition, generator)
        samples.append(np.asarray(image.resize((64, 64), 3)))
    return np.stack(samples)


@pytest.fixture(scope="module")
def guard() -> Guard:
    half = parse_condition("downscale=0.5")
    fitted = [measure_traits(draw_faces(60, 1, c)) for c in (AS_IT_IS, half)]
    held = [measure_traits(draw_faces(60, 2, c)) for c in (AS_IT_IS, half)]
    return fit_guard(
        {kind: np.concatenate([f[kind] for f in fitted]) for kind in GROUPS},
        np.repeat([0, 1], 60),
        {kind: np.stack([h[kind] for h in held], axis=1) for kind in GROUPS},
        ("none", str(half)),
        64,
    )


def list_unlike(guard: Guard, samples: np.ndarray) -> np.ndarray:
    rows = guard.compare(measure_traits(samples))
    return np.array([any(c.excess > 1 for c in row.values()) for row in rows])


def test_guard_takes_others_of_the_same_and_names_the_condition_they_are_like(guard):
    for number, name in enumerate(guard.conditions):
        samples = draw_faces(60, 3, parse_condition(name))
        assert list_unlike(guard, samples).mean() < 0.1
        rows = guard.compare(measure_traits(samples))
        assert np.mean([row["detail"].nearest == number for row in rows]) > 0.9
    held = [draw_faces(60, 2, parse_condition(name)) for name in guard.conditions]
    assert list_unlike(guard, np.concatenate(held)).mean() <= MOST_REFUSED


@pytest.mark.parametrize(
    "change", ["jpeg=10", "blur=4", "noise=40", "downscale=0.125", "text", "even"]
)
def test_guard_refuses_what_it_has_not_seen(guard, change):
    if change == "text":
        noise = np.random.default_rng(0).integers(0, 2, (20, 64, 64, 1), np.uint8)
        samples = 255 * noise.repeat(3, axis=3)
    elif change == "even":
        samples = np.full((20, 64, 64, 3), 128, np.uint8)
    else:
        samples = draw_faces(20, 4, parse_condition(change))
    assert list_unlike(guard, samples).mean() > 0.9


@pytest.mark.parametrize("as_kept", [torch.from_numpy, np.ndarray.tolist])
def test_guard_comes_back_from_a_checkpoint_or_json_as_it_was(guard, as_kept):
    kept = guard.to_dict()
    for like in kept["likenesses"].values():
        arrays = {k: v for k, v in like.items() if isinstance(v, np.ndarray)}
        like |= {name: as_kept(array) for name, array in arrays.items()}
    numbers = measure_traits(draw_faces(5, 5))
    assert Guard.from_untrusted(kept).compare(numbers) == guard.compare(numbers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("center", torch.zeros(3)),
        ("weights", torch.full((12, 12), torch.nan)),
        ("means", torch.zeros(1, 12)),
        ("scales", [1.0]),
        ("scales", [[1.0], [1.0, 2.0]]),
        ("scales", ["1.0"] * 12),
        ("scales", [1e300] * 12),
        ("limit", -1.0),
        ("limit", [1.0, 1.0, -1.0]),
        ("limit", [1.0]),
    ],
)
def test_guard_from_untrusted_refuses_damage(guard, name, value):
    content = guard.to_dict()
    content["likenesses"]["detail"][name] = value
    with pytest.raises(ValueError, match="guard"):
        Guard.from_untrusted(content)
    with pytest.raises(ValueError, match="damaged"):
        Guard.from_untrusted({"conditions": ["none"]})


def test_fit_likeness_lets_at_most_its_share_of_the_held_images_count_as_unlike():
    generator = np.random.default_rng(0)
    fitted, held = (
        generator.normal(size=(400, 200)),
        generator.normal(size=(300, 1, 200)),
    )
    conditions = np.zeros(400, dtype=int)
    for share in (0, 0.02, 0.1):
        like = fit_likeness(fitted, conditions, held, share)
        distances = like.compute_distances(held[:, 0]).min(axis=1)
        assert (distances > like.limit * (1 + 1e-6)).sum() == int(share * 300)
    # What lies outside of the principal components counts, too.
    directions = like.weights.astype(float)
    strange = np.linalg.svd(directions)[0][:, -1] * 30 + held[:5, 0]
    whole = replace(like, outside=np.zeros(2)).compute_distances(strange)
    assert (like.compute_distances(strange) > 2 * whole).all()
    assert like.compute_distances(like.center[None]) < like.limit  # nothing outside


def test_fit_likeness_what_is_near_one_condition_is_not_measured_by_another():
    generator = np.random.default_rng(0)
    spread = np.array([1.0, 9.0])[:, None]  # of images under each of two conditions
    held = generator.normal(size=(300, 2, 3)) * spread + [[[0.0], [99.0]]]
    fitted, conditions = held[:200].reshape(-1, 3), np.tile([0, 1], 200)
    like = fit_likeness(fitted, conditions, held[200:], 0.02)
    assert like.limit[1] > 9 * like.limit[0]
    strange = [[6.0, -6.0, 6.0], [105.0, 93.0, 105.0]]
    excess = [comparison.excess for comparison in like.compare(np.array(strange))]
    assert excess[0] > 1 > excess[1]
    # Of 100 images the largest would refuse more than one in 200: all are asked.
    first, second = fit_likeness(fitted, conditions, held[200:], 0.005).limit
    assert first == second


def test_guard_of_an_older_version_has_one_limit_for_all_and_less_detail(guard):
    kept = guard.to_dict()
    for like in kept["likenesses"].values():
        like["limit"] = 5.0
    detail = kept["likenesses"]["detail"]
    detail |= {name: detail[name][:8] for name in ("center", "scales")}
    detail |= {"weights": np.eye(8, dtype=np.float32), "means": detail["means"][:, :8]}
    read = Guard.from_untrusted(kept)
    assert read.likenesses["detail"].limit.tolist() == [5.0] * len(guard.conditions)
    numbers = measure_traits(draw_faces(3, 1))
    less = numbers | {"detail": numbers["detail"][:, :8]}
    assert read.compare(numbers) == read.compare(less)
    kept["likenesses"]["colour"] = detail
    with pytest.raises(ValueError, match="its colour has another size"):
        Guard.from_untrusted(kept)


def test_fit_guard_of_few_images_is_none():
    few = {"detail": np.zeros((10, 12))}
    held = {"detail": np.zeros((30, 1, 12))}
    assert fit_guard(few, np.zeros(10, dtype=int), held, ["none"], 1) is None


def test_describe_unlike_says_what_there_is_more_or_less_of(guard):
    blurred = draw_faces(1, 6, parse_condition("blur=1"))
    (row,) = guard.compare(measure_traits(blurred))
    said = describe_unlike("detail", row["detail"])
    assert said == "it has less fine detail than they have"
    assert "any face" in describe_unlike("features", row["detail"])
    drawn = describe_unlike("detail", Unlikeness(2.0, 0, 8, True))
    assert drawn == "it has fewer soft transitions (as in drawings) than they have"
    grey = describe_unlike("colour", Unlikeness(2.0, 0, 0, False))
    assert grey == "it has weaker contrasts of colour than they have"


def test_traits_go_the_way_that_their_names_say():
    plain, drawn = draw_faces(8, 8), np.full((8, 64, 64, 3), 128, np.uint8)
    drawn[:, 20:44, 10:40] = 250
    grey = np.repeat(plain.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3)
    for changed, kind, traits, is_high in (
        (plain // 2, "detail", range(6), False),
        (drawn, "detail", range(8, 12), True),  # few strong edges
        (grey, "colour", range(6), False),
    ):
        rows = (measure_traits(samples)[kind] for samples in (plain, changed))
        before, after = (row.mean(axis=0) for row in rows)
        assert [after[n] > before[n] for n in traits] == [is_high] * len(traits)


def test_measure_traits_does_not_depend_on_the_batch_and_sees_a_grid():
    samples = draw_faces(4, 7)
    whole = measure_traits(samples)
    alone = measure_traits(samples[2:3])
    assert all(np.array_equal(whole[kind][2:3], alone[kind]) for kind in GROUPS)
    blocks = (np.arange(64) // 8 % 2 * 200).astype(np.uint8)
    grid = (blocks[:, None] ^ blocks)[None, :, :, None].repeat(3, axis=3)
    assert (measure_traits(grid)["detail"][0, 6:8] > whole["detail"][:, 6:8] + 1).all()


def test_measure_traits_tells_drawings_from_noise_by_their_edges():
    shapes = np.full((64, 64, 3), 90, np.uint8)
    shapes[10:44, 20:52], shapes[24:36, 30:40] = 200, 40
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    samples = np.stack([shapes, draw_faces(1, 8)[0], noise])
    drawn, photograph, noisy = measure_traits(samples)["detail"][:, 8:]
    assert (drawn > photograph + 0.1).all()
    assert (noisy < photograph + 0.1).all()
    tiny = measure_traits(noise[None, :5, :5])["detail"][0, 8:]
    assert np.isfinite(tiny).all()
    assert not tiny.any()  # of one pixel there are no steps
