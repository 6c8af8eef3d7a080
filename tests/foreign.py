"""Networks that the project did not write, small and with random weights; factories for --model."""

import torch
from torch import nn


def settled(network: nn.Module) -> nn.Module:
    """As if trained: normalisations with statistics and scales of their own; evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in network.modules():
            for name in ("weight", "bias", "running_mean"):
                value = getattr(module, name, None)
                if isinstance(value, torch.Tensor) and value.ndim == 1:
                    nn.init.normal_(value, float(name == "weight"), 0.3)
                elif isinstance(value, nn.Parameter):  # so that every branch counts
                    nn.init.normal_(value, std=value[0].numel() ** -0.5)
    return network.eval()


def resnet(channels: int = 3, classes: int = 3) -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        num_channels=channels,
        embedding_size=4,
        hidden_sizes=[4, 6],
        depths=[1, 2],
        layer_type="basic",
        num_labels=classes,  # pyright: ignore[reportCallIssue]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return settled(ResNetForImageClassification(config))


def convnext(drop: float = 0.0) -> nn.Module:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(
        num_channels=3,
        patch_size=2,
        hidden_sizes=[4, 6],
        depths=[1, 2],
        num_stages=2,
        num_labels=3,  # pyright: ignore[reportCallIssue]
        drop_path_rate=drop,
        layer_scale_init_value=0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return settled(ConvNextForImageClassification(config))


def digits_resnet() -> nn.Module:
    """For grey images of ten classes."""
    return resnet(1, 10)
