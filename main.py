"""Taichi Radiance: learn a scene from photographs, look at it, measure it.

python main.py --dataname demo
python main.py --datadir ./nerf_synthetic/ --dataname hotdog --basedir runs/hotdog --recipe paper
python main.py --method nerf --datadir ./nerf_synthetic/lego
"""

from system import console, signals

if __name__ == "__main__":
    signals.install()  # before anything that takes time
    console.keep_open()

import os
import sys
from pathlib import Path

import taichi_kernels  # noqa: F401  sets the environment, before anything loads torch
from methods.command_line import parse
from settings.errors import InputError
from settings.options import as_dict, made_with
from system import ranks, run_lock, startup
from system.files import check_writable, writing_into


def main(argv: list[str]) -> int:
    """Run the program with these words; returns the exit code: 0, 2 for a mistake in the input, 75 if SIGTERM, SIGUSR1 or
    SIGHUP stopped it (of ranks that stop together, the first one's), 130 for Ctrl-C, 1 if another rank is lost."""
    with signals.handled():
        return _ended(argv)


def _ended(argv: list[str]) -> int:
    name = "main.py" if ranks.first() else f"main.py (rank {ranks.number()})"
    try:
        run(argv)
        if not signals.interrupted() or not ranks.first():
            return 0
        print(f"{name}: interrupted. Progress is saved; run the same command again to continue", file=sys.stderr)
        return signals.INTERRUPTED
    except InputError as mistake:
        if os.environ.get("RADIANCE_TRACEBACK"):  # for finding errors of the program
            raise
        print(f"{name}: {mistake}", file=sys.stderr)
        return 2
    except ranks.Lost as loss:
        print(f"{name}: {loss}. The last checkpoint, if any, is kept; run the same command again to resume", file=sys.stderr)
        return signals.EXIT_CODE if signals.requested() == "SIGUSR1" else 1  # the others may have left by that signal
    except signals.StopRequested as signal:
        if not ranks.first() and signals.stopping_together():  # the first rank saves, and speaks for all
            return 0
        print(f"{name}: {signals.STOPPED} {signal}. Progress is saved; run the same command again to continue", file=sys.stderr)
        return signal.exit_code


def run(argv: list[str]) -> None:
    """Train (or load), report, and print the closing lines, on the first rank alone. Raises InputError for the user's
    mistakes, and StopRequested if the program is told to stop."""
    options = parse(argv)
    ranks.check()
    if options.device in ("auto", "cuda"):
        ranks.keep_own_gpu()
    if not ranks.first():
        if not options.render_only:
            _learn_and_report(options)
        return
    folder = _folder(options)
    check_writable(folder)
    with run_lock.held(folder), writing_into(folder):
        _learn_and_report(options)


def _folder(options) -> Path:
    return Path(options.basedir).expanduser()


def _learn_and_report(options) -> None:
    startup.import_libraries()
    import datasets
    import methods
    from datasets.protocols import evaluation_views
    from reporting import closing_lines, report
    from training import distributed
    from training.checkpoint import save_weights, weights_size

    device = startup.start_device(options.device, options.threads)
    signals.check()
    scene = datasets.load(options)
    signals.check()
    evaluation, protocol = evaluation_views(scene, options.protocol, all_test=options.render_test)
    if options.render_factor > 1:
        evaluation, protocol = evaluation.shrunk(options.render_factor), f"{protocol}, shrunk {options.render_factor} times"
    folder = _folder(options)
    with distributed.joined(device, alone=options.render_only):
        trained, options, own = methods.learn(options, scene, evaluation, folder)
    if not ranks.first():
        return
    signals.check()
    size = weights_size(trained.weights()) if options.render_only else save_weights(folder, trained.weights())
    run_lock.check(folder)
    result = report(_record(scene, evaluation, protocol, options, folder, trained, size, device, own))
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(closing_lines(result, folder))


def _record(scene, evaluation, protocol, options, folder, run, size, device, own):
    """Everything that the report is made of. Flags are those that the model was made with, not those of this rendering."""
    from reporting import RunRecord
    from taichi_kernels import runtime

    made = made_with(run.options or {}, options)
    as_run = as_dict(options) | made | own.pop("options", {}) | ({} if options.render_only else {"ranks": ranks.count()})
    return RunRecord(
        folder=folder,
        scene_name=scene.name,
        options=as_run,
        model=run.model,
        evaluation=evaluation,
        protocol=protocol,
        background=scene.background,
        antialias=options.antialiased,
        depth_maps=options.render_depth,
        normal_maps=options.render_normal,
        train_cameras=scene.train.cameras.shrunk(max(options.render_factor, 1)),
        bounds=scene.bounds,
        render_path=own.pop("render_path", scene.render_path),
        notes=scene.notes,
        model_bytes=size,
        device=device,
        threads=runtime.workers(),
        seed=as_run["seed"],
        training_seconds=run.seconds["training"],
        setup_seconds=run.seconds["hull"],
        compile_seconds=run.seconds["compile"],
        evaluation_seconds=run.seconds["evaluation"],
        history=run.history,
        stages=run.stages_in_words(),
        interrupted=run.interrupted,
        **own,
    )


if __name__ == "__main__":
    code = main(sys.argv[1:])
    signals.ignore()
    sys.exit(code)
