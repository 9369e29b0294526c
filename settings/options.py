"""Every setting of a run, stated once: name, default, unit, meaning, range and source.

The command line, the config files, the validation and the config written into a run folder are all generated
from the fields below; nothing else in the program states a flag.
"""

import math
import sys
from dataclasses import dataclass, fields, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import get_args

from settings.masks import KINDS

CODE = "the original point-radiance program"
FORK = "its fork for imperfect masks"
PAPER = "Zhang et al. 2022 (point radiance), and its program"
NERF = "nerf-pytorch"
RVS = "Morozov et al. 2023 (reparameterized volume sampling), and its program"
GROUPS = {
    "scene": "which photographs, at which size",
    "method": "what learns the scene, and how the result is judged",
    "masks": "what carves the cloud's start: damage on purpose, masks from files, trust",
    "points": "the cloud and its splats; where left out, recipe paper takes the value shown, "
    "recipe default chooses",
    "optimisation": "step sizes and length of --method points; where left out, recipe paper takes the value shown, "
    "recipe default chooses; the seed is every method's",
    "rays": "--method nerf: batches of rays, and how long they are learned from",
    "network": "--field mlp: the original NeRF's networks and their samples; giving one of these flags chooses that field",
    "run": "where results go, and what to do with a run that is already there",
    "machine": "where the work is done",
}


def _setting(group, default, help_text, **story):
    """A field with its whole story, kept as metadata.

    unit, source: text; choices: the words allowed; low <= number <= high, number > above; form: the value's
    placeholder in the help; absent: what happens where a value that may be None is not given; paper: the
    paper recipe's value of a setting that the user may leave to the recipe; short: a second, one-letter flag.
    """
    blank = {"unit": "", "source": "", "choices": (), "low": None, "above": None, "high": None, "form": "",
             "absent": "", "paper": None, "short": ""}
    return dataclass_field(default=default, metadata=blank | {"group": group, "help": help_text} | story)


