"""SemantiCodec's two codebooks (https://arxiv.org/abs/2405.00233): what is said, and what it sounds like."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import flatten, nearest, select, usage
from vocable.quantizers.vq import EMAVQ


class SemanticResidual(Quantizer):
    """z (B, dim + 1, N) to semantic and acoustic codes (B, 2, N), and those to (B, 2 * dim, N).

    The semantic code is the nearest of fixed centroids, k-means of the features in the first `dim` rows. A
    bidirectional LSTM over `segment` frames compares the two for what the centroid has lost, which is the
    acoustic code's. The last row of z is 1 where the signal sounds and 0 in the silence that ends a segment:
    there the LSTM sees -1. Decoded are the acoustic entries above the centroids.

    One code is no use without the other: `num_codebooks` is always 2.
    """

    centroids: Tensor

    def __init__(
        self,
        dim: int,
        semantic_size: int,
        acoustic_size: int = 8192,
        layers: int = 4,
        segment: int = 512,
        decay: float = 0.9,
    ) -> None:
        super().__init__()
        self.dim, self.segment = dim + 1, segment
        self.codebook_sizes = (semantic_size, acoustic_size)
        self.register_buffer("centroids", torch.randn(semantic_size, dim))
        self.lstm = nn.LSTM(2 * dim, 2 * dim, layers, batch_first=True, bidirectional=True)
        self.project = nn.Linear(4 * dim, dim, bias=False)
        self.acoustic = EMAVQ(dim, acoustic_size, decay, kmeans_iterations=0, dead_threshold=0.0)

    def check_num_codebooks(self, num_codebooks: int | None) -> int:
        """2; ValueError for any other number."""
        if num_codebooks is not None and (type(num_codebooks) is not int or num_codebooks != 2):
            raise ValueError(f"num_codebooks is {num_codebooks!r}; accepted: 2, decoding needs both")
        return 2

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        self.check_num_codebooks(num_codebooks)
        semantic, centroids = self._semantic(z)
        acoustic = self.acoustic(self._residual(z, centroids))
        codes = torch.stack([semantic, acoustic.codes[:, 0]], dim=1)
        quantized = torch.cat([acoustic.z, centroids], dim=1)
        return Quantized(quantized, codes, acoustic.loss, usage(codes, self.codebook_sizes))

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        self.check_num_codebooks(num_codebooks)
        semantic, centroids = self._semantic(z)
        return torch.stack([semantic, self.acoustic.search(self._residual(z, centroids))], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        return torch.cat([self.acoustic.look_up(codes[:, 1]), select(self.centroids, codes[:, 0])], dim=1)

    def _semantic(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (B, N) and their centroids (B, dim, N)."""
        codes = nearest(flatten(z[:, :-1]), self.centroids).view(len(z), -1)
        return codes, select(self.centroids, codes)

    def _residual(self, z: Tensor, centroids: Tensor) -> Tensor:
        """What the centroids lack, (B, dim, N), segment after segment."""
        features, sounding = z[:, :-1], z[:, -1:] > 0
        x = torch.where(sounding, torch.cat([features, centroids], dim=1), -1.0)
        # past the last frame a segment goes on in silence
        x = F.pad(x, (0, -x.shape[-1] % self.segment), value=-1.0)
        segments = x.unflatten(-1, (-1, self.segment)).permute(0, 2, 3, 1).flatten(0, 1)
        y = self.project(self.lstm(segments)[0]).unflatten(0, (len(z), -1))
        return y.flatten(1, 2).transpose(1, 2)[..., : z.shape[-1]]
