"""This program's own recipe: opacities and radii are learned, invisible points are removed, points with a large error are split.

What each part brings is measured by benchmarks/recipe.py.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from datasets.scene import Scene
from methods.points.hull import hull_cells, hull_iou, mask_tensors, mean_colours, to_kernel_device
from methods.points.importance import importance
from methods.points.options import PointOptions
from methods.points.recipe import MaskFacts, Recipe, Stage, Start
from methods.points.silhouettes import find_silhouettes
from models.antialiasing import PixelSize
from models.points import SH_COEFFICIENTS, PointCloud, frame_of, shorter_sides
from system import ranks

_ORIGINAL_GRID = 400  # --data_r counts cells of the original's grid
# stages and their fractions of the schedule; the cloud is refined before the last three
_STAGES = (("base colours", 0.15), ("harmonics", 0.15), ("first split", 0.15), ("second split", 0.15), ("last split", 0.4))


@dataclass(frozen=True)
class DefaultRecipe:
    """The recipe's constants; the defaults are the recipe."""

    grid: int = 200  # cells an axis of the scene's box
    steps: int = 4000  # of the whole schedule, however many views there are
    last_rate: float = 0.05  # rates fall to this fraction over the schedule
    points_per_pixel: float = 2.5  # initial points for each pixel that the object covers in a mean view
    max_points: int = 280_000  # 140 bytes each: 37 MB
    radius_pixels: float = 1.5  # initial radius
    radius_rate: float = 0.01  # Adam's step of log radii; 0 keeps them
    opacity: float = 0.88  # initial opacity
    opacity_rate: float = 0.05  # Adam's step of logits; 0 keeps them
    colour_rate: float = 2e-2
    position_rate: float = 1.2e-3  # for a box 4 units wide
    gradient_weight: float = 0.03
    alpha_weight: float = 0.03  # without it, dark surfaces may stay transparent over black
    alpha_penalty: float = 1e-3  # without it, if no mask is trusted, black points may stay opaque before black
    least_shown: float = 0.5  # pixels: a point that fills less than this in every view is removed
    growth: float = 0.2  # points split at a refinement, as a fraction of the points kept
    spread: float = 0.3  # distance of the two halves of a split point from its position, in radii

    def settings(self, options: PointOptions, scene: Scene) -> PointOptions:
        """The options with the recipe's values for this scene; the user's values stay."""
        cameras = scene.train.cameras
        filled = options.filled(
            {
                "splatting_r": 2 * self.radius_pixels / float(shorter_sides(cameras).median()),
                "raster_n": 0,
                "refine_n": 3,
                "lr1": self.colour_rate,
                "lr2": self.position_rate * _box_width(scene) / 4,
                "lrexp": 1.0,
                "lr_s": self.gradient_weight,
                "batch_views": ranks.count(),
            }
        )
        return replace(filled, max_points=filled.max_points or self.max_points)

    def recipe(self, options: PointOptions, scene: Scene) -> Recipe:
        """About `steps` steps in five stages."""
        epochs = max(len(_STAGES), round(self.steps / len(scene.train)))
        decay = self.last_rate ** (1 / epochs)
        stages, done, fraction_done = [], 0, 0.0
        for index, (name, fraction) in enumerate(_STAGES):
            fraction_done += fraction
            length = max(1, round(fraction_done * epochs) - done)
            factor = decay**done * math.sqrt(min(options.batch_views, len(scene.train)))  # a mean over more views is less noisy
            stages.append(
                Stage(
                    name,
                    length,
                    colour_rate=options.lr1 * factor,
                    harmonics_rate=options.lr1 * factor / 2,
                    position_rate=options.lr2 * factor,
                    opacity_rate=self.opacity_rate * factor,
                    radius_rate=self.radius_rate * factor,
                    decay=decay * options.lrexp,
                    use_sh=index > 0,
                    change=self.refine if index and len(_STAGES) - index <= options.refine_n else None,
                    window=max(2, round(epochs / 10)),
                )
            )
            done += length
        return Recipe(
            "default", self.initial_cloud, tuple(stages), PointCloud.with_own_appearance, self.alpha_weight, self.alpha_penalty
        )

    def initial_cloud(self, scene: Scene, options: PointOptions, generator: torch.Generator) -> Start:
        """Points at random positions in the hull that `methods.points.silhouettes` carves, coloured by the mean over the views.

        Their number follows the pixels that the object covers, or, if that is given, is `data_r` of the original's grid cells.
        """
        low, high = scene.bounds
        step = (high - low) / self.grid
        axes = [low[a] + step[a] * (torch.arange(self.grid) + 0.5) for a in range(3)]
        outlines = find_silhouettes(scene, options, generator)
        cells = hull_cells(outlines.views, axes, mask_tensors(outlines.views.masks), margin=0.0, ratio=outlines.ratio).cpu()
        if options.data_r is None:
            pixels = float((scene.train.cameras.widths * scene.train.cameras.heights).double().mean())
            count = int(self.points_per_pixel * outlines.object_fraction * pixels)
        else:
            count = int(options.data_r * len(cells) * (_ORIGINAL_GRID / self.grid) ** 3)
        count = min(max(count, 1000), options.max_points)
        chosen = torch.randperm(len(cells), generator=generator)[torch.arange(count) % len(cells)]
        positions = torch.stack([axes[a][cells[chosen, a]] for a in range(3)], 1)
        positions += (torch.rand(count, 3, generator=generator) - 0.5) * step
        tensors = {
            "positions": positions,
            "base": mean_colours(scene.train, positions, margin=0.0),
            "sh": torch.zeros(count, SH_COEFFICIENTS, 3),
            "opacity_logits": torch.full((count,), math.log(self.opacity / (1 - self.opacity))),
            "log_radii": torch.full((count,), math.log(options.splatting_r)),
        }
        cloud = PointCloud.ordered(
            {name: to_kernel_device(value) for name, value in tensors.items()},
            radius=options.splatting_r,
            profile=options.profile,
            max_layers=options.raster_n,
            sh_per=options.sh_per,
            frame=frame_of(scene.train.cameras),
            pixel=PixelSize.of(scene.train.cameras, positions.mean(0)),
        )
        as_they_are = outlines.views is scene.train and outlines.ratio == 1
        iou = None if as_they_are else hull_iou(cells, scene, axes, scene.train.alpha, margin=0.0)
        facts = MaskFacts(outlines.trusted, outlines.note, iou)
        return Start(cloud, facts, outlines.views, outlines.seconds)

    def refine(self, cloud: PointCloud, scene: Scene, options: PointOptions, generator: torch.Generator) -> PointCloud:
        """Remove the points that hardly show in any view and split those with the largest error.

        A point of opacity o splits in two of opacity 1 - sqrt(1 - o), which together cover as much as it did. They are moved
        apart in a random direction.
        """
        shown = importance(cloud, scene)
        kept = torch.nonzero(shown.most >= self.least_shown)[:, 0]
        if not len(kept):
            return cloud
        splits = min(int(self.growth * len(kept)), max(options.max_points - len(kept), 0))
        split = kept[shown.error[kept].topk(splits)[1]]
        tensors = {name: value.clone() for name, value in cloud.tensors().items()}
        offset = torch.randn(splits, 3, generator=generator).to(split.device)
        offset *= (self.spread * _world_radii(cloud, scene, split))[:, None]
        opacity = 1 - torch.sqrt(1 - cloud.opacities().detach()[split])
        tensors["opacity_logits"][split] = torch.logit(opacity, eps=1e-6)
        halves = {name: value[split].clone() for name, value in tensors.items()}
        halves["positions"] += offset
        tensors["positions"][split] -= offset
        together = {name: torch.cat([tensors[name][kept], halves[name]]) for name in tensors}
        return PointCloud.ordered(together, **cloud.settings())


def _box_width(scene: Scene) -> float:
    return float((scene.bounds[1] - scene.bounds[0]).max())


def _world_radii(cloud: PointCloud, scene: Scene, points: Tensor) -> Tensor:
    """Size in the world of the points' screen radii, at their mean distance from the training cameras."""
    cameras = scene.train.cameras
    centre = cloud.positions.detach().mean(0).cpu()
    distance = (cameras.centers - centre).norm(dim=1).mean()
    pixels = cloud.radii(float(shorter_sides(cameras).median()) / 2).detach()[points]
    return pixels * float(distance / cameras.intrinsics[:, 0, 0].mean())
