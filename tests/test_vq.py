import pytest
import torch
from torch.nn.utils import parametrize

from vocable.quantizers import clusters
from vocable.quantizers.clusters import flatten, kmeans, nearest, sample, usage
from vocable.quantizers.estimators import straight_through
from vocable.quantizers.vq import EMAVQ, FactorizedVQ


def random_latent(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_nearest_is_the_least_distance():
    vectors, table = random_latent(200, 6), random_latent(50, 6, seed=1)
    assert torch.equal(nearest(vectors, table), torch.cdist(vectors, table).argmin(1))


def test_nearest_is_exact_under_autocast():
    vectors, table = random_latent(500, 64), random_latent(1024, 64, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        codes = nearest(vectors, table)
    assert torch.equal(codes, nearest(vectors, table))


def test_straight_through_has_the_value_and_a_gradient_of_ones():
    value, z = random_latent(2, 3, 4).requires_grad_(), random_latent(2, 3, 4, seed=1).requires_grad_()
    out = straight_through(value, z)
    assert torch.equal(out, value)
    out.sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, torch.ones_like(z))
    assert value.grad is None


def test_sample_leaves_out_weightless_vectors():
    vectors, weights = torch.arange(10.0)[:, None], (torch.arange(10) < 4).float()
    assert sample(vectors, weights, 4).flatten().sort().values.tolist() == [0, 1, 2, 3]
    assert sample(vectors, weights, 500).unique().tolist() == [0, 1, 2, 3]


def test_kmeans_finds_separate_clusters_and_leaves_out_weightless_vectors(monkeypatch):
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    vectors = centres.repeat(20, 1) + 0.01 * random_latent(60, 2)
    far = torch.full((5, 2), 100.0)
    weights = torch.cat([torch.ones(60), torch.zeros(5)])
    monkeypatch.setattr(clusters, "sample", lambda *_: vectors[:3])
    found, counts = kmeans(torch.cat([vectors, far]), weights, 3, iterations=10)
    assert counts.tolist() == [20, 20, 20]
    torch.testing.assert_close(found, vectors.view(20, 3, 2).mean(0))


def test_usage_counts_entries_and_perplexity():
    codes = torch.tensor([[[0, 1, 2, 3], [5, 5, 5, 5]]])
    metrics = usage(codes, (8, 8))
    assert metrics["codebook_use"].item() == pytest.approx((4 / 8 + 1 / 8) / 2)
    assert metrics["perplexity"].item() == pytest.approx((4 + 1) / 2)
    assert metrics["entropy"].item() == pytest.approx((2 + 0) / 2)
    assert {name: value.item() for name, value in metrics.items() if "/" in name} == {
        "codebooks/use/0": 4 / 8,
        "codebooks/use/1": 1 / 8,
        "codebooks/perplexity/0": 4,
        "codebooks/perplexity/1": 1,
        "codebooks/entropy/0": 2,
        "codebooks/entropy/1": 0,
    }


@pytest.mark.parametrize("quantizer", [EMAVQ(6, 16), FactorizedVQ(6, 16, 3)], ids=["ema", "factorized"])
def test_encode_decode_and_forward_agree(quantizer):
    z = random_latent(3, 6, 20)
    quantizer.eval()
    out = quantizer(z)
    codes = quantizer.encode(z)
    assert codes.shape == (3, 1, 20)
    assert codes.dtype == torch.int64
    assert torch.equal(out.codes, codes)
    assert torch.equal(out.z, quantizer.decode(codes))
    assert out.loss.ndim == 0
    half = quantizer(z.bfloat16())
    assert half.z.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="num_codebooks is 2; accepted: 1 to 1"):
        quantizer(z, 2)
    with pytest.raises(ValueError, match=r"accepted: 0\.\.V-1"):
        quantizer.decode(codes + 16)


def test_kmeans_runs_on_the_first_training_batch_only():
    torch.manual_seed(0)
    quantizer = EMAVQ(4, 8)
    z = random_latent(2, 4, 50)
    quantizer.eval()
    before = quantizer.embed.clone()
    quantizer(z)
    assert torch.equal(quantizer.embed, before)
    assert quantizer.inited.item() == 0
    quantizer.train()
    quantizer(z)
    assert quantizer.inited.item() == 1
    error = (quantizer.eval()(z).z - z).pow(2).mean()
    assert error < 0.6 * z.pow(2).mean()


def test_eval_never_updates():
    quantizer = EMAVQ(4, 8, kmeans_iterations=0).eval()
    state = {name: value.clone() for name, value in quantizer.state_dict().items()}
    assert set(state) == {"inited", "cluster_size", "embed", "embed_avg"}
    quantizer(random_latent(2, 4, 50))
    assert all(torch.equal(value, state[name]) for name, value in quantizer.state_dict().items())


def test_ema_step_equals_encodec():
    core = pytest.importorskip("encodec.quantization.core_vq")
    theirs = core.EuclideanCodebook(6, 16, kmeans_init=False, threshold_ema_dead_code=0).train()
    ours = EMAVQ(6, 16, kmeans_iterations=0, dead_threshold=0).train()
    theirs.cluster_size += random_latent(16).abs() + 1
    ours.load_state_dict(theirs.state_dict())
    for step in range(3):
        z = random_latent(2, 6, 40, seed=step)
        quantized, codes = theirs(z.transpose(1, 2))
        out = ours(z)
        assert torch.equal(out.codes[:, 0], codes)
        torch.testing.assert_close(out.z, quantized.transpose(1, 2))
        for name in ("cluster_size", "embed", "embed_avg"):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-6, rtol=1e-5)


