"""A gain per photograph and channel, learned beside the field: phones choose another exposure and white balance for each."""

import torch
from torch import Tensor, nn

from models.repeatable import mean

_RATE = 0.1  # of the field's step size
_WEIGHT = 1e-3  # of the mean squared logarithm in the loss


class Exposure(nn.Module):
    """Gains exp(g) of V photographs, whose logarithms have a mean of 0 in each channel: other views are shown with the mean gain.

    A photograph is the rendering times its gain, in the files' own colour space.
    """

    rate = _RATE

    def __init__(self, views: int):
        super().__init__()
        self.log_gains = nn.Parameter(torch.zeros(views, 3))

    def forward(self, views: Tensor) -> Tensor:
        """The gains (R, 3) of views (R,); differentiable."""
        return (self.log_gains - self.log_gains.mean(0))[views].exp()

    def penalty(self) -> Tensor:
        """What the gains add to the loss, so that they stay near 1."""
        return _WEIGHT * mean(self.log_gains**2)
