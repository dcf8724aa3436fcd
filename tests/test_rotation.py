"""The rotation trick: exact values, and gradients that turn with the latent."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from vocable.quantizers.estimators import rotation, straight_through
from vocable.quantizers.rvq import ema_rvq, factorized_rvq
from vocable.quantizers.vq import EMAVQ, FactorizedVQ


def random_latent(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradient(value: Tensor, z: Tensor, upstream: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    out = rotation(value, z)
    assert torch.equal(out, value)
    return torch.autograd.grad((out * upstream).sum(), z)[0]


def test_a_quarter_turn_in_the_plane():
    """z is 2 to the right, its entry 3 up: a gradient along the entry comes out along z."""
    value, z = (torch.tensor(v).view(1, 2, 1) for v in ([0.0, 3.0], [2.0, 0.0]))
    along, across = (torch.tensor(v).view(1, 2, 1) for v in ([0.0, 1.0], [1.0, 0.0]))
    assert gradient(value, z, along).flatten().tolist() == pytest.approx([1.5, 0.0], abs=1e-6)
    assert gradient(value, z, across).flatten().tolist() == pytest.approx([0.0, -1.5], abs=1e-6)


def test_lengths_and_angles():
    """The gradient's length is scaled by |value| / |z|; its angle to z is what it was to the value."""
    value, z, upstream = (random_latent(3, 8, 25, seed=i) for i in range(3))
    got = gradient(value, z, upstream)
    scale = value.norm(dim=1) / z.norm(dim=1)
    torch.testing.assert_close(got.norm(dim=1), upstream.norm(dim=1) * scale)
    cosine = torch.cosine_similarity
    torch.testing.assert_close(cosine(got, z), cosine(upstream, value), atol=1e-5, rtol=1e-4)
    # what neither vector spans is scaled, not turned
    basis = torch.linalg.qr(torch.stack([value[0, :, 0], z[0, :, 0]], 1)).Q
    rest = torch.eye(8) - basis @ basis.T
    torch.testing.assert_close(rest @ got[0, :, 0], scale[0, 0] * (rest @ upstream[0, :, 0]))


def test_equals_vector_quantize_pytorch():
    peer = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    value, z, upstream = (random_latent(40, 8, seed=i) for i in range(3))
    theirs = z.clone().requires_grad_()
    out = peer.rotate_to(theirs, value)
    (expected,) = torch.autograd.grad((out * upstream).sum(), theirs)
    got = gradient(value[..., None], z[..., None], upstream[..., None])[..., 0]
    torch.testing.assert_close(value, out, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_without_a_direction_it_is_straight_through():
    value, upstream = random_latent(1, 4, 3), random_latent(1, 4, 3, seed=1)
    assert torch.equal(gradient(value, torch.zeros(1, 4, 3), upstream), upstream)
    assert torch.equal(gradient(torch.zeros(1, 4, 3), value, upstream), upstream)
    opposite = gradient(-2 * value, value, upstream)
    assert opposite.isfinite().all()
    torch.testing.assert_close(gradient(value, value, upstream), upstream)


@pytest.mark.parametrize("kind", [EMAVQ, FactorizedVQ])
def test_it_changes_the_gradient_and_nothing_else(kind: type[EMAVQ] | type[FactorizedVQ]):
    plain, turned = (kind(8, 16, estimator=estimator).eval() for estimator in (straight_through, rotation))
    turned.load_state_dict(plain.state_dict())
    z, weights = random_latent(2, 8, 25), random_latent(2, 8, 25, seed=1)
    a, b = (z.clone().requires_grad_() for _ in range(2))
    one, other = plain(a), turned(b)
    assert torch.equal(one.z, other.z)
    assert torch.equal(one.codes, other.codes)
    assert torch.equal(one.loss, other.loss)
    (straight,) = torch.autograd.grad((one.z * weights).sum(), a)
    (rotated,) = torch.autograd.grad((other.z * weights).sum(), b)
    assert not torch.allclose(straight, rotated, atol=1e-3)


def test_a_stack_turns_by_the_chain_rule():
    """What codebook k leaves has the Jacobian (I - R_k) ... (I - R_1); the output is what is not left."""
    torch.manual_seed(0)
    rvq = ema_rvq(4, 3, 8, estimator=rotation).eval()
    layers = [layer for layer in rvq.layers if isinstance(layer, EMAVQ)]
    for k, layer in enumerate(layers):
        layer.embed.copy_(random_latent(8, 4, seed=k) * 0.5**k)
    z = random_latent(1, 4, 1, seed=9)
    left, residual = torch.eye(4), z
    for layer in layers:
        entry = layer.decode(layer.encode(residual))
        turn = jacobian(lambda x, entry=entry: rotation(entry, x), residual).view(4, 4)
        left = (torch.eye(4) - turn) @ left
        residual = residual - entry
    torch.testing.assert_close(jacobian(lambda x: rvq(x).z, z).view(4, 4), torch.eye(4) - left)


@pytest.mark.parametrize("estimator", [straight_through, rotation])
def test_an_encoder_learns_through_it(estimator):
    torch.manual_seed(0)
    encoder = torch.nn.Conv1d(4, 8, 1)
    decoder = torch.nn.Conv1d(8, 4, 1)
    rvq = factorized_rvq(8, 2, 32, 4, dropout=0.0, kmeans_init=True, estimator=estimator).train()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), *rvq.parameters()], 1e-2)
    x = random_latent(8, 4, 40)
    errors = []
    for _ in range(60):
        out = rvq(encoder(x))
        error = (decoder(out.z) - x).pow(2).mean()
        optimizer.zero_grad()
        (error + 0.1 * out.loss).backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0]
    assert not math.isnan(errors[-1])
