"""Whether the options make sense, value by value and together."""

import math
from dataclasses import fields

from settings.errors import InputError
from settings.masks import parse_corruption
from settings.options import Options, kind

# whose flags a group holds
_METHOD_OF = {"masks": "points", "points": "points", "optimisation": "points", "rays": "nerf", "network": "nerf"}
_OF_ALL = ("maskdir", "no_masks", "seed")
LARGEST_WHOLE = 2**31 - 1  # what kernels count with
SMALLEST_IMAGE = 8  # px; below this the gradient loss has hardly a neighbour to compare with


def validate(options: Options) -> None:
    """Raise InputError, naming the flag, where a value is out of range or two flags contradict each other."""
    for setting in fields(Options):
        value = getattr(options, setting.name)
        if value is not None or setting.default is not None:
            _check_type(setting, value)
            _check_value(setting, value)
    parse_corruption(options.mask_corruption)
    try:
        _ = options.checkpoint_interval
    except (ValueError, OverflowError):
        raise InputError(f"--i_weights {options.i_weights}: give a number of steps, 500, or of minutes, 10m") from None
    _check_method(options)
    _check_together(options)


def owner(setting, options: Options) -> tuple[str, str]:
    """The option whose value decides whether a flag means anything, and which value that is; two empty words where none does."""
    group = setting.metadata["group"]
    if setting.name in _OF_ALL or group not in _METHOD_OF:
        return "", ""
    if options.method == _METHOD_OF[group] == "nerf" and group == "network":
        return "field", "mlp"
    return "method", _METHOD_OF[group]


def heeded(setting, options: Options) -> bool:
    """Whether a run with these options looks at a flag."""
    name, value = owner(setting, options)
    return not name or getattr(options, name) == value


def _check_method(options: Options) -> None:
    """Flags that the run would not look at are refused."""
    for setting in fields(Options):
        if getattr(options, setting.name) != setting.default and not heeded(setting, options):
            name, value = owner(setting, options)
            raise InputError(
                f"--{setting.name} is about --{name} {value}, and this is --{name} {getattr(options, name)}: drop the flag")


def _check_together(options: Options) -> None:
    size, name = options.img_s, options.dataname
    contradictions = {
        "no scene was named: give --datadir FOLDER, or --dataname demo for the built-in scene":
            options.datadir is None and name is None and options.dataset_type != "demo",
        f"--dataset_type demo is the built-in scene, not {name}: drop one of the two flags":
            options.dataset_type == "demo" and name not in (None, "demo"),
        "--half_res and --img_s both set the image size: give one of them":
            options.half_res and size is not None,
        "--factor, --img_s and --half_res each set the image size: give one of them":
            options.factor != Options.factor and (options.half_res or size is not None),
        f"--img_s {size} is too small: give {SMALLEST_IMAGE} px or more, or 0 for the stored size":
            size is not None and 0 < size < SMALLEST_IMAGE,
        "--resume continues a run and --no_reload starts one anew: give one of them":
            options.resume and options.no_reload,
        "--render_only needs a model and --no_reload leaves none: drop it, or name a model by --ft_path":
            options.render_only and options.no_reload and options.ft_path is None,
        "--render_test says what --render_only renders: give --render_only too, or drop it":
            options.render_test and not options.render_only,
        "--posFirst and --shAlone are stages of the paper's recipe: give --recipe paper, or drop them":
            options.recipe != "paper" and "YES" in (options.posFirst, options.shAlone),
        "--ridgePosition pulls points in the --posFirst stage only: give --posFirst YES, or drop it":
            options.ridgePosition > 0 and options.posFirst != "YES",
        "--no_masks trains without masks, so there are none to damage, to read or to weigh: drop the other flag":
            options.no_masks and (options.pc_jitter_amount > 0 or options.filter_consistency_ratio is not None
                                  or options.mask_corruption is not None or options.maskdir is not None),
        "--recipe is about --method points: drop it": options.method != "points" and options.recipe != "default",
        "--field is about --method nerf: drop it": options.method != "nerf" and options.field != Options.field,
        "--N_rand 0 lets the samples decide, which is not for --field mlp: give a number of rays":
            options.field == "mlp" and options.N_rand == 0,
        "--rvs draws the fine network's samples, and there is no fine network: give --N_importance N, or --radiance_calls N":
            options.rvs and not options.N_importance and not options.radiance_calls,
        "--fine_density is about --rvs: give it too, or drop the flag":
            options.fine_density != Options.fine_density and not options.rvs,
        "--samples_union and --lrate_coarse are about two networks, and there is one alone: give --N_importance N":
            not options.N_importance and not options.rvs
            and (options.samples_union is not None or options.lrate_coarse is not None),
        "--place_gradients is about --rvs: give it too, or drop the flag":
            options.place_gradients is not None and not options.rvs,
        "--place_gradients False leaves the coarse network nothing to learn by: drop one of the flags":
            options.place_gradients is False and options.rvs and options.fine_density == "own",
        "--distortion is for --field grid and voxels: drop it": options.field == "mlp" and options.distortion is not None,
        "--radiance_calls of --field mlp are places of --rvs, in place of --N_importance: give the one flag, and not the other":
            options.field == "mlp" and options.radiance_calls is not None and (not options.rvs or options.N_importance > 0),
        "--samples_union, --fine_density and --place_gradients are about the fine network's density, which --radiance_calls does "
        "without: drop them":
            options.rvs and bool(options.radiance_calls) and (
                (options.samples_union, options.place_gradients) != (None, None) or options.fine_density != Options.fine_density),
        "--two_estimates is for --field grid and voxels: drop it": options.field == "mlp" and options.two_estimates,
        "--two_estimates is about --radiance_calls: give their number, or --field voxels":
            options.two_estimates and (options.radiance_calls == 0 or (options.field, options.radiance_calls) == ("grid", None)),
        "--render_factor is a preview's size: give --render_only too, or drop it":
            options.render_factor > 0 and not options.render_only,
        "--no_masks needs --recipe default: the paper's recipe starts from masks":
            options.no_masks and options.recipe == "paper",
    }
    for sentence, wrong in contradictions.items():
        if wrong:
            raise InputError(sentence)


def _check_type(setting, value) -> None:
    wanted = kind(setting)
    allowed = (int, float) if wanted is float else wanted
    if not isinstance(value, allowed) or (isinstance(value, bool) and wanted is not bool):
        raise InputError(f"--{setting.name} {value!r} is not of type {wanted.__name__}")
    if wanted is str and (not value.strip() or not value.isprintable()):
        raise InputError(f"--{setting.name} {value!r} is empty or holds unprintable characters")


def _check_value(setting, value) -> None:
    flag, story = f"--{setting.name} {value}", setting.metadata
    low, above, high = story["low"], story["above"], story["high"]
    if isinstance(value, int) and high is None:
        high = LARGEST_WHOLE
    if story["choices"] and value not in story["choices"]:
        raise InputError(f"{flag} is not known: choose one of {', '.join(story['choices'])}")
    if isinstance(value, (bool, str)):
        return
    inside = ((low is None or value >= low) and (above is None or value > above)
              and (high is None or value <= high))
    if not (inside and math.isfinite(value)):  # in this order: no float holds some whole numbers
        start = f"above {above}" if above is not None else f"of at least {low}"
        end = f" and at most {high}" if high is not None else ""
        raise InputError(f"{flag} is out of range: give a number {start}{end}")
