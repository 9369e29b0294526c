"""Flags of the programs that users come from that mean nothing here, and why: refused, never swallowed."""

_RAYS = "it belongs to the volume renderer; this method has no rays"
_NETWORK = "it shapes a neural network; this method has none"
_STEP_SIZE = "the step sizes are --lr1 (colours), --lr2 (positions) and --lrexp (decay per epoch)"
_REPORT = "progress is shown and saved after every epoch, and pictures and video come at the end of each run"
_UNUSED = "the original program never used it"

REFUSED = {
    "N_rand": _RAYS,
    "N_samples": _RAYS,
    "N_importance": _RAYS,
    "perturb": _RAYS,
    "raw_noise_std": _RAYS,
    "lindisp": _RAYS,
    "chunk": _RAYS,
    "netchunk": _NETWORK,
    "netdepth": _NETWORK,
    "netwidth": _NETWORK,
    "netdepth_fine": _NETWORK,
    "netwidth_fine": _NETWORK,
    "i_embed": _NETWORK,
    "multires": _NETWORK,
    "multires_views": _NETWORK,
    "use_viewdirs": "colour always depends on the viewing direction, through spherical harmonics",
    "no_batching": "every step takes one whole view; there are no batches of rays to switch off",
    "precrop_iters": "every step takes one whole view; --img_s sets its size",
    "precrop_frac": "every step takes one whole view; --img_s sets its size",
    "lrate": _STEP_SIZE,
    "lrate_decay": _STEP_SIZE,
    "render_factor": "use --img_s to render at another size",
    "shape": "it belongs to the DeepVoxels data sets, which this method does not read",
    "i_print": _REPORT,
    "i_img": _REPORT,
    "i_weights": _REPORT,
    "i_testset": _REPORT,
    "i_video": _REPORT,
    "expname": "a run's folder is named by --basedir alone",
    "savemodel": _UNUSED + "; checkpoints are always saved in --basedir",
    "memitem": "it was the original program's inner channel and never a setting",
    "step": _UNUSED,
    "grey": _UNUSED,
}
