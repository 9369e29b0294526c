"""The normals of the last proposal's density: what proposals have learned of the surfaces."""

import torch

from models.normals import density_normals
from models.proposal_field import ProposalField
from models.proposed_field import ProposedField
from models.ray_model import RayModel
from models.rays import Rays
from models.volume import RayRendering
from taichi_kernels.compositing import composite

_AT_ONCE = 4096  # rays that are rendered at a time


class ProposalNormals(RayModel):
    """The last proposal of a field as a model of its own: black, with its transmittance and normals, and without depth."""

    def __init__(self, model: ProposedField):
        super().__init__(model.ndc)
        self.sampler, self.pixel, self.chunk = model.sampler, model.pixel, min(model.chunk, _AT_ONCE)

    def describe(self) -> str:
        """The model in a few words."""
        return "the last proposal"

    @torch.no_grad()
    def render_rays(self, rays: Rays, *, with_normal: bool = False) -> RayRendering:
        """Transmittance and, if wanted, normals of rays in the model's coordinates."""
        span = self.sampler.span(rays)
        hit = torch.nonzero(span.far > span.near)[:, 0]
        some, field = rays[hit], self.sampler.fields[-1]
        assert isinstance(field, ProposalField)
        proposal = self.sampler(some, span[hit])[1][-1]
        colour, transmittance = torch.zeros_like(rays.origins), torch.ones_like(rays.direction_norms)
        normals = proposal.densities.new_zeros(*proposal.intervals.size, 3)
        if with_normal:
            normals = density_normals(field, some.middles(proposal.intervals.t), ndc=self.ndc).view_as(normals)
        ends = proposal.intervals.ends()
        found = composite(proposal.densities, normals, *ends, lengths=some.direction_norms, depth=False)
        transmittance[hit] = found.transmittance
        normal = colour.index_copy(0, hit, found.colour)
        return RayRendering(colour, transmittance, torch.zeros_like(transmittance), normal if with_normal else None)
