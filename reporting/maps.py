"""Maps of depth and of normals of the test views: one PNG for each view and map, in folders of their own."""

import base64
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from models.rendering import Rendering
from reporting.pictures import colour_map, to_bytes, view_file
from system.files import atomic

DEPTH_COLOURS = "viridis_r"  # perceptually uniform: near is bright
_SHOWN = 4  # views in the report's page


@dataclass
class Maps:
    """The maps of a report: which ones there are, and those that were written."""

    depth_scale: tuple[float, float] | None  # depths at the ends of the colours, world units; None: no maps of depth
    normals: bool
    background: str
    written: dict[str, list[Path]] = field(default_factory=dict)

    def save(self, folder: Path, index: int, view_name: str, rendering: Rendering, proposed: Rendering | None = None) -> None:
        """Writes folder/depth/*.png and folder/normals/*.png of one view, and folder/proposal_normals/*.png of
        `proposed`, if it is given; atomically. Raises CannotWrite."""
        found = {}
        if self.depth_scale is not None:
            found["depth"] = depth_picture(rendering, self.background, *self.depth_scale)
        if self.normals and rendering.normal is not None:
            found["normals"] = normal_picture(rendering, self.background)
        if proposed is not None:
            found["proposal_normals"] = normal_picture(proposed, self.background)
        for name, picture in found.items():
            path = folder / name / view_file(index, view_name)
            with atomic(path) as temporary:
                Image.fromarray(picture).save(temporary, compress_level=4)
            self.written.setdefault(name, []).append(path)

    def remove_older(self, folder: Path) -> None:
        """Removes the maps of an earlier report that this one did not write again."""
        for name in ("depth", "normals", "proposal_normals"):
            for path in (folder / name).glob("*.png"):
                if path not in self.written.get(name, []):
                    path.unlink()

    def html(self) -> Markup:
        """Some of the maps, for the report's page, which load no other file."""
        lines = []
        if self.depth_scale is not None:
            near, far = self.depth_scale
            lines.append(
                Markup('<p class="hint">Depth: bright is near, from {:.2f} to {:.2f} world units.</p>').format(near, far)
            )
        if "normals" in self.written:
            lines.append(Markup('<p class="hint">Normals, in the world: red, green and blue are x, y and z, from -1 to 1.</p>'))
        rows = [Markup('<div class="grid">{}</div>').format(Markup("").join(self._tiles(name))) for name in self.written]
        return Markup("").join([*rows, *lines])

    def _tiles(self, name: str) -> list[Markup]:
        paths = self.written[name]
        some = paths[:: max(1, len(paths) // _SHOWN)][:_SHOWN]
        data = [base64.b64encode(path.read_bytes()).decode("ascii") for path in some]
        tile = Markup('<span class="tile"><img src="data:image/png;base64,{}" alt="{}"></span>')
        return [tile.format(content, f"{path.stem}, {name}") for path, content in zip(some, data, strict=True)]


def depth_picture(rendering: Rendering, background: str, near: float, far: float) -> np.ndarray:
    """Depth as colours, uint8 (H, W, 3), blended with the background by alpha. `near` is the bright end of the scale."""
    assert rendering.depth is not None
    depth = rendering.depth.detach().float().cpu().numpy()
    return _over(colour_map((depth - near) / (far - near), DEPTH_COLOURS), rendering.alpha, background)


def normal_picture(rendering: Rendering, background: str) -> np.ndarray:
    """Normals as colours (n + 1) / 2, uint8 (H, W, 3), blended with the background by alpha."""
    assert rendering.normal is not None
    return _over(to_bytes((rendering.normal + 1) / 2), rendering.alpha, background)


def _over(colours: np.ndarray, alpha: Tensor, background: str) -> np.ndarray:
    fraction = alpha.detach().float().nan_to_num(0).clamp(0, 1).cpu().numpy()[..., None]
    behind = 255.0 if background == "white" else 0.0
    return np.rint(colours.astype(np.float32) * fraction + behind * (1 - fraction)).astype(np.uint8)
