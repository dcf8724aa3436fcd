import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.quantizers.clusters import smallest
from vocable.quantizers.dropout import PerBatch, PerItem
from vocable.quantizers.rvq import RVQ, ema_rvq, factorized_rvq
from vocable.quantizers.vq import EMAVQ, FactorizedVQ


def random_latent(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ready(rvq: RVQ) -> RVQ:
    """With every codebook set, and none replaced."""
    for layer in rvq.layers:
        if isinstance(layer, EMAVQ):
            layer.inited.fill_(1)
            layer.dead_threshold = 0
    return rvq


@pytest.mark.parametrize("rvq", [ema_rvq(8, 4, 16), factorized_rvq(8, 4, 16, 3)], ids=["ema", "factorized"])
@pytest.mark.parametrize("k", [1, 3, 4, None])
def test_encode_decode_and_forward_agree(rvq, k):
    z = random_latent(3, 8, 25)
    rvq.eval()
    out, codes = rvq(z, k), rvq.encode(z, k)
    assert codes.shape == (3, k or 4, 25)
    assert torch.equal(out.codes, codes)
    assert torch.equal(codes, rvq.encode(z)[:, :k])
    torch.testing.assert_close(out.z, rvq.decode(codes), atol=1e-6, rtol=0)
    assert torch.equal(rvq.encode(z[1:2], k), codes[1:2])
    assert rvq.codebook_sizes == (16,) * 4
    with pytest.raises(ValueError, match="num_codebooks is 5; accepted: 1 to 4"):
        rvq.encode(z, 5)


def test_a_beam_of_every_way_finds_the_closest_sum_with_the_first_nearest_entry():
    rvq, z = ema_rvq(4, 3, 5, beam=125).eval(), random_latent(2, 4, 30)
    entries = rvq.decode(torch.arange(5)[None, None])[0]  # (4, 5)
    first = (z[..., None] - entries[:, None]).square().sum(1).argmin(-1)  # (2, 30)
    every = torch.cartesian_prod(*[torch.arange(5)] * 3)
    sums = rvq.decode(every.T[None])[0]  # (4, 125)
    distances = (z[..., None] - sums[:, None]).square().sum(1)  # (2, 30, 125)
    distances = distances.masked_fill(first[..., None] != every[:, 0], torch.inf)
    found = (z - rvq.decode(rvq.encode(z))).square().sum(1)
    torch.testing.assert_close(found, distances.amin(-1))
    assert torch.equal(rvq.encode(z), every[distances.argmin(-1)].transpose(1, 2))


def test_a_beam_comes_closer_and_fewer_codebooks_are_a_part():
    rvq, z = ema_rvq(16, 6, 32).eval(), random_latent(3, 16, 50)
    errors = []
    for beam in (1, 2, 8):
        rvq.beam = beam
        codes = rvq.encode(z)
        assert torch.equal(rvq.encode(z, 2), codes[:, :2])
        assert torch.equal(rvq.encode(z[1:2]), codes[1:2])
        errors.append((z - rvq.decode(codes)).square().mean().item())
    assert errors[2] < errors[1] < errors[0]
    rvq.beam = 1
    assert torch.equal(rvq._beam_search(z), rvq.encode(z))


def test_a_beam_over_what_is_not_euclidean_is_refused():
    layers = [FactorizedVQ(8, 16, 3), FactorizedVQ(8, 16, 3)]
    with pytest.raises(ValueError, match="beam is 4 over FactorizedVQ; accepted: 1, or more over EMAVQ"):
        RVQ(layers, beam=4)
    with pytest.raises(ValueError, match="beam is 0"):
        ema_rvq(8, 2, 16, beam=0)


def test_equals_dac():
    quantize = pytest.importorskip("dac.nn.quantize")
    torch.manual_seed(0)
    theirs = quantize.ResidualVectorQuantize(32, 6, 64, 8, quantizer_dropout=0.5).eval()
    ours = factorized_rvq(32, 6, 64, 8).eval()
    for mine, other in zip(ours.layers, theirs.quantizers, strict=True):
        assert isinstance(mine, FactorizedVQ)
        for name in ("in_proj", "out_proj"):
            projection, peer = getattr(mine, name), getattr(other, name)
            projection.parametrizations.weight.original0.data.copy_(peer.weight_g)
            projection.parametrizations.weight.original1.data.copy_(peer.weight_v)
            projection.bias.data.copy_(peer.bias)
        mine.codebook.weight.data.copy_(other.codebook.weight)
    a, b = (random_latent(4, 32, 100).requires_grad_() for _ in range(2))
    z, codes, _, commitment, codebook = theirs(a)
    out = ours(b)
    assert torch.equal(out.codes, codes)
    torch.testing.assert_close(out.z, z, atol=1e-5, rtol=0)
    torch.testing.assert_close(out.loss, (0.25 * commitment + codebook) / 6)
    assert torch.equal(ours.encode(b, 3), theirs(a, 3)[1])
    # the decoder's gradient comes back through the chain of projections, as in DAC
    weights = random_latent(4, 32, 100, seed=1)
    (expected,) = torch.autograd.grad((z * weights).sum(), a)
    (gradient,) = torch.autograd.grad((out.z * weights).sum(), b)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_equals_encodec():
    quantization = pytest.importorskip("encodec.quantization")
    torch.manual_seed(0)
    theirs = quantization.ResidualVectorQuantizer(16, 5, 64, kmeans_init=False).eval()
    ours = ema_rvq(16, 5, 64).eval()
    for mine, other in zip(ours.layers, theirs.vq.layers, strict=True):
        mine.load_state_dict(other._codebook.state_dict())
    z = random_latent(3, 16, 100)
    codes = theirs.encode(z, 75).transpose(0, 1)
    assert torch.equal(ours.encode(z), codes)
    torch.testing.assert_close(ours.decode(codes), theirs.decode(codes.transpose(0, 1)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("k", [1, 4])
def test_output_is_straight_through(k):
    rvq = ready(ema_rvq(8, 4, 16)).train()
    z = random_latent(3, 8, 25).requires_grad_()
    (gradient,) = torch.autograd.grad(rvq(z, k).z.sum(), z)
    assert torch.equal(gradient, torch.ones_like(z))


def test_second_codebook_pulls_the_latent():
    """Its commitment loss mean((z - q1 - q2)^2) / 2 has the gradient (z - q1 - q2) / (items * D * N)."""
    z = random_latent(3, 8, 25).requires_grad_()
    rvq = ready(ema_rvq(8, 2, 16)).eval()
    q1 = rvq.decode(rvq.encode(z, 1))
    q12 = rvq.decode(rvq.encode(z))
    (gradient,) = torch.autograd.grad(rvq(z).loss, z)
    second = gradient - (z - q1).detach() / z.numel()
    assert second.abs().max() > 1e-4
    torch.testing.assert_close(second, (z - q12).detach() / z.numel(), atol=1e-7, rtol=1e-4)


def test_loss_is_the_mean_over_codebooks():
    rvq = ready(ema_rvq(8, 3, 16)).eval()
    z = random_latent(3, 8, 25)
    errors = [(z - rvq.decode(rvq.encode(z, k))).pow(2).mean() for k in (1, 2, 3)]
    torch.testing.assert_close(rvq(z).loss, sum(errors) / 3)
    torch.testing.assert_close(rvq(z, 2).loss, sum(errors[:2]) / 2)


def test_kmeans_of_each_codebook_sees_what_is_left():
    torch.manual_seed(0)
    rvq = ema_rvq(8, 4, 16).train()
    z = random_latent(4, 8, 50)
    rvq(z)
    rvq.eval()
    errors = [(z - rvq.decode(rvq.encode(z, k))).pow(2).mean().item() for k in (1, 2, 3, 4)]
    assert all(b < 0.8 * a for a, b in zip([z.pow(2).mean().item(), *errors], errors, strict=False))


def test_dropout_uses_a_uniform_number_of_codebooks():
    torch.manual_seed(0)
    used, counts = PerItem(1.0)(torch.zeros(8000, 1, 1), 4)
    assert used == 4
    assert torch.allclose(counts.bincount(minlength=5)[1:] / 8000, torch.tensor(0.25), atol=0.03)
    drawn = torch.stack([PerItem(0.3)(torch.zeros(2, 1, 1), 4)[1] for _ in range(3000)])
    assert (drawn < 4).float().mean().item() == pytest.approx(0.3 * 3 / 4, abs=0.02)


def test_dropout_draws_what_stands_there_twice_twice_as_often():
    torch.manual_seed(0)
    used, counts = PerItem(0.5, (1, 1, 3))(torch.zeros(8000, 1, 1), 4)
    assert used == 4
    torch.testing.assert_close(
        counts.bincount(minlength=5) / 8000, torch.tensor([0, 1 / 3, 0, 1 / 6, 1 / 2]), atol=0.02, rtol=0
    )
    with pytest.raises(ValueError, match=r"dropout counts are \(1, 5\); accepted: each 1 to 4"):
        PerItem(0.5, (1, 5))(torch.zeros(2, 1, 1), 4)


@pytest.mark.parametrize(("counts", "possible"), [((), [1, 2, 3, 4]), ((2, 4), [2, 4])])
def test_dropout_per_batch_draws_one_number_for_all(counts: tuple[int, ...], possible: list[int]):
    torch.manual_seed(0)
    drawn = [PerBatch(counts)(torch.zeros(3, 1, 1), 4) for _ in range(2000)]
    assert all(each.tolist() == [used] * 3 for used, each in drawn)
    shares = torch.tensor([used for used, _ in drawn]).bincount(minlength=5)[possible] / len(drawn)
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / len(possible)), atol=0.04, rtol=0)
    assert shares.sum() == 1


def test_dropout_per_batch_is_a_call_with_fewer_codebooks():
    """As EnCodec trains: the loss is the mean over those used, and those beyond are left alone."""
    rvq, plain = (ready(ema_rvq(8, 4, 16, dropout=PerBatch((2,)))).train() for _ in range(2))
    plain.load_state_dict(rvq.state_dict())
    z = random_latent(3, 8, 25)
    before = {name: value.clone() for name, value in rvq.state_dict().items()}
    out, expected = rvq(z), plain(z, 2)
    assert out.codes.shape == (3, 2, 25)
    assert torch.equal(out.codes, expected.codes)
    assert torch.equal(out.z, expected.z)
    assert torch.equal(out.loss, expected.loss)
    after = rvq.state_dict()
    changed = {name.split(".")[1] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"0", "1"}
    assert rvq.eval()(z).codes.shape == (3, 4, 25)


def test_dropout_per_batch_equals_encodec_in_training():
    quantization = pytest.importorskip("encodec.quantization")
    torch.manual_seed(0)
    theirs = quantization.ResidualVectorQuantizer(16, 5, 64, kmeans_init=False, threshold_ema_dead_code=0)
    ours = ema_rvq(16, 5, 64, dead_threshold=0, dropout=PerBatch((3,))).train()
    for mine, other in zip(ours.layers, theirs.vq.layers, strict=True):
        mine.load_state_dict(other._codebook.state_dict())
    z, other = (random_latent(3, 16, 100).requires_grad_() for _ in range(2))
    out, (quantized, codes, losses) = ours(z), theirs.train().vq(other, n_q=3)
    assert torch.equal(out.codes, codes.transpose(0, 1))
    torch.testing.assert_close(out.z, quantized, atol=1e-6, rtol=0)
    torch.testing.assert_close(out.loss, losses.mean())
    for mine, peer in zip(ours.layers, theirs.vq.layers, strict=True):
        torch.testing.assert_close(mine.embed, peer._codebook.embed)


def test_dropout_masks_output_loss_and_learning(monkeypatch):
    rvq, plain = (ready(ema_rvq(8, 3, 16, dropout=1.0)).train() for _ in range(2))
    plain.load_state_dict(rvq.state_dict())
    monkeypatch.setattr(rvq, "dropout", lambda *_: (3, torch.tensor([1, 3])))
    z = random_latent(2, 8, 25).requires_grad_()
    first, both = rvq.encode(z[:1]), rvq.decode(rvq.encode(z[1:]))
    single = rvq.decode(first[:, :1])
    errors = [(z[1:] - rvq.decode(rvq.encode(z[1:], k))).pow(2).mean() for k in (2, 3)]
    loss = ((z[:1] - single).pow(2).mean() + (z[1:] - rvq.decode(rvq.encode(z[1:], 1))).pow(2).mean()) / 2
    out = rvq(z)
    torch.testing.assert_close(out.z, torch.cat([single, both]), atol=1e-6, rtol=0)
    assert torch.equal(out.codes[:1], first)
    assert out.used is not None
    assert out.used.tolist() == [1, 3]
    torch.testing.assert_close(out.loss, (loss + errors[0] / 2 + errors[1] / 2) / 3)
    (gradient,) = torch.autograd.grad(out.z.sum(), z)
    assert torch.equal(gradient, torch.ones_like(z))
    # codebooks 2 and 3 learned from the second item only
    plain(z[1:].detach(), 3)
    learned, expected = rvq.state_dict(), plain.state_dict()
    torch.testing.assert_close(learned["layers.2.embed"], expected["layers.2.embed"])
    torch.testing.assert_close(learned["layers.1.embed"], expected["layers.1.embed"])
    assert not torch.equal(learned["layers.0.embed"], expected["layers.0.embed"])


def test_num_codebooks_overrides_dropout():
    rvq = ready(ema_rvq(8, 4, 16, dropout=1.0)).train()
    z = random_latent(8, 8, 25)
    expected = rvq.decode(rvq.encode(z, 3))
    out = rvq(z, 3)
    assert out.codes.shape == (8, 3, 25)
    torch.testing.assert_close(out.z, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "rvq", [ema_rvq(8, 3, 16, 0.5), factorized_rvq(8, 3, 16, 3)], ids=["ema", "factorized"]
)
def test_autocast_changes_nothing_but_the_dtype(rvq):
    z = random_latent(3, 8, 25).bfloat16()
    rvq.eval()
    with torch.autocast("cpu", torch.bfloat16):
        out = rvq(z)
        codes = rvq.encode(z)
    assert out.z.dtype == torch.bfloat16
    assert out.loss.dtype == torch.float32
    assert torch.equal(codes, rvq.encode(z.float()))
    assert torch.equal(codes, out.codes)


def test_every_parameter_learns():
    rvq = factorized_rvq(8, 3, 16, 3, dropout=1.0).train()
    out = rvq(random_latent(4, 8, 25))
    (out.z.pow(2).mean() + out.loss).backward()
    assert all(parameter.grad is not None for parameter in rvq.parameters())


def test_training_lowers_the_error():
    torch.manual_seed(0)
    rvq = factorized_rvq(8, 3, 16, 4, dropout=0.5, kmeans_init=True).train()
    optimizer = torch.optim.Adam(rvq.parameters(), 1e-2)
    z = random_latent(8, 8, 50)
    errors = []
    for _ in range(150):
        out = rvq(z)
        error = (out.z - z).pow(2).mean()
        optimizer.zero_grad()
        (error + out.loss).backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.6 * errors[0]


def test_export_and_state_round_trip():
    rvq = factorized_rvq(8, 3, 16, 3).eval()
    again = factorized_rvq(8, 3, 16, 3).eval()
    again.load_state_dict(rvq.state_dict())
    z = random_latent(2, 8, 25)
    assert torch.equal(again.encode(z), rvq.encode(z))
    frames = torch.export.Dim("frames", min=2, max=500)
    program = torch.export.export(rvq, (z,), dynamic_shapes={"z": {2: frames}})
    longer = random_latent(2, 8, 77)
    assert torch.equal(program.module()(longer).codes, rvq.encode(longer))


def test_bad_arguments():
    with pytest.raises(ValueError, match="widths \\[8, 9\\]"):
        RVQ([EMAVQ(8, 4), EMAVQ(9, 4)])
    with pytest.raises(ValueError, match=r"dropout is 1\.5; accepted: 0 to 1"):
        ema_rvq(8, 2, 4, dropout=1.5)
    with pytest.raises(ValueError, match=r"dropout counts are \(1, 3\); accepted: each 1 to 2"):
        ema_rvq(8, 2, 4, dropout=PerBatch((1, 3))).train()(random_latent(1, 8, 9))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 9), st.integers(0, 99))
def test_smallest_are_those_of_topk(size: int, count: int, seed: int) -> None:
    count = min(count, size)
    values = random_latent(5, size, seed=seed)
    assert torch.equal(smallest(values, count), values.topk(count, largest=False).indices)
