"""Makes wavtokenizer.safetensors and wavtokenizer_keys.json from a checkout of jishengpeng/WavTokenizer.

    python tests/assets/make_wavtokenizer.py CHECKOUT COMMIT

The first is a tiny model of the official classes: its weights in the official layout, and what it makes of
two signals. The second is the names and shapes of the full models' tensors, by their hop.
"""

import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
FULL = {"filters": 32, "latent": 512, "entries": 4096, "dim": 768, "blocks": 12}
TINY = {"filters": 2, "latent": 8, "entries": 64, "dim": 32, "blocks": 2}


def model(ratios: list[int], filters: int, latent: int, entries: int, dim: int, blocks: int) -> Any:
    """The official model; its feature extractor's own constructor knows full size only."""
    hop = math.prod(ratios)
    seanet, features = import_module("encoder.modules"), import_module("decoder.feature_extractors")
    sizes = {"dimension": latent, "n_filters": filters, "ratios": ratios, "norm": "weight_norm"}
    encodec = import_module("encoder").EncodecModel(
        encoder=seanet.SEANetEncoder(**sizes),
        decoder=seanet.SEANetDecoder(**sizes | {"ratios": [8, 5, 4, 2]}),
        quantizer=import_module("encoder.quantization").ResidualVectorQuantizer(latent, 1, entries),
        target_bandwidths=[6.6] * 4,
        sample_rate=24000,
        channels=1,
    )
    extractor = features.EncodecFeatures.__new__(features.EncodecFeatures)
    torch.nn.Module.__init__(extractor)
    extractor.encodec, extractor.bandwidths, extractor.frame_rate = encodec, [6.6] * 4, 25
    backbone = import_module("decoder.models").VocosBackbone(
        latent, dim, 3 * dim, blocks, adanorm_num_embeddings=4
    )
    head = import_module("decoder.heads").ISTFTHead(dim, 4 * hop, hop, padding="same")
    return import_module("decoder.pretrained").WavTokenizer(extractor, backbone, head).eval()


def keys() -> dict[str, dict[str, list[int]]]:
    """Names and shapes of the models at 75 tokens a second, and where those at 40 differ."""
    with torch.device("meta"):
        parts = [model(ratios, **FULL).state_dict() for ratios in ([8, 5, 4, 2], [6, 5, 5, 4])]
    fast, slow = ({key: list(value.shape) for key, value in part.items()} for part in parts)
    assert list(fast) == list(slow)
    return {"320": fast, "600": {key: shape for key, shape in slow.items() if shape != fast[key]}}


@torch.no_grad()
def golden() -> dict[str, torch.Tensor]:
    """Weights that half precision holds exactly, signals, and their codes and reconstructions."""
    torch.manual_seed(0)
    tiny = model([3, 2], **TINY)
    for name, tensor in tiny.state_dict().items():
        if name.startswith("backbone") or name.startswith("head.out"):
            tensor += 0.15 * torch.randn_like(tensor)
        elif name.endswith("bias"):
            tensor += 0.05 * torch.randn_like(tensor)
    for name, tensor in tiny.state_dict().items():
        if not name.endswith("window"):
            tensor.copy_(tensor.half().float())
    extractor = tiny.feature_extractor
    book = extractor.encodec.quantizer.vq.layers[0]._codebook
    latents = extractor.encodec.encoder(torch.randn(1, 1, 6 * 64)).mT.reshape(-1, 8)
    book.embed.copy_(latents.half().float())
    book.inited.fill_(1)
    # EnCodec's decoder comes with every checkpoint and is never run
    kept = {key: value for key, value in tiny.state_dict().items() if ".encodec.decoder." not in key}
    found = {f"state_dict.{key}": value.half().contiguous() for key, value in kept.items()}
    for name, wav in {"long": torch.randn(2, 1001), "short": torch.randn(1, 7)}.items():
        features, codes = tiny.encode_infer(wav, bandwidth_id=torch.tensor([0]))
        assert torch.equal(features, tiny.codes_to_features(codes))
        audio = tiny.decode(features, bandwidth_id=torch.tensor([0]))
        found |= {f"{name}.wav": wav, f"{name}.codes": codes.clone(), f"{name}.audio": audio.clone()}
    return found


if __name__ == "__main__":
    checkout, commit = sys.argv[1:]
    sys.path.insert(0, checkout)
    origin = {"made_from": "github.com/jishengpeng/WavTokenizer", "commit": commit}
    save_file(golden(), HERE / "wavtokenizer.safetensors", origin)
    (HERE / "wavtokenizer_keys.json").write_text(json.dumps(keys(), separators=(",", ":")) + "\n")