def test_ema_step_equals_vector_quantize_pytorch():
    peer = pytest.importorskip("vector_quantize_pytorch")
    theirs = peer.VectorQuantize(6, 16, decay=0.9, eps=1e-5, kmeans_init=False, rotation_trick=False).train()
    ours = EMAVQ(6, 16, decay=0.9, kmeans_iterations=0, dead_threshold=0).train()
    ours.embed.copy_(theirs.codebook)
    ours.embed_avg.copy_(theirs._codebook.embed_avg[0])
    ours.cluster_size.copy_(theirs._codebook.cluster_size[0])
    z = random_latent(2, 6, 40).requires_grad_()
    quantized, codes, loss = theirs(z.transpose(1, 2))
    out = ours(z)
    assert torch.equal(out.codes[:, 0], codes)
    torch.testing.assert_close(out.z, quantized.transpose(1, 2))
    torch.testing.assert_close(out.loss, loss.squeeze())
    torch.testing.assert_close(ours.embed, theirs.codebook, atol=1e-6, rtol=1e-5)


def test_dead_codes_become_vectors_of_the_batch():
    torch.manual_seed(0)
    quantizer = EMAVQ(4, 8, kmeans_iterations=0).train()
    quantizer.embed[3:] = 100.0
    quantizer.embed_avg.copy_(quantizer.embed)
    quantizer.cluster_size[3:] = 1e-3
    z = random_latent(2, 4, 50)
    quantizer(z)
    assert (quantizer.embed[3:, None] == flatten(z)).all(2).any(1).all()
    even = quantizer.cluster_size[3]
    torch.testing.assert_close(quantizer.embed_avg[3:], quantizer.embed[3:] * even)
    assert quantizer(z).codes.unique().numel() > 3


def test_codes_in_use_are_kept_when_batches_are_smaller_than_the_codebook():
    """64 codes share 40 vectors a batch: each is used less than the threshold of 2, and none is dead."""
    quantizer = EMAVQ(4, 64, kmeans_iterations=0, dead_threshold=2.0).train()
    quantizer.embed.copy_(random_latent(64, 4, seed=1))
    quantizer.embed_avg.copy_(quantizer.embed)
    before = quantizer.embed.clone()
    quantizer(random_latent(2, 4, 20))
    assert (quantizer.embed - before).abs().max() < 0.2


def test_items_left_out_do_not_move_the_codebook():
    z = random_latent(3, 4, 30)
    keep = torch.tensor([True, False, True])
    subset, masked = (EMAVQ(4, 8, kmeans_iterations=0, dead_threshold=0).train() for _ in range(2))
    subset.load_state_dict(masked.state_dict())
    masked.step(z, z, keep)
    subset(z[keep])
    torch.testing.assert_close(masked.embed, subset.embed)
    torch.testing.assert_close(masked.cluster_size, subset.cluster_size)


def test_factorized_equals_dac():
    quantize = pytest.importorskip("dac.nn.quantize")
    torch.manual_seed(0)
    theirs = quantize.VectorQuantize(32, 64, 8)
    ours = FactorizedVQ(32, 64, 8)
    copy_dac_layer(theirs, ours)
    z = random_latent(4, 32, 50)
    a, b = z.clone().requires_grad_(), z.clone().requires_grad_()
    quantized, commitment, codebook, codes, _ = theirs(a)
    out = ours(b)
    assert torch.equal(out.codes[:, 0], codes)
    torch.testing.assert_close(out.z, quantized, atol=1e-6, rtol=0)
    torch.testing.assert_close(out.loss, (0.25 * commitment + codebook).mean())
    weights = random_latent(4, 32, 50, seed=1)
    ((quantized * weights).sum() + (0.25 * commitment + codebook).mean()).backward()
    ((out.z * weights).sum() + out.loss).backward()
    torch.testing.assert_close(b.grad, a.grad)
    torch.testing.assert_close(ours.codebook.weight.grad, theirs.codebook.weight.grad)


def copy_dac_layer(theirs, ours: FactorizedVQ) -> None:
    for name in ("in_proj", "out_proj"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        mine.parametrizations.weight.original0.data.copy_(other.weight_g)
        mine.parametrizations.weight.original1.data.copy_(other.weight_v)
        mine.bias.data.copy_(other.bias)
    ours.codebook.weight.data.copy_(theirs.codebook.weight)


def test_factorized_codes_survive_folding():
    quantizer = FactorizedVQ(16, 32).eval()
    z = random_latent(2, 16, 30)
    codes, decoded = quantizer.encode(z), quantizer.decode(quantizer.encode(z))
    for projection in (quantizer.in_proj, quantizer.out_proj):
        parametrize.remove_parametrizations(projection, "weight")
    assert torch.equal(quantizer.encode(z), codes)
    torch.testing.assert_close(quantizer.decode(codes), decoded)


def test_factorized_kmeans_starts_the_entries_near_the_latents():
    torch.manual_seed(0)
    z = 5 * random_latent(4, 16, 50)
    plain, started = FactorizedVQ(16, 32), FactorizedVQ(16, 32, kmeans_init=True)
    assert "inited" not in plain.state_dict()
    started.load_state_dict(plain.state_dict(), strict=False)
    started.inited.fill_(False)
    assert started(z).loss < 0.5 * plain(z).loss
    entries = started.codebook.weight.clone()
    started(random_latent(4, 16, 50, seed=1))
    assert torch.equal(started.codebook.weight, entries)
