"""The working size of photographs that have one size or several."""

from collections import Counter
from collections.abc import Sequence

from settings.errors import InputError
from settings.options import SMALLEST_IMAGE, Options

Size = tuple[int, int]  # width, height in px
USUAL_WIDTH = 800  # px, the working width of photographs if no size is given
_ROUNDING = 0.01  # fraction of the largest width or height; sizes that differ less differ by rounding only
_FEW_PIXELS = 4  # the same in px, for small photographs


def shrink_factor(options: Options, full: Sequence[Size], copies: Sequence[int] = ()) -> int:
    """N, for a working size of 1/N of the photographs' sizes `full` (px): 2 with --half_res, else --factor.

    Without --factor it is 1 if the widest photograph is at most 800 px wide; else the whole number for which its width / N is
    nearest to 800 px, the smaller of two. If there are only `copies` at 1/N of the size, it is chosen from their N.
    """
    if options.half_res:
        return 2
    if options.factor is not None:
        return options.factor
    width = max(full)[0]
    whole = (1,) if width <= USUAL_WIDTH else (width // USUAL_WIDTH, width // USUAL_WIDTH + 1)
    return min(sorted(copies or whole), key=lambda n: abs(width / n - USUAL_WIDTH))


def photograph_sizes(options: Options, full: Sequence[Size], copies: Sequence[int] = ()) -> list[Size]:
    """The working size (px) of each photograph, whose sizes are `full`: all are shrunk by one factor.

    That is `shrink_factor`; or --img_s is the width of the widest (0: its own). Sizes are rounded. Raises InputError for an
    --img_s above that width, and for a factor that leaves too few pixels.
    """
    widest = max(full)
    if options.img_s is not None and not options.half_res:
        return sizes_for_width(full, options.img_s or widest[0])
    factor = shrink_factor(options, full, copies)
    small = [(int(width / factor + 0.5), int(height / factor + 0.5)) for width, height in full]
    for size, left in zip(full, small, strict=True):
        if min(left) < SMALLEST_IMAGE:
            raise InputError(
                f"the photographs are {size[0]}x{size[1]} px, and --factor {factor} leaves {left[0]}x{left[1]} of "
                "them: give a smaller one"
            )
    return small


def sizes_for_width(full: Sequence[Size], wanted: int) -> list[Size]:
    """The sizes (px) of photographs after all are shrunk by one factor, with which the widest gets the width `wanted`.

    Sizes are rounded. Raises InputError, about --img_s, if `wanted` is above the widest photograph's width.
    """
    widest = max(full)
    if wanted > widest[0]:
        which = "which are" if len(set(full)) == 1 else "of which the widest is"
        raise InputError(
            f"--img_s {wanted} is larger than the photographs, {which} {widest[0]}x{widest[1]} px: give at most "
            f"{widest[0]}, or 0 for their own size"
        )
    scale = lambda side: max(1, int(side * wanted / widest[0] + 0.5))  # noqa: E731
    return [(scale(width), scale(height)) for width, height in full]


def common_size(full: Sequence[Size], sizes: Sequence[Size]) -> Size | None:
    """The smallest width and the smallest height of the working sizes `sizes`, if the photographs' own sizes `full` differ by
    rounding only (at most 1 % or 4 px in width and in height); None if they differ more."""
    for sides in zip(*full, strict=True):
        if max(sides) - min(sides) > max(_ROUNDING * max(sides), _FEW_PIXELS):
            return None
    return min(width for width, _ in sizes), min(height for _, height in sizes)


def list_of_sizes(sizes: Sequence[Size]) -> str:
    """The sizes and how many photographs have each: "80x60 px (5), 60x80 px (4)"; of many, the smallest and the largest."""
    counts = Counter(sizes).most_common()
    if len(counts) > 4:
        return " to ".join(f"{width}x{height}" for width, height in (min(sizes), max(sizes))) + " px"
    return ", ".join(f"{width}x{height} px ({count})" for (width, height), count in counts)
