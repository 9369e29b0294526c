"""The options of --method nerf, and whether they make sense together."""

import math
import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from methods.fields.network_options import RVS, NetworkOptions
from methods.fields.reflective_options import ReflectiveOptions
from methods.fields.translations import CENTER_CROP, OPT_MODE
from settings.errors import InputError
from settings.options import settings_of
from settings.setting import NERF, REFNERF, method_word, protocol_word, setting
from settings.translations import Translation

GROUPS = {
    "rays": "--method nerf: batches of rays, and how long they are learned from",
    "reflections": "--field grid with --ref_nerf: surfaces that reflect",
    "network": "--field mlp and mip: networks of the original NeRF and of mip-NeRF, and their samples; without --field, giving "
    "one of these flags chooses mlp",
}
_PROPOSALS, _PROPOSALS_OF_CONES, _MOST_SAMPLES = (32, 12), (64, 64, 32), 1024  # samples of a ray in a round
_NETWORKS = {"N_samples": 64, "multires": 10}  # also of fields without networks: --ft_path may name nerf-pytorch's
DEFAULTS = {  # of settings that the user may leave to --field
    "grid": {"N_iters": 5000, "N_rand": 0, "lrate": 0.03, "radiance_calls": 0} | _NETWORKS,
    "voxels": {"N_iters": 5000, "N_rand": 0, "lrate": 0.03, "radiance_calls": 8} | _NETWORKS,
    "mlp": {"N_iters": 200_000, "N_rand": 4096, "lrate": 5e-4} | _NETWORKS,
    "mip": {"N_iters": 200_000, "N_rand": 1024, "lrate": 5e-4, "N_samples": 128, "multires": 16},
}


