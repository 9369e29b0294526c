"""Files of runs, and what can become of them."""

import copy
import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

REPORT = {
    "figures": {"psnr_db": 30.0, "psnr_text": "30.00", "ssim": 0.9, "training_seconds": 10.0, "fps": 50.0, "model_bytes": 2 << 20,
                "points": 1000, "hull_iou": None},
    "run": {"interrupted": False}, "protocol": {"name": "paper"}}

often = settings(max_examples=int(os.environ.get("RADIANCE_EXAMPLES", "500")), deadline=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
    | st.sampled_from([10**400, -(10**20), 1e308, "inf", "\ud800", "a|b\n$x$"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5)


def leave_report(folder, **figures):
    """A whole report in the folder, with these figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(REPORT | {"figures": REPORT["figures"] | figures}))


@st.composite
def damaged_json(draw, whole):
    """The bytes of a JSON file after one or two mishaps: a value changed or lost, the end cut off, bytes overwritten; or any
    bytes at all."""
    content = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, 2))):
        _change(draw, content)
    text = json.dumps(content).encode()
    mishap = draw(st.sampled_from(["none", "cut", "overwritten", "marked", "other"]))
    if mishap == "cut":
        return text[:draw(st.integers(0, len(text)))]
    if mishap == "overwritten":
        place = draw(st.integers(0, len(text)))
        return text[:place] + draw(st.binary(max_size=5)) + text[place + draw(st.integers(0, 5)):]
    if mishap == "marked":
        return b"\xef\xbb\xbf" + text
    return draw(st.binary(max_size=50)) if mishap == "other" else text


def _change(draw, content):
    """Change or drop a value somewhere below `content`."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(content[key], (dict, list)) and draw(st.booleans()):
            content = content[key]
            continue
        if draw(st.booleans()):
            content[key] = draw(values)
        else:
            del content[key]
        return
