"""The protocols: on which views a result is measured, and how the figures are named."""

from datasets.scales import at_scales
from datasets.scene import Scene, Split

PROTOCOLS = ("paper", "standard", "multiscale")
PAPER_VIEWS = range(15, 38)  # validation views r_15 ... r_37; in the original program 115-137 of train + val + test
PAPER_WIDTH = 400  # px


def has_paper_views(count: int) -> bool:
    """Whether a validation split of `count` views has all views of protocol `paper`."""
    return count >= PAPER_VIEWS.stop


def paper_indices(ids: list[int]) -> list[int]:
    """Indices of protocol `paper`'s views in a validation split, whose views have the indices `ids` in their file."""
    return [index for index, view in enumerate(ids) if view in PAPER_VIEWS]


def evaluation_views(scene: Scene, protocol: str, *, all_test: bool = False) -> tuple[Split, str]:
    """(views on which a protocol measures, name of the protocol for their figures).

    `paper`: validation views 15 to 37 by their index in the data set, also if only every n-th was loaded; if the data set lacks
    them, or with all_test, all its test views. `standard`: all test views. `multiscale`: all
    test views at 1, 1/2, 1/4 and 1/8 of the size. If views, size or background differ from the
    protocol's own, the name says so in brackets, for example "paper (at 100 px)"; `paper` uses stored colours over black. Raises
    ValueError for another protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}: choose {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}")
    views, notes = scene.test, []
    if protocol == "paper":
        ids = scene.extras.get("val_ids", list(range(len(scene.val))))
        if all_test:
            notes.append(f"all {len(views)} test views")
        elif has_paper_views(scene.extras.get("val_count", len(ids))):
            views = scene.val.subset(paper_indices(ids))
        else:
            notes.append(f"all {len(views)} test views, as there are no validation views 15 to 37")
    skip, width = scene.extras.get("testskip", 1), views.cameras.width
    sizes = views.cameras.count_sizes()
    if skip > 1:
        notes.append(f"{len(views)} views: one in {skip}")
    if width != (PAPER_WIDTH if protocol == "paper" else scene.extras.get("stored_size", (width,))[0]):
        notes.append(f"at {width} px" if sizes == 1 else f"at up to {width} px")
    if sizes > 1:
        notes.append(f"{sizes} sizes")
    if protocol == "paper" and scene.background == "black" and views.alpha is not None and not views.stored_over_black:
        notes.append("colour times alpha")
    if scene.background != ("black" if protocol == "paper" else "white"):
        notes.append(f"on {scene.background}")
    if protocol == "multiscale":
        views, sizes = at_scales(views), scene.train.cameras.count_sizes()
        notes.append("trained at the full size" if sizes == 1 else f"trained at {sizes} sizes")
    return views, protocol + (f" ({'; '.join(notes)})" if notes else "")
