"""Training a cloud: the stages of a recipe, epochs that show every view once, steps on a few views."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from datasets.backgrounds import rendering_over
from datasets.scene import Scene, Split
from methods.points.losses import silhouette_loss
from methods.points.options import PointOptions
from methods.points.recipe import MaskFacts, Recipe, Stage, Start
from methods.points.run import PointRun, cloud_from, cloud_state, random_numbers, start_run
from models.points import PointCloud
from settings.errors import InputError
from system import ranks
from taichi_kernels.photometric import photometric_loss
from training import distributed
from training.run import HistoryRow
from training.run_state import check_optimizer
from training.task import Task
from training.validation import mean_psnr

_EVALUATIONS = 20  # validation passes over a whole run, besides those at the ends of stages


class PointTask(Task):
    """The training of a cloud by a recipe. Everything random comes from the seed and the number of the epoch or the stage."""

    run: PointRun
    options: PointOptions
    order: list[int] | None = None  # of the epoch's views
    unit, row_unit, remedy = "view", "epoch", "lower --lr1 or --lr2"

    def __init__(
        self,
        scene: Scene,
        validation: Split,
        options: PointOptions,
        recipe: Recipe,
        *,
        cloud: PointCloud | None = None,
        on_start: Callable[[Start], None] | None = None,
    ):
        """cloud: to begin with instead of the recipe's initial one; on_start: called with the start of a fresh run."""
        self.scene, self.validation, self.options, self.recipe = scene, validation, options, recipe
        self.first_cloud, self.on_start = cloud, on_start
        self.cameras = scene.train.cameras
        self.over_black = [scene.train.over_black(view) for view in range(len(scene.train))]  # computed once, not in every step
        self.stage_begun: int | None = None  # the stage of the present optimizer
        self.last = False  # whether the present epoch is the last one of its stage

    def start(self) -> None:
        self.run = start_run(self.scene, self.options, self.recipe, self.first_cloud, self.on_start)
        self._choose_views()

    def restore(self, state: dict) -> None:
        if self.options.epochs != state["options"]["epochs"]:
            state = self._lengthened(state)
        self.run = PointRun.resumed(state, self.recipe, len(self.scene.train))
        self._choose_views()
        if self.run.epoch or self.run.views_done:  # otherwise the next stage makes its own
            self._begin_stage()
            check_optimizer(state["optimizer"], self.optimizer)
            self.optimizer.load_state_dict(state["optimizer"])

    def _lengthened(self, state: dict) -> dict:
        """The state of a run that goes on with a larger --epochs. Stages that are done keep their lengths; a run that had ended
        goes on in its last stage. Raises InputError if the epochs are fewer than the recipe's own were."""
        stages, stage, done = self.recipe.stages, state["stage"], len(state["history"])
        if done > self.recipe.epochs or (stage < len(stages) and state["epoch"] > stages[stage].epochs):
            raise InputError(
                f"--epochs {self.options.epochs} is fewer than this run began with, of which {done} are done: "
                "give more, or --no_reload to start anew"
            )
        if stage < len(stages) or done == self.recipe.epochs:
            return state
        in_last = sum(row["stage"] == stages[-1].name for row in state["history"])
        last = replace(stages[-1], epochs=in_last + self.recipe.epochs - done)
        self.recipe = replace(self.recipe, stages=(*stages[:-1], last))
        return state | {"stage": len(stages) - 1, "epoch": in_last, "finished": False}

    def _choose_views(self) -> None:
        self.views = views_to_train(self.scene, self.run.masks)
        all_views = len(self.views) == len(self.scene.train)
        self.seen = self.scene if all_views else replace(self.scene, train=self.scene.train.subset(self.views), carving=None)

    def state(self) -> dict:
        return self.run.state()

    def warm_up(self) -> None:
        cloud = self.run.cloud
        few = cloud.selected(torch.arange(min(cloud.point_count(), 64), device=cloud.positions.device))
        for few.use_sh in (False, True):
            image, _ = few.composite(self.cameras, 0)
            photometric_loss(image, self.scene.train.picture(0, self.scene.background).to(image.device))[0].backward()
        _optimizer(few, self._stage).step()  # the first optimizer of a process loads much of Torch
        with torch.no_grad():
            few.render(self.cameras, 0)

    # --- stages

    @property
    def _stage(self) -> Stage:
        return self.recipe.stages[min(self.run.stage, len(self.recipe.stages) - 1)]

    @property
    def stage(self) -> str:
        return self._stage.name

    @property
    def window(self) -> int:
        return self._stage.window

    def prepare(self) -> bool:
        if self.run.views_done == 0 and self.run.epoch == 0:
            while self._stage.epochs == 0:
                self.run.stage += 1
        if self.stage_begun == self.run.stage:
            return False
        if self._stage.change:
            self._change_cloud()
        self._begin_stage()
        return True

    def _change_cloud(self) -> None:
        run, change = self.run, self._stage.change
        if ranks.first() and change:
            run.model = change(run.cloud, self.seen, self.options, random_numbers(self.options.seed, 1 + run.stage))
        if ranks.count() > 1:
            run.model = cloud_from(distributed.broadcast(cloud_state(run.model)), run.cloud.positions.device)

    def _begin_stage(self) -> None:
        self.run.cloud.use_sh = self._stage.use_sh
        self.optimizer, self.stage_begun = _optimizer(self.run.cloud, self._stage), self.run.stage

    def end_stage(self) -> None:
        self.last = True

    # --- epochs

    @property
    def _epochs_done(self) -> int:
        return len(self.run.history)

    @property
    def _epochs_left(self) -> int:
        return sum(stage.epochs for stage in self.recipe.stages[self.run.stage :]) - self.run.epoch

    @property
    def done(self) -> int:
        return self._epochs_done * len(self.views) + self.run.views_done

    @property
    def total(self) -> int:
        return (self._epochs_done + self._epochs_left) * len(self.views)

    @property
    def steps(self) -> int:
        batch = self.options.batch_views
        return self._epochs_done * math.ceil(len(self.views) / batch) + math.ceil(self.run.views_done / batch)

    @property
    def position(self) -> str:
        return f"epoch {self._epochs_done + 1} ({self.stage})"

    @property
    def epoch_done(self) -> bool:
        return self.run.views_done == len(self.views)

    def train_error(self) -> float:
        return self.run.squared / len(self.views)

    def validation_psnr(self) -> float | None:
        every = max(1, round(self.recipe.epochs / _EVALUATIONS))
        due = (self._epochs_done + 1) % every == 0 or self.last or self.run.epoch + 1 == self._stage.epochs
        return mean_psnr(self.run.cloud, self.validation, self.scene.background) if due and len(self.validation) else None

    def row_figures(self) -> dict[str, int]:
        return {"points": self.run.cloud.point_count()}

    def row_name(self, row: HistoryRow) -> str:
        return f"epoch {row['epoch']} ({row['stage']})"

    def size_in_words(self) -> str:
        return f"{self.run.cloud.point_count():,} points"

    def end_epoch(self) -> None:
        run, self.last = self.run, self.last or self.run.epoch + 1 == self._stage.epochs
        run.stage, run.epoch = (run.stage + 1, 0) if self.last else (run.stage, run.epoch + 1)
        run.squared, run.views_done, self.last = 0.0, 0, False

    # --- steps

    def step(self) -> float:
        """One step on the mean loss of the next views; returns the sum of the views' mean squared errors in the
        stage's loss."""
        run, stage = self.run, self._stage
        if run.views_done == 0 or self.order is None:
            for group in self.optimizer.param_groups:
                group["lr"] = group["rate"] * stage.decay**run.epoch
            generator = random_numbers(self.options.seed, 1000 + self._epochs_done)
            self.order = torch.randperm(len(self.views), generator=generator).tolist()
        some = [self.views[index] for index in self.order[run.views_done : run.views_done + self.options.batch_views]]
        squared = self._step_on(some)
        run.squared += squared
        run.views_done += len(some)
        return squared

    def _step_on(self, views: list[int]) -> float:
        """A step whose views are divided over the ranks."""
        self.optimizer.zero_grad(set_to_none=True)
        own, squares = distributed.shard(views), 0.0
        for view in own or views[:1]:  # a rank without a view takes one that does not count
            loss, squared = self._loss(view, *self.run.cloud.composite(self.cameras, view))
            (loss * (bool(own) / len(views))).backward()
            squares += float(squared) * bool(own)
        (squares,) = distributed.all_reduce(list(self.run.cloud.parameters()), [squares])
        self.optimizer.step()
        return squares

    def _loss(self, view: int, image: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        stage = self._stage
        if stage.loss == "silhouette":  # everything that is not black is the object, so it is over black for any background
            target = self.over_black[view].to(image.device)
            return silhouette_loss(image, target, self.run.cloud.positions, ridge=stage.ridge)
        background = self.scene.background
        target = self.over_black[view] if background == "black" else self.scene.train.picture(view, background)
        image = rendering_over(image, 1 - alpha, background)
        loss, squared = photometric_loss(image, target.to(image.device), gradient_weight=self.options.lr_s)
        return loss + self._alpha_loss(view, alpha), squared

    def _alpha_loss(self, view: int, alpha: Tensor) -> Tensor | float:
        """For a trusted mask, the mean squared error of alpha; else a small penalty on the mean alpha, which removes points that
        no photograph needs."""
        if self.run.masks.trusted and not self.run.masks.trusted[view]:
            return self.recipe.alpha_penalty * alpha.mean()
        if not self.recipe.alpha_weight:
            return 0.0
        mask = torch.from_numpy(self.scene.silhouettes.masks[view]).to(alpha.device)
        return self.recipe.alpha_weight * ((alpha - mask / 255) ** 2).mean()


def views_to_train(scene: Scene, masks: MaskFacts) -> list[int]:
    """All training views, except those whose pictures were cut out by masks that are not trusted."""
    if not scene.cut_out or not any(masks.trusted):
        return list(range(len(scene.train)))
    return [view for view, good in enumerate(masks.trusted) if good]


def _optimizer(cloud: PointCloud, stage: Stage) -> torch.optim.Adam:
    rates = {
        "positions": stage.position_rate,
        "base": stage.colour_rate,
        "sh": stage.colour_rate if stage.harmonics_rate is None else stage.harmonics_rate,
        "opacity_logits": stage.opacity_rate,
        "log_radii": stage.radius_rate,
    }
    groups = [{"params": [value], "rate": rates[name], "lr": rates[name]} for name, value in cloud.named_parameters()]
    return torch.optim.Adam(groups, fused=True)
