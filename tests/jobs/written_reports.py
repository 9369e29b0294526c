"""Reports of runs, as a job leaves them."""

import json

REPORT = {
    "figures": {
        "psnr_db": 30.0,
        "psnr_text": "30.00",
        "ssim": 0.9,
        "training_seconds": 10.0,
        "fps": 50.0,
        "model_bytes": 2 << 20,
        "points": 1000,
        "hull_iou": None,
    },
    "run": {"interrupted": False},
    "protocol": {"name": "paper"},
}


def leave_report(folder, **figures):
    """A whole report in the folder, with these figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(REPORT | {"figures": REPORT["figures"] | figures}))
