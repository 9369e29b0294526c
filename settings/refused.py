"""Flags of the programs that users come from that mean nothing here, and why: refused, never swallowed."""

_SAMPLES = "--method nerf samples where its occupancy grid says, not at a number of places, and points have no samples"
_NETWORK = "it shapes nerf-pytorch's network; here are points, or a grid of features"
_REPORT = "progress is shown all the time, and pictures and video come at the end of each run"
_UNUSED = "the original program never used it"

REFUSED = {
    "N_samples": _SAMPLES,
    "N_importance": _SAMPLES,
    "perturb": "training always shifts the samples of a ray at random, and rendering never does",
    "raw_noise_std": "no noise is put on densities",
    "lindisp": _SAMPLES,
    "chunk": "pictures of any size are rendered in bounded memory, so many rays at a time as is fast",
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
