"""points.ply: the learned points as an artifact of the report."""

from pathlib import Path

from markupsafe import Markup

from models.points import PointCloud
from reporting.artifacts import Artifact, line
from reporting.ply import save_ply


class CloudArtifact(Artifact):
    """A cloud, saved by `reporting.ply.save_ply` with the settings that rebuild it."""

    key, file, title = "points", "points.ply", "Point cloud"

    def __init__(self, cloud: PointCloud):
        self.cloud = cloud

    def save(self, folder: Path) -> None:
        """Writes points.ply, atomically. Raises CannotWrite."""
        cloud, tensors = self.cloud, self.cloud.tensors()
        save_ply(
            folder / self.file,
            tensors["positions"],
            tensors["base"],
            tensors["sh"],
            opacity=None if cloud.opacity_logits is None else cloud.opacities(),
            radius=None if cloud.log_radii is None else tensors["log_radii"].cpu().exp(),
            settings=cloud.settings(),
        )

    def html(self, folder: Path) -> Markup:
        """A line on the file's content and the programs that open it."""
        return line(
            f"{self.file} in the run's folder holds {self.cloud.describe()} as binary PLY. Viewers of point clouds open it; "
            "--ft_path starts a run from it."
        )
