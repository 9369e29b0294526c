"""The options of --method points, and whether they make sense together."""

from dataclasses import dataclass, replace
from typing import Any, Self

from settings.masks import KINDS, parse_corruption
from settings.options import Options, settings_of
from settings.setting import CODE, method_word, protocol_word, setting

FORK = "its fork for imperfect masks"
PAPER = "Zhang et al. 2022 (point radiance), and its program"
_LEFT = "if left out, recipe paper takes the value shown, recipe default chooses"
GROUPS = {
    "points": f"--method points: the cloud and its splats; {_LEFT}",
    "masks": "--method points: what carves the cloud's start: damage on purpose, trust",
    "optimisation": f"--method points: learning rates and length; {_LEFT}",
}


@dataclass(frozen=True)
class PointOptions(Options):
    """The options of a run of --method points."""

    method: str = method_word("points")
    protocol: str = protocol_word("paper")
    recipe: str = setting(
        "points",
        "default",
        "the steps of training: the published program's (paper), or this program's own",
        choices=("paper", "default"),
    )
    pc_jitter_amount: float = setting(
        "masks",
        0.0,
        "damage the masks that carve: each is moved, rotated, scaled and sheared at random by up to this",
        source=FORK,
        low=0,
        high=1,
    )
    mask_corruption: str | None = setting(
        "masks",
        None,
        "damage the masks that carve, one kind after the other: " + ", ".join(KINDS) + " (docs/masks.md says "
        "what the amounts mean)",
        form="KIND:AMOUNT[,...]",
        absent="none",
    )
    filter_consistency_ratio: float | None = setting(
        "masks",
        None,
        "keep the cells that more than this fraction of the views (but one) show as foreground",
        source=FORK,
        above=0,
        high=1,
        paper=1.0,
    )
    posFirst: str = setting(
        "masks", "NO", "recipe paper: first move the points alone, by silhouettes", source=FORK, choices=("YES", "NO")
    )
    ridgePosition: float = setting(
        "masks", 0.0, "weight of the pull to the world's origin in the --posFirst stage", source=FORK, low=0, high=1e6
    )
    shAlone: str = setting(
        "masks", "NO", "recipe paper: learn the colours alone before positions join", source=FORK, choices=("YES", "NO")
    )
    data_r: float | None = setting(
        "points", None, "fraction of the visual hull's points to start from", source=CODE, above=0, high=1, paper=0.012
    )
    splatting_r: float = setting(
        "points",
        None,
        "radius of a splat on the screen, where the image is 2 wide",
        source=CODE,
        unit="NDC",
        above=0,
        high=1,
        paper=0.015,
    )
    raster_n: int = setting("points", None, "nearest points blended per pixel, 0 = all", source=CODE, low=0, paper=15)
    refine_n: int = setting(
        "points",
        None,
        "rounds of refinement: filter and duplicate, or prune and split (default recipe: at most 4)",
        source=CODE,
        low=0,
        high=10,
        paper=2,
    )
    max_points: int = setting("points", 0, "never more points than this, 0 = no limit but the recipe's", low=0)
    sh_per: str = setting(
        "points",
        "point",
        "evaluate spherical harmonics once per point, as the paper says, or once per pixel, as its program does",
        source=PAPER,
        choices=("point", "pixel"),
    )
    profile: str = setting(
        "points",
        "parabola",
        "a splat's opacity: 1 - d^2/r^2 as in the published program, or the paper's Gaussian (eq. 5)",
        source=PAPER,
        choices=("parabola", "gaussian"),
    )
    lr1: float = setting(
        "optimisation", None, "learning rate of colours and spherical harmonics", source=CODE, low=0, high=10, paper=22e-3
    )
    lr2: float = setting(
        "optimisation", None, "learning rate of positions", source=CODE, unit="world units", low=0, high=10, paper=8e-4
    )
    lrexp: float = setting(
        "optimisation",
        None,
        "both learning rates are multiplied by this after every epoch",
        source=CODE,
        above=0,
        high=1,
        paper=0.93,
    )
    lr_s: float = setting("optimisation", None, "weight of the image-gradient loss", source=CODE, low=0, high=1000, paper=0.03)
    epochs: int = setting(
        "optimisation",
        0,
        "scale the recipe's stages to this many passes over the training views in total, 0 = the recipe's own length",
        low=0,
        high=1_000_000,
        may_grow=True,
    )
    batch_views: int = setting(
        "optimisation",
        None,
        "views of a step, whose gradients are averaged; they are divided over the ranks; the default "
        "recipe's learning rates grow with its square root",
        low=1,
        high=4096,
        absent="1, or one a rank",
    )

    @classmethod
    def from_flags(cls, values: dict[str, Any]) -> Self:
        """The fork's command names no recipe: its stages belong to the paper's."""
        options = super().from_flags(values)
        stages_of_the_fork = "YES" in (options.posFirst, options.shAlone)
        return replace(options, recipe="paper") if stages_of_the_fork and "recipe" not in values else options

    @classmethod
    def as_today(cls, then: dict[str, Any]) -> dict[str, Any]:
        return {"batch_views": 1} | then  # earlier versions took one view a step

    @property
    def variant(self) -> str:
        return self.recipe

    @property
    def needs_masks(self) -> bool:
        """The default recipe carves its start; the paper's takes all that is not black for the object."""
        return self.recipe == "default" and not (self.render_only or self.ft_path or self.no_masks)

    @property
    def carves(self) -> bool:
        return True

    @property
    def stored_colours(self) -> bool:
        """As the published program has it, where a run is to be compared with it."""
        return self.recipe == self.protocol == "paper"

    def contradictions(self) -> dict[str, bool]:
        return super().contradictions() | {
            "--posFirst and --shAlone are stages of the paper's recipe: give --recipe paper, or drop them": self.recipe != "paper"
            and "YES" in (self.posFirst, self.shAlone),
            "--ridgePosition pulls points in the --posFirst stage only: give --posFirst YES, or drop it": self.ridgePosition > 0
            and self.posFirst != "YES",
            "--train_scales is for --method nerf with --field mlp or mip: drop it": self.train_scales,
            "--render_normal needs normals, which points do not have: drop it, or give --method nerf": self.render_normal,
            "--no_masks trains without masks, so there are none to damage or to weigh: drop the other flag": self.no_masks
            and (self.pc_jitter_amount > 0 or self.filter_consistency_ratio is not None or self.mask_corruption is not None),
            "--no_masks needs --recipe default: the paper's recipe starts from masks": self.no_masks and self.recipe == "paper",
        }

    def check(self) -> None:
        parse_corruption(self.mask_corruption)
        super().check()


def paper_defaults() -> dict[str, float]:
    """The paper recipe's value of every setting that the user may leave to the recipe, {flag name: value}."""
    known = settings_of(PointOptions).items()
    return {name: field.metadata["paper"] for name, field in known if field.metadata["paper"] is not None}
