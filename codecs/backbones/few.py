"""Convolutions that give few steps, as one product of matrices.

A chunk of a stream is a frame or two. A convolution's own code first brings all of its weights into another
order, which takes longer than the work; a product reads them where they are.
"""

from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 64  # over the batch; measured: with more, a convolution is as fast


def are_few(conv: nn.Conv1d | nn.ConvTranspose1d, x: Tensor, steps: int) -> bool:
    """Whether a product gives `steps` steps of each item of x faster; never for an open size in a graph."""
    if x.device.type != "cpu" or conv.groups > 1 or conv.dilation != (1,):
        return False
    count = x.shape[0] * steps
    return isinstance(count, int) and count <= STEPS


def convolve(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """What an undilated `conv` without padding gives of x (B, C_in, T)."""
    frames = x.unfold(2, conv.kernel_size[0], conv.stride[0]).transpose(1, 2).flatten(2)
    return F.linear(frames, conv.weight.flatten(1), conv.bias).transpose(1, 2)


def transposed(conv: nn.ConvTranspose1d, x: Tensor) -> Tensor:
    """What an undilated transposed `conv` without padding gives of x (B, C_in, N)."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    frames = (x.transpose(1, 2) @ conv.weight.flatten(1)).transpose(1, 2)
    size = (1, (x.shape[2] - 1) * stride + kernel)
    y = F.fold(frames, size, (1, kernel), stride=(1, stride))[:, :, 0]
    return y if conv.bias is None else y + conv.bias[:, None]
