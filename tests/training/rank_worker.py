"""One rank of a training, as a program: python rank_worker.py OUT [flags of main.py].

Writes OUT.RANK: the gradients with which the first step was taken, the model, and the training PSNR of every epoch.
"""

import sys
from pathlib import Path

import torch

import datasets
import taichi_kernels  # noqa: F401  before torch
from datasets.protocols import evaluation_views
from methods.command_line import parse
from methods.fields.learn import fit_field
from methods.points.learn import choose_recipe, fit_cloud
from system import ranks
from taichi_kernels import runtime
from training import distributed


def main(out: str, words: list[str]) -> None:
    gradients, original = [], torch.optim.Adam.step

    def step(optimizer, *arguments):
        if not gradients:
            gradients.extend(
                value.grad.clone() for group in optimizer.param_groups for value in group["params"] if value.grad is not None
            )
        return original(optimizer, *arguments)

    torch.optim.Adam.step = step
    options = parse(words)
    runtime.init("cpu", 1)
    scene = datasets.load(options)
    evaluation, _ = evaluation_views(scene, options.protocol, all_test=False)
    folder = Path(options.basedir)
    with distributed.joined("cpu"):
        if options.method == "points":
            recipe, options = choose_recipe(options, scene)
            run = fit_cloud(scene, evaluation, options, recipe, folder)
        else:
            run = fit_field(scene, evaluation, options.complete(), folder)
        if ranks.count() == 2:  # a bit that differs is repaired
            with torch.no_grad():
                next(run.model.parameters()).view(-1)[0] += ranks.number()
            assert not distributed.synchronize(run.model) and distributed.synchronize(run.model)
    left = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in left if "gloo" in name or "tcpstore" in name], left  # what would abort the program as it ends
    torch.save(
        {"gradients": gradients, "model": run.model.state_dict(), "psnr": [h["train_psnr"] for h in run.history]},
        f"{out}.{ranks.number()}",
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
