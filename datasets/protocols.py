"""Which views a result is measured on, and what to call them."""

from datasets.scene import Scene, Split

PAPER_VIEWS = range(15, 38)  # validation views r_15 ... r_37; 115-137 of train + val + test in the original
PAPER_WIDTH = 400  # px


def has_paper_views(count: int) -> bool:
    """True where a validation split of so many views holds all that protocol `paper` names."""
    return count >= PAPER_VIEWS.stop


def paper_places(ids: list[int]) -> list[int]:
    """Where protocol `paper`'s views stand in a validation split, given its views' indices in the file."""
    return [place for place, view in enumerate(ids) if view in PAPER_VIEWS]


def evaluation_views(scene: Scene, protocol: str, *, all_test: bool = False) -> tuple[Split, str]:
    """The views that a protocol measures on, and what to call figures that were measured on them.

    `paper`: validation views 15 to 37 by their index in the data set, also where only every n-th was loaded;
    where a data set lacks them, or with all_test, all its test views. `standard`: all test views. The name is the protocol's
    alone where views, size and background are the protocol's own, and otherwise says in brackets what
    differs, as in "paper (at 100 px)"; `paper` puts stored colours over black. Raises ValueError for another protocol.
    """
    if protocol not in ("paper", "standard"):
        raise ValueError(f"unknown protocol {protocol!r}: choose paper or standard")
    views, notes = scene.test, []
    if protocol == "paper":
        ids = scene.extras.get("val_ids", list(range(len(scene.val))))
        if all_test:
            notes.append(f"all {len(views)} test views")
        elif has_paper_views(scene.extras.get("val_count", len(ids))):
            views = scene.val.subset(paper_places(ids))
        else:
            notes.append(f"all {len(views)} test views, as there are no validation views 15 to 37")
    skip, width = scene.extras.get("testskip", 1), views.cameras.width
    sizes = len(set(zip(views.cameras.widths.tolist(), views.cameras.heights.tolist(), strict=True)))
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
    return views, protocol + (f" ({'; '.join(notes)})" if notes else "")
