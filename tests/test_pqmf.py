"""The PQMF bank against X-codec's numbers, and as what it is: a bank that nearly inverts itself."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vocable.losses.pqmf import PQMF, PQMFLoss
from vocable.losses.spectral import WaveformLoss

GOLDEN = {
    key: value.float()
    for key, value in load_file(Path(__file__).parent / "assets" / "losses.safetensors").items()
}


@pytest.mark.parametrize("bands", [6, 8])
def test_bank_equals_xcodec(bands: int) -> None:
    bank, wav = PQMF(bands), GOLDEN["wav"][:1]
    analysed = bank(wav)
    torch.testing.assert_close(analysed[:, 0, :, :40], GOLDEN[f"pqmf.{bands}.bands"], rtol=0, atol=1e-6)
    restored = bank.inverse(analysed)
    torch.testing.assert_close(restored[..., :120], GOLDEN[f"pqmf.{bands}.wav"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("bands", "decibels"), [(2, 65), (4, 60), (6, 60), (8, 48)])
def test_bank_nearly_inverts_itself(bands: int, decibels: float) -> None:
    torch.manual_seed(0)
    bank, wav = PQMF(bands), torch.randn(2, 3, 2400)
    assert bank(wav).shape == (2, 3, bands, 2400 // bands)
    error = (bank.inverse(bank(wav)) - wav)[..., 100:-100]
    assert 10 * float((wav.square().mean() / error.square().mean()).log10()) > decibels


def test_a_tone_is_in_its_band_alone() -> None:
    time = torch.arange(2400) / 2400
    for band in range(6):
        tone = torch.cos(torch.pi * (band + 0.5) / 6 * 2400 * time).expand(1, 1, -1)
        energy = PQMF(6)(tone)[0, 0, :, 20:-20].square().mean(-1)
        assert int(energy.argmax()) == band
        assert float(energy[band] / energy.sum()) > 0.999


def test_any_length_has_bands() -> None:
    assert PQMF(6)(torch.randn(1, 1, 61)).shape == (1, 1, 6, 11)


def test_loss_is_of_the_bands() -> None:
    torch.manual_seed(0)
    estimate, target = torch.randn(2, 2, 1, 600)
    bank, loss = PQMF(4), PQMFLoss(WaveformLoss(), 4)
    torch.testing.assert_close(loss(estimate, target), (bank(estimate) - bank(target)).abs().mean())
    assert not loss.state_dict()


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="bands is 3; accepted: 2, 4, 6, 8"):
        PQMF(3)
    with pytest.raises(ValueError, match="order is 61"):
        PQMF(4, order=61)