@dataclass(frozen=True)
class Options:
    """What a run is asked to do. None means: not given by the user, the recipe or the protocol decides."""

    datadir: str | None = _setting(
        "scene", None, "the scene's folder, or the folder above it together with --dataname", source=CODE,
        form="FOLDER", absent="$RADIANCE_DATA/nerf_synthetic, ./data/nerf_synthetic, ./nerf_synthetic, and the same with "
        "nerf_llff_data")
    dataname: str | None = _setting(
        "scene", None, "the scene's name; `demo` is the built-in scene, made on first use in --datadir or "
        "./data", source=CODE,
        form="NAME", absent="the name of the --datadir folder")
    dataset_type: str | None = _setting(
        "scene", None, "the files' format: NeRF-synthetic (blender), photographs with poses_bounds.npy (llff), transforms.json "
        "of nerfstudio or instant-ngp (nerfstudio), a COLMAP sparse model (colmap), or the built-in scene (demo)",
        source=CODE, choices=("blender", "demo", "llff", "nerfstudio", "colmap"), absent="told from the files")
    img_s: int | None = _setting(
        "scene", None, "image width to work at, that of the widest; 0 = as stored; pictures keep their proportions", source=CODE,
        unit="px", low=0, absent="400 or the stored width if that is less; 0 under protocol standard; see --factor")
    half_res: bool = _setting("scene", False, "work at half of the stored image size", source=CODE)
    factor: int = _setting(
        "scene", 8, "llff, nerfstudio, colmap: work at 1/N of the photographs' sizes (from images_N where that folder is there) "
        "unless --img_s or --half_res says otherwise", source=NERF, low=1, high=64)
    llffhold: int = _setting(
        "scene", 8, "llff, nerfstudio, colmap: every N-th view, from the first, is kept for testing; a nerfstudio file that "
        "names its test views wins", source=NERF, low=2)
    no_ndc: bool = _setting(
        "scene", False, "llff: march through world space instead of normalised device coordinates", source=NERF)
    spherify: bool = _setting(
        "scene", False, "llff: photographs taken around an object, not from one side of the scene", source=NERF)
    testskip: int = _setting("scene", 1, "use every n-th validation and test view", source=NERF, low=1)
    orientation: str | None = _setting(
        "scene", None, "read pictures with an EXIF orientation as they are stored, as COLMAP does, or turned upright, as OpenCV "
        "and programs that export pictures do; their cameras must be for the same", choices=("stored", "upright"),
        absent="what fits the cameras' width and height; stored where both fit")
    white_bkgd: bool = _setting(
        "scene", False, "composite on white in training and evaluation (protocol standard always does)",
        source=CODE)

    method: str = _setting(
        "method", "points", "what represents the scene: a cloud of splatted points, or a radiance field along rays (nerf)",
        choices=("points", "nerf"), absent="points; nerf where one of its flags is given")
    field: str = _setting(
        "method", "grid", "what --method nerf learns: feature grids with a small network, marched through occupied cells, in "
        "minutes on a CPU (grid), voxels for density and a network for radiance, called a few times a ray (voxels), or the "
        "original's networks of 8 x 256 units, in days on a CPU and hours on a GPU (mlp)",
        choices=("grid", "voxels", "mlp"), absent="grid; mlp where one of its flags is given")
    recipe: str = _setting(
        "method", "default", "the steps of training: the published program's (paper), or this program's own",
        choices=("paper", "default"))
    protocol: str = _setting(
        "method", "paper", "how a result is judged: validation views 15 to 37 at 400 px on black (paper), or "
        "all test views at their stored size on white (standard)", choices=("paper", "standard"),
        absent="paper for points, standard for nerf")

    maskdir: str | None = _setting(
        "masks", None, "PNG masks of the views, by the names of their pictures (<folder>/<name>.png, <name>.png or "
        "<name>.<ext>.png): for photographs without an alpha channel, or to carve from instead of it", form="FOLDER",
        absent="the alpha channels, or what frames of a transforms.json name as mask_path")
    no_masks: bool = _setting(
        "masks", False, "use no mask and no alpha channel: the default recipe finds the object from the photographs alone; with "
        "--method nerf: use no mask that frames of a transforms.json name as mask_path")
    pc_jitter_amount: float = _setting(
        "masks", 0.0, "damage the masks that carve: each view's is moved, turned, scaled and sheared at random by up to this",
        source=FORK, low=0, high=1)
    mask_corruption: str | None = _setting(
        "masks", None, "damage the masks that carve, one kind after the other: " + ", ".join(KINDS) + " (docs/masks.md says "
        "what the amounts mean)", form="KIND:AMOUNT[,...]", absent="none")
    filter_consistency_ratio: float | None = _setting(
        "masks", None, "keep what more than this share of the views (but one) see as foreground", source=FORK, above=0,
        high=1, paper=1.0)
    posFirst: str = _setting(
        "masks", "NO", "recipe paper: first move the points alone, by silhouettes", source=FORK, choices=("YES", "NO"))
    ridgePosition: float = _setting(
        "masks", 0.0, "weight of the pull to the world's origin in the --posFirst stage", source=FORK, low=0, high=1e6)
    shAlone: str = _setting(
        "masks", "NO", "recipe paper: learn the colours alone before positions join", source=FORK, choices=("YES", "NO"))

    data_r: float | None = _setting(
        "points", None, "share of the visual hull's points to start from", source=CODE, above=0, high=1,
        paper=0.012)
    splatting_r: float | None = _setting(
        "points", None, "radius of a splat on the screen, where the image is 2 wide", source=CODE, unit="NDC",
        above=0, high=1, paper=0.015)
    raster_n: int | None = _setting(
        "points", None, "nearest points blended per pixel, 0 = all", source=CODE, low=0, paper=15)
    refine_n: int | None = _setting(
        "points", None, "rounds of refinement: filter and duplicate, or prune and split (default recipe: at most 4)",
        source=CODE, low=0, high=10, paper=2)
    max_points: int = _setting(
        "points", 0, "never more points than this, 0 = no limit but the recipe's", low=0)
    sh_per: str = _setting(
        "points", "point", "evaluate spherical harmonics once per point, as the paper says, or once per "
        "pixel, as its program does", source=PAPER, choices=("point", "pixel"))
    profile: str = _setting(
        "points", "parabola", "a splat's opacity: 1 - d^2/r^2 as in the published program, or the paper's "
        "Gaussian (eq. 5)", source=PAPER, choices=("parabola", "gaussian"))

    lr1: float | None = _setting(
        "optimisation", None, "step size of colours and spherical harmonics", source=CODE, low=0, high=10,
        paper=22e-3)
    lr2: float | None = _setting(
        "optimisation", None, "step size of positions", source=CODE, unit="world units", low=0, high=10,
        paper=8e-4)
    lrexp: float | None = _setting(
        "optimisation", None, "both step sizes are multiplied by this after every epoch", source=CODE,
        above=0, high=1, paper=0.93)
    lr_s: float | None = _setting(
        "optimisation", None, "weight of the image-gradient loss", source=CODE, low=0, high=1000, paper=0.03)
    epochs: int = _setting(
        "optimisation", 0, "scale the recipe's stages to this many passes over the training views in total, "
        "0 = the recipe's own length", low=0, high=1_000_000)
    batch_views: int | None = _setting(
        "optimisation", None, "views of a step, whose gradients are averaged; several ranks share them; the default recipe's "
        "step sizes grow with its square root", low=1, high=4096, absent="1, or one a rank")
    seed: int = _setting(
        "optimisation", 0, "start of every random number: the same seed gives the same result", low=0,
        high=2**31 - 1)

    N_iters: int | None = _setting(
        "rays", None, "steps of training", source=NERF, low=1, high=10_000_000, absent="5000; 200000 for mlp")
    N_rand: int | None = _setting(
        "rays", None, "rays of a step, 0 = as many as show 32,768 samples, or cost as much in calls of the radiance",
        source=NERF, low=0, high=1 << 20,
        absent="0; 4096 for mlp")
    lrate: float | None = _setting(
        "rays", None, "step size at the start; for grid and voxels it falls to 3 % at the end", source=NERF, above=0, high=10,
        absent="0.03; 0.0005 for mlp")
    radiance_calls: int | None = _setting(
        "rays", None, "calls of the radiance for a ray, at places drawn from its density; 0 = at every sample; mlp: with --rvs",
        source=RVS, low=0, high=4096, absent="0 for grid, 8 for voxels; with --render_only, what the field was trained with")
    two_estimates: bool = _setting(
        "rays", False, "with --radiance_calls: the loss is the product of the errors of two independent estimates, twice the "
        "calls, which the variance of the estimate does not bias", source=RVS)
    perturb: float = _setting(
        "rays", 1.0, "share of its interval by which a sample is shifted at random in training", source=NERF, low=0, high=1)
    distortion: float | None = _setting(
        "rays", None, "grid, voxels: weight of the loss that draws the weights along a ray together, against fog", low=0,
        high=1e3, source="mip-NeRF 360", absent="0.01 in normalised device coordinates, else 0")
    chunk: int = _setting(
        "rays", 32768, "rays that are rendered at a time: fewer take less memory", source=NERF, low=1, high=1 << 24)
    no_batching: bool = _setting("rays", False, "take the rays of a step from one view, not from all", source=NERF)
    precrop_iters: int = _setting("rays", 0, "steps that look at the middle of the pictures only", source=NERF, low=0)
    precrop_frac: float = _setting("rays", 0.5, "share of the width and height that is the middle", source=NERF, above=0, high=1)
    random_bkgd: bool = _setting(
        "rays", True, "put a random colour behind each ray in training, where pictures have an alpha channel: what is empty is "
        "then learned as empty")
    mixed_precision: bool | None = _setting(
        "rays", None, "networks multiply in bfloat16, in training and in pictures: faster where the processor or the GPU has it",
        short="-s",
        absent="where it is there; False for mlp")
    i_weights: str = _setting(
        "rays", "500", "steps between checkpoints, or minutes, 10m: what a machine that is lost takes with it", source=NERF,
        form="N|Nm")
    i_testset: int = _setting(
        "rays", 50_000, "steps between pictures of the test views, in testset_<step>, while training, 0 = none", source=NERF,
        low=0)
    i_video: int = _setting(
        "rays", 50_000, "steps between videos, path_<step>.mp4, while training, 0 = none", source=NERF, low=0)

    N_samples: int = _setting("network", 64, "samples of a ray for the coarse network", source=NERF, low=3, high=65536)
    N_importance: int = _setting(
        "network", 0, "samples of a ray besides, where the coarse network found something, for a fine network; 0 = there is none",
        source=NERF, low=0, high=65536)
    rvs: bool = _setting(
        "network", False, "the coarse network is density alone, without a loss of its own: the fine network's samples are places "
        "where its density absorbs the light; see --fine_density", source=RVS)
    samples_union: bool | None = _setting(
        "network", None, "the fine network sees the coarse one's samples too", source=RVS,
        absent="True; False with --fine_density own")
    fine_density: str = _setting(
        "network", "corrected", "with --rvs: the fine network's density is the coarse one's, corrected, through which the coarse "
        "one learns fast (corrected), or its own, as its authors have it (own)", choices=("corrected", "own"))
    place_gradients: bool | None = _setting(
        "network", None, "with --rvs: gradients reach the coarse network through the places of the fine one's samples",
        source=RVS, absent="False where the density is corrected, for they are noise beside its own; True otherwise")
    lrate_coarse: float | None = _setting(
        "network", None, "step size of the coarse network at the start", source=RVS, above=0, high=10, absent="--lrate")
    netdepth: int = _setting("network", 8, "layers", source=NERF, low=1, high=64)
    netwidth: int = _setting("network", 256, "units of a layer", source=NERF, low=2, high=16384)
    netdepth_fine: int = _setting("network", 8, "layers of the fine network", source=NERF, low=1, high=64)
    netwidth_fine: int = _setting("network", 256, "units of a layer of the fine network", source=NERF, low=2, high=16384)
    multires: int = _setting("network", 10, "octaves of the positions' encoding", source=NERF, low=0, high=24)
    multires_views: int = _setting("network", 4, "octaves of the directions' encoding", source=NERF, low=0, high=24)
    i_embed: int = _setting(
        "network", 0, "0 = encode positions and directions, -1 = take them as they are", source=NERF, low=-1, high=0)
    use_viewdirs: bool = _setting("network", False, "colour depends on the direction too", source=NERF)
    lindisp: bool = _setting("network", False, "samples are even in inverse depth, not in depth", source=NERF)
    raw_noise_std: float = _setting(
        "network", 0.0, "deviation of the noise on raw densities in training", source=NERF, low=0, high=1e3)
    lrate_decay: float = _setting(
        "network", 250, "the step size falls to a tenth in so many", unit="1000 steps", source=NERF, above=0, high=1e6)
    netchunk: int = _setting(
        "network", 65536, "points that go through a network at a time in rendering", source=NERF, low=1, high=1 << 26)

    basedir: str | None = _setting(
        "run", None, "the run's folder", source=CODE, form="FOLDER",
        absent="./logs/<scene>_<method>_<recipe>")
    no_reload: bool = _setting(
        "run", False, "start anew even if the folder holds a checkpoint (else that run is continued)",
        source=NERF)
    resume: bool = _setting(
        "run", False, "continue the folder's run, and stop with a message if it holds no checkpoint")
    ft_path: str | None = _setting(
        "run", None, "start from the model in this checkpoint, weights file or points.ply", source=NERF, form="FILE",
        absent="the recipe's own start")
    render_only: bool = _setting(
        "run", False, "render and report the run's model (or --ft_path's) without training", source=NERF)
    render_test: bool = _setting(
        "run", False, "with --render_only: render and measure all test views, not the protocol's", source=NERF)
    render_factor: int = _setting(
        "run", 0, "with --render_only: render at 1/N of the size, for a preview; 0 = at the full size", source=NERF, low=0,
        high=64)
    expname: str | None = _setting(
        "run", None, "the run's folder is this one in --basedir", source=NERF, form="NAME", absent="it is --basedir itself")

    device: str = _setting(
        "machine", "auto", "where kernels run; auto = cuda if there is one, else cpu",
        choices=("auto", "cpu", "cuda", "vulkan"))
    threads: int = _setting(
        "machine", 0, "CPU threads, 0 = all that this process may use; weights do not depend on them (README)", low=0, high=4096)

    @property
    def scene_name(self) -> str:
        """What the scene is called: --dataname, else the name of the --datadir folder."""
        if self.is_demo or self.datadir is None:
            return self.dataname or "demo"
        return self.dataname or Path(self.datadir).expanduser().resolve().name or "scene"

    @property
    def is_demo(self) -> bool:
        """True where the built-in scene was asked for: by --dataset_type demo, or by --dataname demo and no other type."""
        return self.dataset_type == "demo" or (self.dataname == "demo" and self.dataset_type in (None, "blender"))

    @property
    def background(self) -> str:
        """What lies behind the alpha channel, in training and in evaluation: `black` or `white`."""
        return "white" if self.white_bkgd or self.protocol == "standard" else "black"

    @property
    def checkpoint_interval(self) -> tuple[int, float]:
        """Steps and seconds between checkpoints of a field, one of which is endless. Raises ValueError or OverflowError for
        --i_weights that is neither."""
        number = int(self.i_weights.removesuffix("m"))
        if number < 1:
            raise ValueError(self.i_weights)
        return (sys.maxsize, 60.0 * number) if self.i_weights.endswith("m") else (number, math.inf)

    def filled(self, defaults: dict) -> "Options":
        """The same options with each setting that is still None taken from `defaults`, {flag name: value}."""
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **missing)


def kind(setting) -> type:
    """The plain type of a field of Options: bool, int, float or str."""
    return next((part for part in get_args(setting.type) if part is not type(None)), setting.type)


FIELD_DEFAULTS = {
    "grid": {"N_iters": 5000, "N_rand": 0, "lrate": 0.03, "radiance_calls": 0},
    "voxels": {"N_iters": 5000, "N_rand": 0, "lrate": 0.03, "radiance_calls": 8},
    "mlp": {"N_iters": 200_000, "N_rand": 4096, "lrate": 5e-4},
}  # of settings that the user may leave to --field


def paper_defaults() -> dict[str, float]:
    """The paper recipe's value of every setting that the user may leave to the recipe, {flag name: value}."""
    return {s.name: s.metadata["paper"] for s in fields(Options) if s.metadata["paper"] is not None}
