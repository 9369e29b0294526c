"""The original NeRF and mip-NeRF before training: its networks and the samples of its rays, from the flags and the scene."""

import math
from typing import Any

import torch

from datasets.scene import Scene
from methods.fields.options import FieldOptions
from models.antialiasing import PixelSize
from models.mip_field import ConeSampling, MipField
from models.network_field import NetworkField, NetworkShape
from models.proposed_cones import ProposedCones
from models.ray_model import RayModel
from models.rays import Ndc
from models.reflective_field import ReflectiveField
from models.sampled_field import SampledField, Sampling
from settings.errors import InputError

_FIRST_THICKNESS = 0.03  # optical, of a whole ray before training
_BLENDER_RANGE = 2.0, 6.0  # t, as in nerf-pytorch for scenes of the NeRF-synthetic format


def scene_ndc(scene: Scene) -> Ndc | None:
    """The normalised device coordinates of a forward-facing scene, None if rays stay in the world."""
    return Ndc.of(scene.train.cameras) if scene.forward_facing else None


def clear_density(scene: Scene, near: float, far: float) -> float:
    """The density, a world unit, of a fog through which rays from t near to far are nearly clear."""
    return _FIRST_THICKNESS / (2.0 if scene.forward_facing else far - near)


def shift_of(density: float) -> float:
    """The shift that gives raw 0 this density: the inverse of softplus."""
    return math.log(math.expm1(density))


def initial_networks(scene: Scene, options: FieldOptions, generator: torch.Generator) -> SampledField:
    """Untrained networks. Rays end at the scene's farthest content, or, in normalised device coordinates, nowhere.

    They start nearly clear. Networks that start as a fog have to remove it first. Then they overshoot, lose their density
    everywhere, learn white and stay there: "stuck on white".
    """
    chosen = sampling(scene, options, endless=scene.forward_facing)
    shift = shift_of(clear_density(scene, chosen.near, chosen.far))

    def network(depth: int, width: int, *, colours: bool = True) -> NetworkField:
        encoded = options.i_embed == 0
        octaves, direction_octaves = options.multires * encoded, options.multires_views * encoded
        shape = NetworkShape(depth, width, octaves, direction_octaves, options.use_viewdirs, shift, colours)
        return NetworkField(shape, generator)

    coarse = network(options.netdepth, options.netwidth, colours=not options.rvs)
    fine = network(options.netdepth_fine, options.netwidth_fine) if chosen.importance else None
    return SampledField(coarse, fine, chosen, scene_ndc(scene), pixel=learned_pixel(scene))


def learned_pixel(scene: Scene) -> PixelSize:
    """How large the pixels are that a field learns from: of an object, where it stands, so that the distance of other cameras
    counts; of a scene around the cameras, as angles."""
    of_an_object = scene.train.alpha is not None and not scene.forward_facing
    cameras, scales = scene.train.cameras, scene.train.scales
    if scales is not None:  # the finest pixels, whatever else is learned from
        cameras = cameras[[view for view, scale in enumerate(scales) if scale == min(scales)]]
    return PixelSize.of(cameras, scene.bounds.mean(0) if of_an_object else None)


def initial_cones(scene: Scene, options: FieldOptions, generator: torch.Generator) -> MipField:
    """mip-NeRF before training, nearly clear as `initial_networks` are. Raises InputError for inverse depth if depths begin at
    0."""
    chosen = sampling(scene, options, endless=False)
    shape = NetworkShape(
        options.netdepth,
        options.netwidth,
        options.multires,
        options.multires_views,
        density_shift=shift_of(clear_density(scene, chosen.near, chosen.far)),
        integrated=True,
    )
    cones = ConeSampling(chosen.near, chosen.far, options.N_samples, options.lindisp)
    return MipField(NetworkField(shape, generator), cones, scene_ndc(scene))


