"""Damaged copies of sound files for property tests: what disks, downloads, editors and other programs make of them."""

import os
import re

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from settings.errors import InputError

EXAMPLES = int(os.environ.get("RADIANCE_EXAMPLES", "500"))
many = settings(max_examples=EXAMPLES, deadline=None, derandomize="RADIANCE_EXAMPLES" not in os.environ, database=None,
                suppress_health_check=list(HealthCheck))
VALUES = ("NaN", "Infinity", "-Infinity", "1e999", "-1e308", "1e300", "1e39", "1e-320", "0", "-1", "true", "null", '"x"', "[]",
          "{}", "9" * 5000, "1" + "0" * 400, str(2**63), str(2**31), '"\\ud800"', '"a\\u0000b"', '"a\\nb"', '"' + "x" * 300 + '"',
          "[" * 200_000, "4300", "0.5")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(r'"[^"]*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?')


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """The bytes cut off, with bits flipped, with a piece of them put or repeated elsewhere, or with numbers replaced."""
    kind = draw(st.sampled_from(["cut", "flip", "splice", "extreme"]))
    place = st.integers(0, max(len(whole) - 1, 0))
    if kind == "cut":
        return whole[: draw(place)]
    found = bytearray(whole)
    if kind == "flip":
        for _ in range(draw(st.integers(1, 8))):
            found[draw(place)] ^= draw(st.integers(1, 255))
    elif kind == "splice":
        start, end = sorted((draw(place), draw(place)))
        to = draw(place)
        found[to : to + draw(st.sampled_from([0, end - start]))] = whole[start:end]
    else:
        at, width = draw(place), draw(st.sampled_from([1, 2, 4, 8]))
        found[at : at + width] = draw(st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f",
                                                      (10**18).to_bytes(8, "little")]))[:width]
    return bytes(found)


@st.composite
def damaged_text(draw, whole: str) -> bytes:
    """Damaged bytes of a text, or the text with one of its words or numbers replaced."""
    if draw(st.booleans()):
        return draw(damaged(whole.encode()))
    words = list((_WORD if draw(st.booleans()) else _NUMBER).finditer(whole))
    word = words[draw(st.integers(0, len(words) - 1))]
    return (whole[: word.start()] + draw(st.sampled_from(VALUES)) + whole[word.end() :]).encode()


def sound_or_told(read):
    """What `read()` gives, or None for an InputError in one line; anything else that it raises fails the test."""
    try:
        return read()
    except InputError as problem:
        said = str(problem)
        assert said.strip() and said.isprintable() and len(said) < 3000, said
        return None


def check_scene(scene) -> None:
    """All numbers of a loaded scene are finite, and its pictures are where its cameras say."""
    assert scene.bounds.isfinite().all() and (scene.bounds[0] < scene.bounds[1]).all()
    assert 0 < scene.near < scene.far < float("inf")
    for split in (scene.train, scene.val, scene.test):
        assert split.cameras.intrinsics.isfinite().all() and split.cameras.camera_to_world.isfinite().all()
        assert len(split.images) == len(split.names) == len(split.cameras.intrinsics)
        for view in range(len(split)):
            assert split.images[view].shape == (*split.cameras.size(view)[::-1], 3)