@dataclass(frozen=True)
class FieldOptions(ReflectiveOptions, NetworkOptions):
    """The options of a run of --method nerf."""

    translations: ClassVar[tuple[Translation, ...]] = (*ReflectiveOptions.translations, OPT_MODE, CENTER_CROP)
    method: str = method_word("nerf")
    protocol: str = protocol_word("standard")
    field: str = setting(
        "rays",
        "grid",
        "what --method nerf learns: feature grids with a small network, marched through occupied cells, in "
        "minutes on a CPU (grid), voxels for density and a network for radiance, called a few times a ray (voxels), the "
        "original's networks of 8 x 256 units, in days on a CPU and hours on a GPU (mlp), or mip-NeRF's, which sees the cones "
        "of pixels, so that pictures of all sizes are right (mip)",
        choices=("grid", "voxels", "mlp", "mip"),
        absent="grid; mlp if one of its flags is given",
    )
    N_iters: int = setting(
        "rays",
        None,
        "steps of training",
        source=NERF,
        low=1,
        high=10_000_000,
        absent="5000; 200000 for mlp and mip",
        may_grow=True,
    )
    N_rand: int = setting(
        "rays",
        None,
        "rays of a step; 0 = as many as have 32,768 visible samples, or cost as much",
        source=NERF,
        also=("--sample_ray_num",),
        low=0,
        high=1 << 20,
        absent="0; 4096 for mlp, 1024 for mip",
    )
    lrate: float = setting(
        "rays",
        None,
        "learning rate at the start; it falls to 3 % at the end for grid and voxels, and to 1 % after a slow start for mip",
        source=NERF,
        above=0,
        high=10,
        absent="0.03; 0.0005 for mlp and mip",
    )
    radiance_calls: int | None = setting(
        "rays",
        None,
        "evaluations of the radiance per ray, at positions drawn from the density; 0 = at every sample; mlp: with --rvs",
        source=RVS,
        low=0,
        high=4096,
        absent="0 for grid, 8 for voxels; with --render_only, the number that the field was trained with",
    )
    two_estimates: bool = setting(
        "rays",
        False,
        "with --radiance_calls: the loss is the product of the errors of two independent estimates, which their "
        "variance does not bias, for twice the evaluations",
        source=RVS,
    )
    perturb: float = setting(
        "rays", 1.0, "fraction of its interval by which a sample is shifted at random in training", source=NERF, low=0, high=1
    )
    distortion: float | None = setting(
        "rays",
        None,
        "grid, voxels, proposals: weight of the distortion loss, which concentrates the weights along a ray",
        low=0,
        high=1e3,
        source="mip-NeRF 360",
        absent="0.01 in normalised device coordinates, 0.03 if space is contracted; with proposals 0.002 and 0.01, and 0.01 for "
        "mip; else 0",
    )
    contract: bool | None = setting(
        "rays",
        None,
        "grid, proposals: the field covers all of space, contracted around the cameras, so that photographs are learned with "
        "their background",
        source="mip-NeRF 360",
        absent="True for photographs without alpha that are not in normalised device coordinates",
    )
    sampler: str | None = setting(
        "rays",
        None,
        "grid: samples in cells that a grid marks as occupied (occupancy), or where small density fields, learned beside the "
        "field, expect its weights, as many for each ray (proposals); mip: proposals by networks, which makes it mip-NeRF 360",
        source="mip-NeRF 360",
        choices=("occupancy", "proposals"),
        absent="proposals in normalised device coordinates without --radiance_calls, or if --proposals is given; else occupancy",
    )
    proposals: str | None = setting(
        "rays",
        None,
        "samples of a ray in each round of proposals, and, last, of the field",
        source="mip-NeRF 360",
        form="N,...,N",
        absent="32,12; 64,64,32 for mip",
    )
    prop_normal: bool = setting(
        "rays",
        False,
        "with --render_normal: maps of the normals of the last proposal's density too, in proposal_normals/ and in the report; "
        "chooses --sampler proposals",
        source=REFNERF,
        about="view",
    )
    grad_clip: float = setting(
        "rays",
        0.0,
        "largest norm of a step's gradient, over all parameters; larger gradients are scaled down to it; 0 or less = no limit",
        source=REFNERF,
        low=-1e6,
        high=1e6,
    )
    exposure: bool = setting(
        "rays",
        False,
        "grid, voxels: learn a gain per training photograph and channel, for cameras that change exposure and white balance "
        "from one to the next; other views are rendered with the mean gain",
    )
    chunk: int | None = setting(
        "rays",
        None,
        "rays rendered at a time; fewer take less memory",
        source=NERF,
        low=1,
        high=1 << 24,
        about="run",
        absent="32768; 4096 for mlp and mip",
    )
    no_batching: bool = setting("rays", False, "take the rays of a step from one view, not from all", source=NERF)
    precrop_iters: int = setting(
        "rays", 0, "first steps, which use the middle of the pictures only", source=NERF, also=("--center_crop_iter",), low=0
    )
    precrop_frac: float = setting(
        "rays", 0.5, "fraction of the width and height that is the middle", source=NERF, above=0, high=1
    )
    random_bkgd: bool = setting(
        "rays",
        True,
        "composite each training ray over a random colour if pictures have an alpha channel, so that empty space "
        "is learned as empty",
    )
    mixed_precision: bool | None = setting(
        "rays",
        None,
        "networks multiply in bfloat16, in training and rendering: faster if the processor or the GPU has it",
        also=("-s", "--use_scaler"),
        absent="True if it has; False for mlp and mip",
    )
    i_weights: str = setting(
        "rays",
        "500",
        "steps between checkpoints, or minutes (10m): the most that is lost if a machine fails",
        source=NERF,
        form="N|Nm",
        about="run",
    )
    i_testset: int = setting(
        "rays",
        50_000,
        "steps between pictures of the test views, in testset_<step>, while training, 0 = none",
        source=NERF,
        low=0,
        about="run",
    )
    i_video: int = setting(
        "rays", 50_000, "steps between videos, path_<step>.mp4, while training, 0 = none", source=NERF, low=0, about="run"
    )

    @classmethod
    def from_flags(cls, values: dict[str, Any]) -> Self:
        """A flag of the networks chooses --field mlp."""
        deciding = {name: (field.metadata["needs"] or ("",))[0] for name, field in settings_of(cls).items()}
        network = any(deciding.get(name) == "field" for name in values)
        return super().from_flags({"field": "mlp"} | values if network else values)

    @classmethod
    def as_today(cls, then: dict[str, Any]) -> dict[str, Any]:
        """Earlier versions wrote None for values that the field decides."""
        left = DEFAULTS.get(str(then.get("field")), {})
        return then | {name: value for name, value in left.items() if then.get(name) is None}

    @property
    def variant(self) -> str:
        return {"grid": "", "reflective": "ref"}.get(self.field_word, self.field)

    @property
    def field_word(self) -> str:
        """The word of the model's field, as it is saved."""
        return "reflective" if self.ref_nerf else self.field

    @property
    def proposed_cones(self) -> bool:
        """Whether it is mip-NeRF 360: proposals choose the intervals of a network over cones."""
        return self.field == "mip" and (self.sampler == "proposals" or self.proposals is not None)

    @property
    def proposal_samples(self) -> tuple[int, ...]:
        """The numbers of --proposals. Raises ValueError if there are none of one round at least."""
        if self.proposals is None:
            return _PROPOSALS_OF_CONES if self.field == "mip" else _PROPOSALS
        counts = tuple(int(word) for word in self.proposals.split(","))
        if len(counts) < 2 or min(counts) < 2 or max(counts) > _MOST_SAMPLES:
            raise ValueError(self.proposals)
        return counts

    @property
    def checkpoint_interval(self) -> tuple[int, float]:
        """Steps and seconds between checkpoints of a field, one of which is endless. Raises ValueError or OverflowError for
        --i_weights that is neither."""
        number = int(self.i_weights.removesuffix("m"))
        if number < 1:
            raise ValueError(self.i_weights)
        return (sys.maxsize, 60.0 * number) if self.i_weights.endswith("m") else (number, math.inf)

    def complete(self) -> Self:
        """The options, completed with the defaults of --field."""
        filled = self.filled(DEFAULTS[self.field])
        return filled if self.proposals is None else replace(filled, proposals=",".join(map(str, self.proposal_samples)))

    def contradictions(self) -> dict[str, bool]:
        calls, mlp = self.radiance_calls, self.field == "mlp"
        return super().contradictions() | {
            f"--N_rand 0 lets the samples decide, which is not for --field {self.field}: give a number of rays": self.N_rand == 0
            and self.field in ("mlp", "mip"),
            "--multires 0 leaves --field mip nothing to see: give a number of octaves": self.field == "mip"
            and self.multires == 0,
            "--radiance_calls is not for --field mip: drop it": self.field == "mip" and calls is not None,
            "--rvs draws samples for a fine network, and there is none: give --N_importance N, or --radiance_calls N": self.rvs
            and not self.N_importance
            and not calls,
            "--fine_density is about --rvs: give it too, or drop the flag": self.fine_density != "corrected" and not self.rvs,
            "--samples_union and --lrate_coarse need two networks: give --N_importance N": not self.N_importance
            and not self.rvs
            and (self.samples_union, self.lrate_coarse) != (None, None),
            "--place_gradients is about --rvs: give it too, or drop the flag": self.place_gradients is not None and not self.rvs,
            "--place_gradients False leaves the coarse network nothing to learn by: drop one of the flags": self.place_gradients
            is False
            and self.rvs
            and self.fine_density == "own",
            "--ref_nerf is for --field grid: drop it, or --field and flags of networks": self.ref_nerf and self.field != "grid",
            "--ref_nerf evaluates a reflection once for each ray: drop --radiance_calls": self.ref_nerf and bool(calls),
            "--train_scales is for --field mlp and mip: drop it, or give one of them": self.train_scales
            and self.field in ("grid", "voxels"),
            "--contract is for --field grid, and mip with --sampler proposals: drop it": self.field != "grid"
            and not self.proposed_cones
            and self.contract is not None,
            "--sampler proposals is for --field grid and mip: drop it": self.field in ("voxels", "mlp")
            and self.sampler == "proposals",
            "--sampler occupancy is for --field grid and voxels: drop it": self.field in ("mlp", "mip")
            and self.sampler == "occupancy",
            "--proposals is for --sampler proposals of --field grid and mip: drop it": self.proposals is not None
            and (self.field in ("voxels", "mlp") or self.sampler == "occupancy"),
            "--N_samples is not for --sampler proposals: give --proposals": self.proposed_cones
            and self.N_samples not in (None, DEFAULTS["mip"]["N_samples"]),
            "--radiance_calls draws its samples in occupied cells, not by proposals: drop one of the flags": bool(calls)
            and (self.sampler == "proposals" or self.proposals is not None),
            "--prop_normal is about --render_normal: give it too, or drop the flag": self.prop_normal and not self.render_normal,
            "--prop_normal shows proposals, which this run has none of: give --field grid and --sampler proposals, without "
            "--radiance_calls, or drop the flag": self.prop_normal
            and (self.field != "grid" or self.sampler == "occupancy" or bool(calls)),
            f"--near {self.near} is not before --far {self.far}: give a smaller one": self.near is not None
            and self.far is not None
            and self.near >= self.far,
            "--near 0 has no inverse depth, which --lindisp samples in: give a larger one, or drop --lindisp": self.near == 0
            and self.lindisp,
            "--exposure is for --field grid and voxels: drop it": self.field in ("mlp", "mip") and self.exposure,
            "--distortion is for --field grid, voxels, and mip with --sampler proposals: drop it": self.field in ("mlp", "mip")
            and not self.proposed_cones
            and self.distortion is not None,
            "--radiance_calls of --field mlp needs --rvs and replaces --N_importance: give --rvs, and drop --N_importance": mlp
            and calls is not None
            and (not self.rvs or self.N_importance > 0),
            "--samples_union, --fine_density and --place_gradients are about the fine network's density, which --radiance_calls "
            "does without: drop them": self.rvs
            and bool(calls)
            and ((self.samples_union, self.place_gradients) != (None, None) or self.fine_density != "corrected"),
            "--render_normal is for --field grid and voxels: drop it": self.field in ("mlp", "mip") and self.render_normal,
            "--two_estimates is for --field grid and voxels: drop it": self.field in ("mlp", "mip") and self.two_estimates,
            "--two_estimates is about --radiance_calls: give their number, or --field voxels": self.two_estimates
            and (calls == 0 or (self.field, calls) == ("grid", None)),
        }

    def check(self) -> None:
        try:
            _ = self.checkpoint_interval
        except (ValueError, OverflowError):
            raise InputError(f"--i_weights {self.i_weights}: give a number of steps, 500, or of minutes, 10m") from None
        try:
            _ = self.proposal_samples
        except ValueError:
            raise InputError(
                f"--proposals {self.proposals}: give the samples of each round and of the field, at least 2 numbers from 2 to "
                f"{_MOST_SAMPLES}, as in 32,12"
            ) from None
        super().check()
