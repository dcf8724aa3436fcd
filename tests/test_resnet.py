"""The residual and attention blocks against their formulas."""

import torch
from torch.nn import functional as F

from vocable.codecs.backbones.resnet import AttnBlock, ResnetBlock


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """Every parameter random, so that a norm's weight and bias count too."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


@torch.no_grad()
def test_resnet_block_is_its_formula() -> None:
    torch.manual_seed(0)
    block, x = lively(ResnetBlock(64)), torch.randn(2, 64, 9)
    y = x
    for i in (1, 2):
        weight, bias = block.get_parameter(f"norm{i}.weight"), block.get_parameter(f"norm{i}.bias")
        groups = y.reshape(2, 32, -1)
        spread = (groups.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        y = ((groups - groups.mean(-1, keepdim=True)) / spread).view_as(y) * weight[:, None] + bias[:, None]
        y = y * y.sigmoid()
        y = F.conv1d(
            y, block.get_parameter(f"conv{i}.weight"), block.get_parameter(f"conv{i}.bias"), padding=1
        )
    torch.testing.assert_close(block(x), x + y, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_attention_is_softmax_over_all_frames() -> None:
    torch.manual_seed(0)
    block, x = lively(AttnBlock(64)), torch.randn(2, 64, 9)
    y = block.get_submodule("norm")(x)
    q, k, v = (block.get_submodule(name)(y) for name in "qkv")
    weights = (torch.einsum("bcn,bcm->bnm", q, k) / 8).softmax(-1)
    out = block.get_submodule("proj_out")(torch.einsum("bnm,bcm->bcn", weights, v))
    torch.testing.assert_close(block(x), x + out, rtol=1e-4, atol=1e-4)


def test_dropout_is_for_training_only() -> None:
    block, x = ResnetBlock(32, dropout=0.5), torch.randn(1, 32, 20)
    assert not torch.equal(block.train()(x), block(x))
    assert torch.equal(block.eval()(x), block(x))
