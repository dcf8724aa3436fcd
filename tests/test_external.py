import pytest
import torch
from torch import nn

from vocable.quantizers.external import CLASSES, External, external

peer = pytest.importorskip("vector_quantize_pytorch")

CASES = [
    ("VectorQuantize", {"codebook_size": 16}, (16,)),
    ("VectorQuantize", {"codebook_size": 16, "codebook_dim": 4, "use_cosine_sim": True}, (16,)),
    ("VectorQuantize", {"codebook_size": 16, "heads": 2, "separate_codebook_per_head": True}, (16, 16)),
    ("ResidualVQ", {"codebook_size": 16, "num_quantizers": 3}, (16,) * 3),
    ("ResidualVQ", {"codebook_size": (16, 8, 4)}, (16, 8, 4)),
    ("ResidualVQ", {"codebook_size": 16, "num_quantizers": 3, "quantize_dropout": True}, (16,) * 3),
    ("GroupedResidualVQ", {"codebook_size": 16, "num_quantizers": 3, "groups": 2}, (16,) * 6),
    ("SimVQ", {"codebook_size": 16}, (16,)),
    ("ResidualSimVQ", {"codebook_size": 16, "num_quantizers": 3}, (16,) * 3),
    ("FSQ", {"levels": [5, 4, 3]}, (60,)),
    ("FSQ", {"levels": [5, 3], "num_codebooks": 2}, (15, 15)),
    ("ResidualFSQ", {"levels": [5, 3], "num_quantizers": 3}, (15,) * 3),
    ("GroupedResidualFSQ", {"levels": [5, 3], "num_quantizers": 3, "groups": 2}, (15,) * 6),
    ("LFQ", {"codebook_size": 16}, (16,)),
    ("LFQ", {"codebook_size": 16, "num_codebooks": 2}, (16, 16)),
    ("ResidualLFQ", {"codebook_size": 16, "num_quantizers": 3}, (16,) * 3),
    ("GroupedResidualLFQ", {"codebook_size": 16, "num_quantizers": 3, "groups": 2}, (16,) * 6),
]


def random_latent(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_every_class_has_a_case():
    assert {name for name, _, _ in CASES} == set(CLASSES)


@pytest.mark.parametrize(("name", "kwargs", "sizes"), CASES)
def test_encode_decode_and_forward_agree(name, kwargs, sizes):
    torch.manual_seed(0)
    quantizer = external(name, 8, **kwargs).eval()
    z = random_latent(2, 8, 11)
    out, codes = quantizer(z), quantizer.encode(z)
    assert quantizer.codebook_sizes == sizes
    assert out.z.shape == (2, 8, 11)
    assert codes.shape == (2, len(sizes), 11)
    assert codes.dtype == torch.int64
    assert torch.equal(out.codes, codes)
    torch.testing.assert_close(out.z, quantizer.decode(codes), atol=1e-5, rtol=0)
    assert out.loss.ndim == 0
    assert torch.equal(quantizer.module(z.transpose(1, 2))[0].transpose(1, 2), out.z)


@pytest.mark.parametrize(("name", "kwargs", "sizes"), CASES)
def test_trains(name, kwargs, sizes):
    torch.manual_seed(0)
    quantizer = external(name, 8, **kwargs).train()
    z = random_latent(2, 8, 11).requires_grad_()
    out = quantizer(z)
    (out.z.pow(2).sum() + out.loss).backward()
    assert z.grad is not None
    assert z.grad.abs().max() > 0


@pytest.mark.parametrize(("name", "kwargs", "sizes"), [case for case in CASES if "Residual" in case[0]])
def test_fewer_codebooks_are_a_prefix(name, kwargs, sizes):
    torch.manual_seed(0)
    quantizer = external(name, 8, **kwargs).eval()
    z = random_latent(2, 8, 11).requires_grad_()
    k = len(sizes) // 3  # the first residual stage, of every group
    out = quantizer(z, k)
    assert torch.equal(out.codes, quantizer.encode(z)[:, :k])
    assert torch.equal(out.codes, quantizer.encode(z, k))
    assert torch.equal(out.z, quantizer.decode(out.codes))
    assert not torch.equal(out.z, quantizer(z).z)
    (gradient,) = torch.autograd.grad(out.z.sum(), z)
    assert torch.equal(gradient, torch.ones_like(z))


def test_first_residual_stage_of_each_group_comes_first():
    torch.manual_seed(0)
    module = peer.GroupedResidualVQ(dim=8, groups=2, num_quantizers=3, codebook_size=16).eval()
    quantizer = External(module, 8, (16,) * 6).eval()
    z = random_latent(2, 8, 11)
    _, indices, _ = module(z.transpose(1, 2))
    codes = quantizer.encode(z)
    assert torch.equal(codes[:, 0], indices[0, ..., 0])
    assert torch.equal(codes[:, 1], indices[1, ..., 0])
    assert torch.equal(codes[:, 4], indices[0, ..., 2])
    # the codes of one group say nothing of the other's half of the latent
    assert torch.equal(quantizer.decode(codes[:, :1])[:, 4:], torch.zeros(2, 4, 11))


def test_encode_does_not_train():
    quantizer = external("ResidualVQ", 8, num_quantizers=2, codebook_size=16).train()
    state = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.encode(random_latent(2, 8, 50))
    assert all(torch.equal(value, state[name]) for name, value in quantizer.state_dict().items())
    assert quantizer.module.training
    quantizer(random_latent(2, 8, 50))
    assert any(not torch.equal(value, state[name]) for name, value in quantizer.state_dict().items())


def test_autocast_changes_nothing_but_the_dtype():
    quantizer, z = external("ResidualFSQ", 8, levels=[5, 3], num_quantizers=2).eval(), random_latent(2, 8, 40)
    with torch.autocast("cpu", torch.bfloat16):
        out = quantizer(z.bfloat16())
    assert out.z.dtype == torch.bfloat16
    assert torch.equal(out.codes, quantizer.encode(z.bfloat16().float()))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"class_name is 'VQ'; accepted: VectorQuantize, "):
        external("VQ", 8)
    with pytest.raises(ValueError, match="accepted for LFQ: 2"):
        external("LFQ", 8, codebook_size=16, num_codebooks=2).encode(torch.zeros(1, 8, 4), 1)
    with pytest.raises(ValueError, match="separate_codebook_per_head=True"):
        external("VectorQuantize", 8, codebook_size=16, heads=2)
    assert isinstance(external("SimVQ", 8, codebook_size=4).module, nn.Module)
