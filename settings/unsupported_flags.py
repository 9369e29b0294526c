"""Flags of the programs that users come from that mean nothing here, and why: refused, never swallowed."""

_REPORT = "progress is shown all the time, and pictures and video come at the end of each run"
_UNUSED = "the original program never used it"

_SCHEDULE = "each --field has its own course of the learning rate from --lrate on; --field mlp: see --lrate_decay"

LETTERS = {"-b": "debug", "-v": "visualize"}  # one-letter spellings of refused flags
REFUSED = {
    "shape": "it belongs to the DeepVoxels data sets, which are not read here",
    "i_print": _REPORT,
    "i_img": _UNUSED,
    "savemodel": _UNUSED + "; checkpoints are always saved in --basedir",
    "memitem": "it was the original program's inner channel and never a setting",
    "step": _UNUSED,
    "grey": _UNUSED,
    "max_save": "one checkpoint is kept, which is always the last one, and the finished model beside it",
    "eval_time": _REPORT,
    "output_time": "--i_testset N makes pictures every N steps, and --i_video N videos",
    "name": "a run's files are in a folder of its own: name it by --expname or --basedir",
    "scene_scale": "scenes may be of any size: the box of a field is found from the cameras and the pictures",
    "pe_period_scale": _UNUSED + "; --multires says how many octaves positions are encoded in",
    "bottle_neck_noise": "--ref_nerf adds no noise: a reflection is told its place by 8 numbers alone",
    "min_ratio": _SCHEDULE,
    "decay_rate": _SCHEDULE,
    "decay_step": _SCHEDULE,
    "warmup_step": _SCHEDULE,
    "lr": "give --lrate, which does not grow with the rays of a step; there it was lr times the rays of a step / 512",
    "prop_net_width": "proposals are grids here, not networks; --proposals says how many samples they have",
    "debug": "a loss or a model that is not finite always ends a run with a message",
    "visualize": "--render_normal --prop_normal shows what proposals have learned",
}
