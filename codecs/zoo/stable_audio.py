"""The model_config.json of stable-audio-tools, as far as it describes a transformer autoencoder."""

from collections.abc import Mapping
from typing import Any

# what https://github.com/Stability-AI/stable-audio-tools assumes where the file is silent
_DEFAULTS = {
    "channels": 128,
    "c_mults": [1, 2, 4, 8],
    "strides": [2, 4, 8, 8],
    "transformer_depths": [3, 3, 3, 3],
    "latent_dim": 32,
    "sliding_window": [63, 64],
    "use_snake": False,
    "conformer": False,
    "layer_scale": True,
    "use_dilated_conv": False,
}


def check_config(config: Mapping[str, Any], sample_rate: int, sizes: Mapping[str, Any]) -> None:
    """ValueError, naming what differs, unless the file describes the mono codec of these sizes.

    sizes: `widths`, `depths`, `strides`, `patch`, `latent_dim`, `levels` and `window` of a Stable Codec.
    """
    try:
        found = _described(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"model_config.json has no {error}; accepted: an autoencoder's, whole") from error
    expected = _expected(sample_rate, sizes)
    # what is unknown counts too: it might change what the model computes
    keys = sorted(found.keys() | expected.keys())
    wrong = [key for key in keys if found.get(key) != expected.get(key)]
    if wrong:
        pairs = "; ".join(f"{key} is {found.get(key)!r}; accepted: {expected.get(key)!r}" for key in wrong)
        raise ValueError(f"model_config.json describes another codec: {pairs}")


def _described(config: Mapping[str, Any]) -> dict[str, Any]:
    model = config["model"]
    encoder, decoder, patches, bottleneck = (
        {"type": model[part]["type"], **model[part]["config"]}
        for part in ("encoder", "decoder", "pretransform", "bottleneck")
    )
    levels, dim = bottleneck["levels"], bottleneck["dim"]
    bottleneck["levels"] = [levels] * dim if isinstance(levels, int) else levels
    for training in ("noise_dropout", "dither_inference"):
        bottleneck.pop(training, None)
    decoder["soft_clip"] = model["decoder"].get("soft_clip", False)
    parts = {
        "encoder": _transformer({"in_channels": 2, **encoder}),
        "decoder": _transformer({"out_channels": 2, **decoder}),
        "pretransform": {"oversampling": 1, **patches},
        "bottleneck": {"num_codebooks": 1, **bottleneck},
    }
    flat = {f"{part}.{key}": value for part, node in parts.items() for key, value in node.items()}
    ratio = {key: model[key] for key in ("downsampling_ratio", "latent_dim", "io_channels")}
    return {"sample_rate": config["sample_rate"], **ratio, **flat}


def _transformer(node: dict[str, Any]) -> dict[str, Any]:
    """An encoder's or decoder's node with its defaults filled in, and widths for multiples of `channels`."""
    node = {**_DEFAULTS, **node}
    channels = node.pop("channels")
    node["widths"] = [channels * multiple for multiple in node.pop("c_mults")]
    node.pop("checkpointing", None)  # of gradients
    return node


def _expected(sample_rate: int, sizes: Mapping[str, Any]) -> dict[str, Any]:
    patch, latent_dim = sizes["patch"], sizes["latent_dim"]
    transformer = {
        "type": "taae",
        "widths": list(sizes["widths"]),
        "strides": list(sizes["strides"]),
        "transformer_depths": list(sizes["depths"]),
        "latent_dim": latent_dim,
        "sliding_window": list(sizes["window"]),
        "use_snake": False,
        "conformer": False,
        "layer_scale": True,
        "use_dilated_conv": False,
    }
    parts = {
        "encoder": {"in_channels": patch, **transformer},
        "decoder": {"out_channels": patch, "soft_clip": False, **transformer},
        "pretransform": {"type": "patched", "patch_size": patch, "channels": 1, "oversampling": 1},
        "bottleneck": {
            "type": "dithered_fsq",
            "dim": latent_dim,
            "levels": [sizes["levels"]] * latent_dim,
            "num_codebooks": 1,
        },
    }
    ratio = patch
    for stride in sizes["strides"]:
        ratio *= stride
    whole = {"sample_rate": sample_rate, "downsampling_ratio": ratio}
    flat = {f"{part}.{key}": value for part, node in parts.items() for key, value in node.items()}
    return {**whole, "latent_dim": latent_dim, "io_channels": 1, **flat}
