"""Flags of the programs that users come from that mean nothing here, and why: refused, never swallowed."""

_SAMPLES = "samples lie where the field's occupancy grid says, not at a number of places that is set"
_NETWORK = "it shapes nerf-pytorch's network; the field here is a grid of features"
_REPORT = "progress is shown all the time, and pictures and video come at the end of each run"
_UNUSED = "the original program never used it"

REFUSED = {
    "N_samples": _SAMPLES,
    "N_importance": _SAMPLES,
    "perturb": _SAMPLES,
    "raw_noise_std": _SAMPLES,
    "lindisp": _SAMPLES,
    "chunk": _SAMPLES,
    "netchunk": _NETWORK,
    "netdepth": _NETWORK,
    "netwidth": _NETWORK,
    "netdepth_fine": _NETWORK,
    "netwidth_fine": _NETWORK,
    "i_embed": _NETWORK,
    "multires": _NETWORK,
    "multires_views": _NETWORK,
    "use_viewdirs": "colour always depends on the viewing direction, through spherical harmonics",
    "lrate_decay": "the step size of --method nerf falls to 3 % over --N_iters, that of points by --lrexp",
    "render_factor": "use --img_s to render at another size",
    "shape": "it belongs to the DeepVoxels data sets, which this method does not read",
    "i_print": _REPORT,
    "i_img": _REPORT,
    "i_testset": _REPORT,
    "i_video": _REPORT,
    "expname": "a run's folder is named by --basedir alone",
    "savemodel": _UNUSED + "; checkpoints are always saved in --basedir",
    "memitem": "it was the original program's inner channel and never a setting",
    "step": _UNUSED,
    "grey": _UNUSED,
}