def network_flags(model: RayModel) -> dict[str, Any]:
    """The flags' values that make networks, samples and reflections as this model has them."""
    if isinstance(model, ProposedCones):
        return _cone_flags(model)
    if isinstance(model, MipField):
        shape = model.network.shape
        own: dict[str, Any] = {"N_samples": model.sampling.intervals, "lindisp": model.sampling.disparity}
    elif isinstance(model, SampledField):
        shape = (model.fine or model.coarse).shape  # a coarse network without colours sees no directions
        own = _sampling_flags(model.sampling) | {"use_viewdirs": shape.use_directions}
        if model.fine is not None:
            own |= {"netdepth_fine": model.fine.shape.depth, "netwidth_fine": model.fine.shape.width}
        shape = model.coarse.shape
        own["i_embed"] = 0 if shape.octaves or shape.direction_octaves else -1
    elif isinstance(field := getattr(model, "field", None), ReflectiveField):
        return {"ref_nerf": True, "use_srgb": field.shape.srgb, "ide_level": field.shape.ide_levels}
    else:
        return {"ref_nerf": False}
    if model.ndc is None:
        own |= {"near": model.sampling.near, "far": model.sampling.far}
    if own.get("i_embed", 0) == 0:
        own |= {"multires": shape.octaves, "multires_views": shape.direction_octaves}
    return own | {"netdepth": shape.depth, "netwidth": shape.width}


def _cone_flags(model: ProposedCones) -> dict[str, Any]:
    """The flags' values that make networks and samples of proposals as this model has them."""
    shape, span = model.field.network.shape, model.ray_span
    own = {"proposals": ",".join(map(str, model.sampler.counts)), "contract": model.contracted}
    own |= {"netdepth": shape.depth, "netwidth": shape.width}
    own |= {"multires": shape.octaves, "multires_views": shape.direction_octaves, "lindisp": span.disparity}
    return own if model.ndc is not None else own | {"near": span.near, "far": span.far}


def _sampling_flags(sampling: Sampling) -> dict[str, Any]:
    """The flags' values that sample so; not those that mean nothing there."""
    own: dict[str, Any] = {"N_samples": sampling.samples, "lindisp": sampling.disparity, "rvs": sampling.reparameterized}
    if sampling.estimated:  # its number is that of --radiance_calls, which may change
        return own | {"N_importance": 0}
    if sampling.importance:
        own["samples_union"] = sampling.union
    if sampling.reparameterized:
        own |= {"fine_density": "corrected" if sampling.correcting else "own", "place_gradients": sampling.through_places}
    return own | {"N_importance": sampling.importance}


def sampling(scene: Scene, options: FieldOptions, *, endless: bool, as_nerf_pytorch: bool = False) -> Sampling:
    """How rays of a scene are sampled. Raises InputError for inverse depth if depths begin at 0, and for --near and --far that
    leave no ray."""
    if options.lindisp and scene.forward_facing:
        raise InputError(
            "--lindisp samples evenly in 1/t, and in normalised device coordinates t begins at 0: give --no_ndc, or "
            "drop --lindisp"
        )
    near, far = (0.0, 1.0) if scene.forward_facing else (scene.near, scene.far)
    if as_nerf_pytorch and scene.extras.get("format") == "NeRF-synthetic":
        near, far = _BLENDER_RANGE
    if (options.near, options.far) != (None, None):
        near, far = asked_range(scene, options, near, far)
    published = options.rvs and options.fine_density == "own"
    union = not published if options.samples_union is None else options.samples_union
    calls = (options.radiance_calls or 0) if options.rvs else 0
    correcting = options.rvs and not calls and options.fine_density == "corrected"
    t_gradients = not correcting if options.place_gradients is None else options.place_gradients
    return Sampling(
        near,
        far,
        options.N_samples,
        calls or options.N_importance,
        options.lindisp,
        endless,
        reparameterized=options.rvs,
        union=union,
        correcting=correcting,
        through_places=t_gradients,
        estimated=calls > 0,
    )


def asked_range(scene: Scene, options: FieldOptions, near: float, far: float) -> tuple[float, float]:
    """Where rays begin and end, t, by --near and --far; near, far: if one of them is not given."""
    flag = f"--near {options.near:g}" if options.near is not None else f"--far {options.far:g}"
    if scene.forward_facing:
        raise InputError(
            f"{flag} is a depth, and rays in normalised device coordinates reach from the nearest content to infinity: give "
            "--no_ndc, or drop the flag"
        )
    near, far = (found if asked is None else asked for asked, found in ((options.near, near), (options.far, far)))
    if near >= far:
        raise InputError(f"{flag} leaves no ray in {scene.name}, where they reach from {near:g} to {far:g}: give another depth")
    return near, far
