"""Settings of a run that every method has, each stated once: name, default, unit, meaning, range and source.

The command line, the config files, the checks and the config written into a run folder are all generated from the fields below
and from those that each method adds in a dataclass of its own (`methods.<name>.options`).
"""

from dataclasses import Field, dataclass, fields, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, ClassVar, Self

from settings.errors import InputError
from settings.setting import CODE, NERF, REFNERF, method_word, protocol_word, setting
from settings.translations import IMG_SCALE, Translation

GROUPS = {  # of flags, in the order of the help; the methods' groups come before the last two
    "scene": "which photographs, at which size, over which background",
    "method": "what learns the scene, and how the result is judged",
    "run": "where results go, and what to do with a run that is already there",
    "machine": "where the work is done",
}
DEMO_SCENES = ("demo", "demo_glossy")  # the built-in scenes
SMALLEST_IMAGE = 8  # px; in smaller pictures the gradient loss has hardly any neighbours to compare
SIZES = ("img_s", "half_res", "factor")  # flags that each set the image size


@dataclass(frozen=True)
class SceneOptions:
    """Which photographs, and what is done with their files."""

    datadir: str | None = setting(
        "scene",
        None,
        "the scene's folder, or the folder above it together with --dataname",
        source=CODE,
        form="FOLDER",
        absent="$RADIANCE_DATA/nerf_synthetic, ./data/nerf_synthetic, ./nerf_synthetic, and the same with nerf_llff_data",
        about="view",
        path=True,
    )
    dataname: str | None = setting(
        "scene",
        None,
        "the scene's name; `demo`, an island, and `demo_glossy`, mirrors and glazes, are built in: they are made on first use in "
        "--datadir or ./data",
        source=CODE,
        form="NAME",
        also=("--dataset_name",),
        absent="the name of the --datadir folder",
        about="view",
        path=True,
    )
    dataset_type: str | None = setting(
        "scene",
        None,
        "the files' format: NeRF-synthetic (blender), photographs with poses_bounds.npy (llff), transforms.json "
        "of nerfstudio or instant-ngp (nerfstudio), a COLMAP sparse model (colmap), mip-NeRF's scenes of several sizes "
        "(multiscale), or a built-in scene (demo)",
        source=CODE,
        choices=("blender", "demo", "llff", "nerfstudio", "colmap", "multiscale"),
        absent="told from the files",
        path=True,
    )
    img_s: int | None = setting(
        "scene",
        None,
        "image width to work at, that of the widest; 0 = as stored; pictures keep their proportions",
        source=CODE,
        unit="px",
        low=0,
        absent="400 or the stored width if that is less; 0 under the other protocols; see --factor",
        about="view",
    )
    half_res: bool = setting("scene", False, "work at half of the stored image size", source=CODE, about="view")
    factor: int | None = setting(
        "scene",
        None,
        "llff, nerfstudio, colmap: work at 1/N of the photographs' sizes (from images_N if that folder exists) "
        "unless --img_s or --half_res says otherwise",
        source=NERF,
        low=1,
        high=64,
        absent="1 up to 800 px of width, else the N that leaves nearest to 800 px; of images_N alone, the nearest",
    )
    llffhold: int = setting(
        "scene",
        8,
        "llff, nerfstudio, colmap: every N-th view, from the first, is kept for testing; a nerfstudio file that "
        "names its test views wins",
        source=NERF,
        low=2,
    )
    no_ndc: bool = setting(
        "scene", False, "llff: march through world space instead of normalised device coordinates", source=NERF
    )
    spherify: bool = setting(
        "scene", False, "llff: photographs taken around an object, not from one side of the scene", source=NERF
    )
    testskip: int = setting("scene", 1, "use every n-th validation and test view", source=NERF, low=1, about="view")
    train_scales: bool = setting(
        "scene",
        False,
        "--field mlp and mip: learn from the pictures at 1, 1/2, 1/4 and 1/8 of their size; with mip a pixel counts by its area",
        source="Barron et al. 2021 (mip-NeRF)",
    )
    orientation: str | None = setting(
        "scene",
        None,
        "read pictures with an EXIF orientation as they are stored, as COLMAP does, or turned upright, as OpenCV "
        "and programs that export pictures do; their cameras must be for the same",
        choices=("stored", "upright"),
        absent="what fits the cameras' width and height; stored where both fit",
    )
    background: str | None = setting(
        "scene",
        None,
        "what pictures with an alpha channel are composited over, in training and in evaluation",
        choices=("black", "white"),
        absent="black; white under the protocols standard and multiscale or with --white_bkgd",
        about="run",
    )
    white_bkgd: bool = setting(
        "scene", False, "the same as --background white", source=CODE, also=("-w", "--white_bkg"), about="run"
    )
    maskdir: str | None = setting(
        "scene",
        None,
        "PNG masks of the views, by the names of their pictures (<folder>/<name>.png, <name>.png or "
        "<name>.<ext>.png): for photographs without an alpha channel, or to carve from instead of it",
        form="FOLDER",
        absent="the alpha channels, or what frames of a transforms.json name as mask_path",
        path=True,
    )
    no_masks: bool = setting(
        "scene",
        False,
        "use no mask and no alpha channel: the default recipe finds the object from the photographs alone; with "
        "--method nerf: use no mask that frames of a transforms.json name as mask_path",
    )

    @property
    def scene_name(self) -> str:
        """The scene's name: --dataname, else the name of the --datadir folder."""
        if self.is_demo or self.datadir is None:
            return self.dataname or "demo"
        return self.dataname or Path(self.datadir).expanduser().resolve().name or "scene"

    @property
    def is_demo(self) -> bool:
        """True if a built-in scene was requested: by --dataset_type demo, or by its --dataname and no other type."""
        return self.dataset_type == "demo" or (self.dataname in DEMO_SCENES and self.dataset_type in (None, "blender"))


