"""Run -> figures: metrics, pictures, video, point cloud, report.json and the report page."""

from typing import Any

from reporting.run_record import RunRecord
from reporting.summary import closing_lines, four_lines

__all__ = ["RunRecord", "closing_lines", "four_lines", "report"]


def report(run: RunRecord) -> dict[str, Any]:
    """Evaluates a run, fills its folder and returns report.json: see `reporting.assemble`."""
    from reporting import assemble  # plots, metrics and video take a second to import; only a report needs them

    return assemble.report(run)
