"""Which frames show one scene, and how far the camera has turned."""

import pytest
from drawn_photos import draw_photo
from made_clips import KINDS, SIZE, draw_background, draw_cutout, make_clip
from PIL import Image

from loading.videos.scenes import MOST_SCENES, SceneFinder

PEOPLE = [draw_cutout(seed) for seed in range(3)]
PLACES = [draw_background(seed) for seed in (10, 11)]


@pytest.mark.parametrize("kind", KINDS)
def test_scene_finder_cuts_where_the_clip_is_cut(kind):
    clip, finder = make_clip(kind, PEOPLE, PLACES, fakes=PEOPLE), SceneFinder()
    sights = [finder.follow(frame.picture) for frame in clip.frames]
    scenes = [sight.scene for sight in sights]
    if kind in ("flash", "covered"):  # which may be other scenes in between
        assert scenes[0] == scenes[-1]
        return
    times = [f.seconds for f, s in zip(clip.frames, sights, strict=True) if s.is_cut]
    assert times == clip.cut_times
    assert len(set(scenes)) == 1 + bool(clip.cut_times)  # cut and back is two scenes
    if kind == "fast pan":  # to the right, so what is seen moves to the left
        moved = [sight.shift[0] for sight in sights]
        expected = [-0.2 * frame.seconds for frame in clip.frames]
        assert moved == pytest.approx(expected, abs=0.05)


def test_scene_finder_forgets_scenes_and_bears_empty_pictures():
    finder = SceneFinder()
    pictures = [draw_photo(seed).resize(SIZE) for seed in range(MOST_SCENES + 1)]
    numbers = [finder.follow(p).scene for p in (*pictures, pictures[1], pictures[0])]
    assert numbers == [*range(1, MOST_SCENES + 2), 2, MOST_SCENES + 2]
    finder = SceneFinder()
    blanks = [
        Image.new("L", size, 90).convert(mode)
        for size, mode in (((5, 3), "L"), ((500, 900), "RGB"), ((1, 1), "L"))
    ]
    assert [finder.follow(blank).scene for blank in blanks] == [1, 1, 1]