@dataclass(frozen=True)
class RunOptions:
    """Where a run's files go, and what is done with those that are there."""

    basedir: str | None = setting(
        "run",
        None,
        "the run's folder",
        source=CODE,
        form="FOLDER",
        absent="./logs/<scene>_<method>_<recipe or field>",
        about="run",
    )
    no_reload: bool = setting(
        "run",
        False,
        "start anew even if the folder holds a checkpoint (else that run is continued)",
        source=NERF,
        also=("-d", "--del_dir"),
        about="run",
    )
    resume: bool = setting(
        "run",
        False,
        "continue the folder's run, and stop with a message if it holds no checkpoint",
        also=("-l", "--load"),
        about="run",
    )
    ft_path: str | None = setting(
        "run",
        None,
        "start from the model in this checkpoint, weights file or points.ply",
        source=NERF,
        form="FILE",
        absent="the recipe's own start",
        about="view",
        path=True,
    )
    render_only: bool = setting(
        "run",
        False,
        "render and report the run's model (or --ft_path's) without training",
        source=NERF,
        also=("-r", "--do_render"),
        about="run",
    )
    render_test: bool = setting(
        "run",
        False,
        "with --render_only: render and measure all test views, not the protocol's",
        source=NERF,
        also=("-e", "--eval_poses"),
        about="run",
    )
    render_factor: int = setting(
        "run",
        0,
        "with --render_only: render at 1/N of the size, for a preview; 0 = at the full size",
        source=NERF,
        low=0,
        high=64,
        about="run",
    )
    antialias: bool | None = setting(
        "run",
        None,
        "several rays a pixel in pictures whose pixels are larger than those that the model learned from",
        absent="True; False with --render_factor",
        about="run",
    )
    render_depth: bool = setting(
        "run", False, "maps of the test views' depths, in depth/ and in the report", source=REFNERF, about="run"
    )
    render_normal: bool = setting(
        "run",
        False,
        "--method nerf: maps of the test views' normals, in normals/, in the report and in the video",
        source=REFNERF,
        about="run",
    )
    expname: str | None = setting(
        "run",
        None,
        "the run's folder is this one in --basedir",
        source=NERF,
        form="NAME",
        absent="it is --basedir itself",
        about="run",
        path=True,
    )
    seed: int = setting("run", 0, "start of every random number: the same seed gives the same result", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class MachineOptions:
    """Where the work is done."""

    device: str = setting(
        "machine",
        "auto",
        "where kernels run; auto = cuda if there is one, else cpu",
        choices=("auto", "cpu", "cuda", "vulkan"),
        about="run",
    )
    threads: int = setting(
        "machine",
        0,
        "CPU threads, 0 = all that this process may use; weights do not depend on them (README)",
        low=0,
        high=4096,
        about="run",
    )


@dataclass(frozen=True)
class Options(SceneOptions, RunOptions, MachineOptions):
    """The options of every run. A method's options are a subclass with its own settings. None means: not given by the user,
    the method or the protocol decides; types are those after that."""

    translations: ClassVar[tuple[Translation, ...]] = (IMG_SCALE,)
    method: str = method_word("")
    protocol: str = protocol_word("standard")
    given: frozenset[str] = dataclass_field(default=frozenset(), compare=False)  # flags on the command line, in the config file

    @classmethod
    def from_flags(cls, values: dict[str, Any]) -> Self:
        """Options from the flags that were given, {name: value}; methods complete what other flags decide."""
        return cls(**values, given=frozenset(values))

    @classmethod
    def as_today(cls, then: dict[str, Any]) -> dict[str, Any]:
        """The options of a run of an earlier version, with values that were decided elsewhere then."""
        return then

    @property
    def variant(self) -> str:
        """A part of folders' names that tells runs of one method apart; may be empty."""
        return ""

    @property
    def scene_background(self) -> str:
        """The background behind the alpha channel, in training and in evaluation: `black` or `white`."""
        return self.background or ("white" if self.white_bkgd or self.protocol != "paper" else "black")

    @property
    def antialiased(self) -> bool:
        """Whether large pixels are the mean of several rays."""
        return not self.render_factor if self.antialias is None else self.antialias

    @property
    def needs_masks(self) -> bool:
        """Whether training cannot start without masks or alpha channels."""
        return False

    @property
    def carves(self) -> bool:
        """Whether masks decide where training starts; otherwise they only say what is transparent."""
        return False

    @property
    def stored_colours(self) -> bool:
        """Whether pictures over black are the stored colours, where these are black if alpha is 0; else colour * alpha."""
        return False

    def filled(self, defaults: dict) -> Self:
        """The same options with each setting that is still None taken from `defaults`, {flag name: value}."""
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **missing)

    def contradictions(self) -> dict[str, bool]:
        """{what is wrong with these options, in a sentence: whether it is so}; methods add theirs."""
        size, given = self.img_s, self.given
        return {
            "no scene was named: give --datadir FOLDER, or --dataname demo for the built-in scene": self.datadir is None
            and self.dataname is None
            and self.dataset_type != "demo",
            f"--dataset_type demo is a built-in scene, not {self.dataname}: drop one of the two flags": self.dataset_type
            == "demo"
            and self.dataname not in (None, *DEMO_SCENES),
            "--half_res and --img_s both set the image size: give one of them": self.half_res and size is not None,
            "--factor, --img_s and --half_res each set the image size: give one of them": "factor" in given
            and (self.half_res or size is not None),
            f"--img_s {size} is too small: give {SMALLEST_IMAGE} px or more, or 0 for the stored size": size is not None
            and 0 < size < SMALLEST_IMAGE,
            "--white_bkgd is --background white: drop one of the two flags": self.white_bkgd and self.background == "black",
            "--no_masks trains without masks, so there are none to read: drop the other flag": self.no_masks
            and self.maskdir is not None,
            "--resume continues a run and --no_reload starts one anew: give one of them": self.resume and self.no_reload,
            "--render_only needs a model and --no_reload leaves none: drop it, or name a model by --ft_path": self.render_only
            and self.no_reload
            and self.ft_path is None,
            "--render_test says what --render_only renders: give --render_only too, or drop it": self.render_test
            and not self.render_only,
            "--render_factor is a preview's size: give --render_only too, or drop it": self.render_factor > 0
            and not self.render_only,
        }

    def check(self) -> None:
        """Raise InputError for the first contradiction."""
        for sentence, wrong in self.contradictions().items():
            if wrong:
                raise InputError(sentence)


def settings_of(options: Options | type[Options]) -> dict[str, Field]:
    """{name: field} of the settings that are flags."""
    return {field.name: field for field in fields(options) if "group" in field.metadata}


def as_dict(options: Options) -> dict[str, Any]:
    """{flag: value} of all settings."""
    return {name: getattr(options, name) for name in settings_of(options)}


def made_with(then: dict[str, Any], options: Options) -> dict[str, Any]:
    """Of the options that a model was trained with, those that say how it was made, not how it is looked at."""
    about = {name: field.metadata["about"] for name, field in settings_of(options).items()}
    return {name: value for name, value in then.items() if about.get(name, "model") == "model"}
