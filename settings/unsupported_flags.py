"""Flags of the programs that users come from that mean nothing here, and why: refused, never swallowed."""

_REPORT = "progress is shown all the time, and pictures and video come at the end of each run"
_UNUSED = "the original program never used it"

REFUSED = {
    "shape": "it belongs to the DeepVoxels data sets, which are not read here",
    "i_print": _REPORT,
    "i_img": _UNUSED,
    "savemodel": _UNUSED + "; checkpoints are always saved in --basedir",
    "memitem": "it was the original program's inner channel and never a setting",
    "step": _UNUSED,
    "grey": _UNUSED,
}
