"""--method nerf: radiance fields along rays, and their training."""

from methods import Method
from methods.fields.options import DEFAULTS, GROUPS, FieldOptions

METHOD = Method(
    FieldOptions,
    "a radiance field along rays",
    "methods.fields.learn",
    GROUPS,
    variants={field: ["--field", field] for field in DEFAULTS},
)
