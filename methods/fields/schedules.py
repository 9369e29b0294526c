"""How the training of a grid field changes with its steps, for the three spaces in which rays are sampled."""

from typing import NamedTuple


class Schedule(NamedTuple):
    """Fractions are of all steps. Steps of marching shrink geometrically from `coarse` times their length to 1."""

    coarse: float = 4.0
    coarse_until: float = 0.1  # fraction
    full_rate_until: float = 0.1  # fraction; from then on the learning rate falls
    threshold: float = 0.007  # optical thickness of a step below which a cell is empty
    distortion: float = 0.0  # without --distortion
    sweep_every: int | None = None  # steps between updates that evaluate all open cells; None: only the first ones do

    def stretch(self, done: float) -> float:
        """How much longer steps of marching are after this fraction of the training."""
        return self.coarse ** max(0.0, 1 - done / self.coarse_until)

    def rate(self, done: float, last: float) -> float:
        """The learning rate after this fraction, of that at the start; `last` at the end."""
        return last ** max(0.0, (done - self.full_rate_until) / (1 - self.full_rate_until))


BOX = Schedule()
NDC = Schedule(distortion=0.01)  # otherwise fog collects before the cameras
UNBOUNDED = Schedule(coarse_until=0.6, full_rate_until=0.6, threshold=0.002, distortion=0.03, sweep_every=64)
NDC_PROPOSALS = Schedule(distortion=0.002)
UNBOUNDED_PROPOSALS = Schedule(full_rate_until=0.6, distortion=0.01)
