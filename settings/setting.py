"""One setting: a field of an options dataclass, with all that help, checks and checkpoints need to know of it."""

from dataclasses import Field
from dataclasses import field as dataclass_field
from typing import Any, get_args

CODE = "the original point-radiance program"
NERF = "nerf-pytorch"
REFNERF = "Enigmatisms/NeRF, a program of mip-NeRF and Ref-NeRF"


def setting(group: str, default: Any, help_text: str, **story) -> Any:
    """A field with its whole story, kept as metadata.

    unit, source: text; choices: the words allowed; low <= number <= high, number > above; form: the value's placeholder in the
    help; absent: what happens if a value that may be None is not given; paper: the paper recipe's value of a setting that the
    user may leave to the recipe; also: more spellings of the flag, as in ("-s", "--use_scaler"); config files know the long ones.
    needs: (flag, values): it has a meaning only if that flag has one of these values, and is left out of config.txt otherwise.
    about: `model`, a change of it makes another model; `view`, the same, but a finished model may be rendered with another
    value; `run`, it may differ between the parts of one run. path: it is the path of files, whose content is compared instead.
    may_grow: a run may go on with a larger number than it began with.
    """
    blank = {
        "unit": "",
        "source": "",
        "choices": (),
        "low": None,
        "above": None,
        "high": None,
        "form": "",
        "absent": "",
        "paper": None,
        "also": (),
        "needs": None,
        "about": "model",
        "path": False,
        "may_grow": False,
    }
    unknown = story.keys() - blank
    if unknown:
        raise TypeError(f"a setting has no {', '.join(sorted(unknown))}")
    return dataclass_field(default=default, metadata=blank | {"group": group, "help": help_text} | story)


def method_word(name: str) -> Any:
    """The field `method` of a method's options."""
    return setting("method", name, "what represents the scene", form="NAME")


def protocol_word(default: str | None, absent: str = "") -> Any:
    """The field `protocol`, with a method's own default."""
    return setting(
        "method",
        default,
        "how a result is judged: validation views 15 to 37 at 400 px on black (paper), or all test "
        "views at their stored size on white (standard), or at 1, 1/2, 1/4 and 1/8 of it (multiscale)",
        choices=("paper", "standard", "multiscale"),
        about="run",
        absent=absent,
    )


def plain_type(field: Field) -> type:
    """The plain type of a setting: bool, int, float or str."""
    declared: Any = field.type
    return next((part for part in get_args(declared) if part is not type(None)), declared)
