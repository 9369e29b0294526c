"""Taichi Radiance: learn a scene from photographs, look at it, measure it.

    python main.py --dataname demo
    python main.py --datadir ./nerf_synthetic/ --dataname hotdog --basedir runs/hotdog --recipe paper
    python main.py --method nerf --datadir ./nerf_synthetic/lego
"""

import sys
from dataclasses import asdict
from pathlib import Path

import taichi_kernels  # noqa: F401  sets the environment, before anything loads torch
from settings import cut_off, ranks
from settings.errors import InputError
from settings.files import check_writable
from settings.flags import parse


def main(argv: list[str]) -> int:
    """Run the program with these words; returns the exit code: 0, 2 for a mistake in the input, 75 where SIGTERM or SIGUSR1 cut
    it off (of ranks that stop together, the first one's), 1 where another rank is lost, 130 for a Ctrl-C outside training, which
    saves and reports by itself."""
    name = "main.py" if ranks.first() else f"main.py (rank {ranks.number()})"
    try:
        with cut_off.heard():
            said = run(argv)
        if said:
            print(said)
    except InputError as mistake:
        print(f"{name}: {mistake}", file=sys.stderr)
        return 2
    except ranks.Lost as loss:
        print(f"{name}: {loss}. The last checkpoint, where there is one, is kept, and the same command goes on from there",
              file=sys.stderr)
        return cut_off.EXIT_CODE if cut_off.asked() == "SIGUSR1" else 1  # the others may have left by that signal
    except cut_off.CutOff as signal:
        if not ranks.first() and cut_off.agreed():  # the first rank saves, and speaks for all
            return 0
        print(f"{name}: cut off by {signal}; a training that had begun is saved, and the same command goes on", file=sys.stderr)
        return cut_off.EXIT_CODE
    except KeyboardInterrupt:
        print("main.py: interrupted; the checkpoint of the last whole epoch, if there is one, is kept", file=sys.stderr)
        return 130
    return 0


def run(argv: list[str]) -> str:
    """Train (or load), report, and return the four lines, of several ranks in the first alone. Raises InputError for the user's
    mistakes."""
    options = parse(argv)
    ranks.check()
    if options.device in ("auto", "cuda"):
        ranks.keep_own_gpu()
    # heavy imports after the flags, so that --help and a mistyped flag answer at once
    import datasets
    import methods
    from datasets.protocols import evaluation_views
    from reporting import four_lines, report
    from training import together
    from training.checkpoint import save_weights, weights_size

    if options.render_only and not ranks.first():
        return ""
    device = _start_device(options)
    scene = datasets.load(options)
    evaluation, protocol = evaluation_views(scene, options.protocol, all_test=options.render_test)
    if options.render_factor > 1:
        evaluation, protocol = evaluation.shrunk(options.render_factor), f"{protocol}, shrunk {options.render_factor} times"
    folder = Path(options.basedir).expanduser()
    check_writable(folder)
    with together.joined(device, alone=options.render_only):
        trained, options, own = methods.learn(options, scene, evaluation, folder)
    if not ranks.first():
        return ""
    size = weights_size(trained.model) if options.render_only else save_weights(folder, trained.model)
    result = report(_record(scene, evaluation, protocol, options, folder, trained, size, device, own))
    print(f"protocol: {protocol}")
    print(f"report: {folder / 'report.html'}   pictures: {folder / 'pictures'}   video: {folder / 'orbit.mp4'}")
    return four_lines(result["figures"])


def _start_device(options) -> str:
    import torch

    from taichi_kernels import runtime

    runtime.keep_freed_memory()
    torch.set_flush_denormal(True)  # moments of points that are never seen decay to denormals, which are slow
    try:
        return runtime.init(options.device, options.threads)
    except RuntimeError as problem:
        raise InputError(f"--device {options.device}: {problem}; choose another device, or auto") from problem


def _record(scene, evaluation, protocol, options, folder, run, size, device, own):
    """Everything that the report is made of. Flags are those that the model was made with, not those it is looked at with."""
    from reporting import RunRecord
    from taichi_kernels import runtime
    from training.checkpoint import HOW_IT_IS_SEEN

    made = {k: v for k, v in (run.options or {}).items() if k not in HOW_IT_IS_SEEN}
    as_run = asdict(options) | made | own.pop("options", {}) | ({} if options.render_only else {"ranks": ranks.count()})
    return RunRecord(
        folder=folder, scene_name=scene.name, options=as_run, model=run.model, evaluation=evaluation, protocol=protocol,
        background=scene.background, train_cameras=scene.train.cameras.shrunk(max(options.render_factor, 1)), bounds=scene.bounds,
        render_path=scene.render_path, notes=scene.notes, model_bytes=size, device=device,
        threads=runtime.workers(), seed=as_run["seed"], training_seconds=run.seconds["training"],
        hull_seconds=run.seconds["hull"], compile_seconds=run.seconds["compile"],
        evaluation_seconds=run.seconds["evaluation"], history=run.history, stages=run.stages_in_words(),
        interrupted=run.interrupted, **own,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
