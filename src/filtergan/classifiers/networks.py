"""Networks that a study can train itself: the paper's, a residual and a whitened one."""

from typing import no_type_check

import torch.nn.functional as F
from torch import Tensor, nn

from filtergan.config.fields import CnnConfig
from filtergan.errors import UserError


def make(config: CnnConfig, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The untrained network of a config, its weights drawn from torch's global generator.

    Args:
        config: Architecture and widths.
        shape: Channels, height and width of an image.
        classes: Number of classes.

    Raises:
        UserError: The poolings of the paper's network shrink the image to nothing.
    """
    return ARCHITECTURES[config.architecture](config, shape, classes)


class PaperCNN(nn.Module):
    """Convolutions of 3x3 with batch norm, ReLU and max-pooling, and one linear layer.

    Modules are called conv1, bn1, conv2, bn2, ... and fc; `made_of` keeps the arguments.

    Args:
        config: Widths, and where the pooling stands.
        shape: Channels, height and width of an image.
        classes: Number of classes.

    Raises:
        UserError: The pooling stands after no convolution, or shrinks the image to nothing.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> network = fg.PaperCNN(fg.CnnConfig(channels=(8, 16), pool_after=(1,)), (1, 8, 8), 10)
        >>> network(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, config: CnnConfig, shape: tuple[int, int, int], classes: int) -> None:
        """Make the layers, their weights drawn from torch's global generator."""
        super().__init__()
        self.made_of = config, shape, classes
        self.depth = len(config.channels)
        self.pool_after = frozenset(config.pool_after)
        if max(self.pool_after, default=0) > self.depth:
            raise UserError(
                f"pool_after names convolution {max(self.pool_after)}, but there are {self.depth}; "
                "lower it, or give cnn.channels more entries."
            )
        before, height, width = shape
        for i, channels in enumerate(config.channels, start=1):
            # No bias: batch norm would take it away again.
            setattr(self, f"conv{i}", nn.Conv2d(before, channels, 3, padding=1, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(channels))
            if i in self.pool_after:
                height, width = height // 2, width // 2
            before = channels
        if min(height, width) < 1:
            raise UserError(
                f"Images of {shape[1]}x{shape[2]} are too small for {len(self.pool_after)} "
                "poolings by 2; give cnn.pool_after fewer entries."
            )
        self.fc = nn.Linear(before * height * width, classes)

    @no_type_check  # torch.fx traces it with a stand-in that is no Tensor
    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [n, classes] of images [n, c, h, w] from 0 to 1.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> network = fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10)
            >>> network(torch.rand(2, 1, 8, 8)).shape
            torch.Size([2, 10])
        """
        x = images
        for i in range(1, self.depth + 1):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
            if i in self.pool_after:
                x = F.max_pool2d(x, 2)
        return self.fc(x.flatten(1))


class ResNet(nn.Module):
    """Residual blocks of two 3x3 convolutions (He et al. 2016), global average pooling, one linear.

    Stages are called stage1, stage2, ...; every stage but the first halves the image's sides. A
    block has conv1, bn1, conv2, bn2, and `around` where its input has another shape. `made_of`
    keeps the arguments.

    Args:
        config: Channels of each stage, and blocks in a stage.
        shape: Channels, height and width of an image.
        classes: Number of classes.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> network = fg.ResNet(fg.CnnConfig(channels=(8, 16)), (3, 16, 16), 10)
        >>> network(torch.rand(2, 3, 16, 16)).shape
        torch.Size([2, 10])
    """

    def __init__(self, config: CnnConfig, shape: tuple[int, int, int], classes: int) -> None:
        """Make the layers, their weights drawn from torch's global generator."""
        super().__init__()
        self.made_of = config, shape, classes
        before = config.channels[0]
        self.conv = nn.Conv2d(shape[0], before, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(before)
        self.stages: list[str] = []
        for i, channels in enumerate(config.channels):
            blocks = []
            for j in range(config.blocks):
                blocks.append(Block(before, channels, 2 if i > 0 and j == 0 else 1))
                before = channels
            self.stages.append(f"stage{i + 1}")
            setattr(self, self.stages[-1], nn.Sequential(*blocks))
        self.fc = nn.Linear(before, classes)

    @no_type_check  # torch.fx traces it with a stand-in that is no Tensor
    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [n, classes] of images [n, c, h, w] from 0 to 1.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> network = fg.ResNet(fg.CnnConfig(channels=(8, 16)), (3, 16, 16), 10)
            >>> network(torch.rand(2, 3, 16, 16)).shape
            torch.Size([2, 10])
        """
        x = F.relu(self.bn(self.conv(images)))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(x.mean((2, 3)))


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, and a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        """Make the layers; the way around is a 1x1 convolution where the shape changes."""
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        same = stride == 1 and before == after
        self.around = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    @no_type_check  # as above
    def forward(self, x: Tensor) -> Tensor:
        """Return what leaves the block."""
        inside = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(inside + self.around(x))


class WhitenedCNN(nn.Module):
    """A fixed whitening of patches, then groups of two wide convolutions, and one linear layer.

    The shape of the speed runs on CIFAR-10 (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a
    single GPU"). Groups are called group1, group2, ..., each with conv1, bn1, conv2 and bn2, and a
    pooling behind its conv1. `fit_fast` trains it, and whitens first; `made_of` keeps the
    arguments.

    Args:
        config: Channels of each group.
        shape: Channels, height and width of an image.
        classes: Number of classes.

    Raises:
        UserError: The groups shrink the image to nothing.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> network = fg.WhitenedCNN(fg.CnnConfig(channels=(8, 16)), (3, 16, 16), 10)
        >>> network(torch.rand(2, 3, 16, 16)).shape
        torch.Size([2, 10])
    """

    def __init__(self, config: CnnConfig, shape: tuple[int, int, int], classes: int) -> None:
        """Make the layers, their weights drawn from torch's global generator."""
        super().__init__()
        self.made_of = config, shape, classes
        if (min(shape[1:]) - 1) >> len(config.channels) < 1:
            raise UserError(
                f"Images of {shape[1]}x{shape[2]} are too small for {len(config.channels)} groups, "
                "each of which halves them; give cnn.channels fewer entries."
            )
        before = 2 * shape[0] * WHITENED**2
        self.whiten = nn.Conv2d(shape[0], before, WHITENED)
        self.groups: list[str] = []
        for i, channels in enumerate(config.channels, start=1):
            self.groups.append(f"group{i}")
            setattr(self, self.groups[-1], Group(before, channels))
            before = channels
        self.fc = nn.Linear(before, classes, bias=False)

    def reset_parameters(self) -> None:
        """Draw anew all that labels have taught; the whitening, which they have not, stays.

        Examples:
            >>> import filtergan as fg
            >>> network = fg.WhitenedCNN(fg.CnnConfig(channels=(8, 16)), (3, 16, 16), 10)
            >>> whitening, last = network.whiten.weight.clone(), network.fc.weight.clone()
            >>> network.reset_parameters()
            >>> network.whiten.weight.equal(whitening), network.fc.weight.equal(last)
            (True, False)
        """
        for group in self.groups:
            for layer in self.get_submodule(group).children():
                assert isinstance(layer, Passing | nn.BatchNorm2d)
                layer.reset_parameters()
        self.fc.reset_parameters()
        self.keep_fixed()

    def keep_fixed(self) -> None:
        """Let no training move the whitening, nor the scales of norms, which stay at one.

        Examples:
            >>> import filtergan as fg
            >>> network = fg.WhitenedCNN(fg.CnnConfig(channels=(8, 16)), (3, 16, 16), 10)
            >>> network.keep_fixed()
            >>> network.whiten.weight.requires_grad, network.fc.weight.requires_grad
            (False, True)
        """
        norms = (module for module in self.modules() if isinstance(module, nn.BatchNorm2d))
        for layer in (self.whiten, *norms):
            layer.weight.requires_grad_(False)

    @no_type_check  # torch.fx traces it with a stand-in that is no Tensor
    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [n, classes] of images [n, c, h, w] from 0 to 1.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> network = fg.WhitenedCNN(fg.CnnConfig(channels=(8, 16)), (3, 16, 16), 10)
            >>> network(torch.rand(2, 3, 16, 16)).shape
            torch.Size([2, 10])
        """
        x = F.gelu(self.whiten(images))
        for group in self.groups:
            x = getattr(self, group)(x)
        return self.fc(x.amax((2, 3))) / COOLED


class Group(nn.Module):
    """Two 3x3 convolutions with batch norm and GELU, and max-pooling behind the first."""

    def __init__(self, before: int, after: int) -> None:
        """Make the layers; as far as there are channels, they begin by passing each on."""
        super().__init__()
        self.conv1, self.bn1 = Passing(before, after), _unscaled(after)
        self.conv2, self.bn2 = Passing(after, after), _unscaled(after)

    @no_type_check  # as above
    def forward(self, x: Tensor) -> Tensor:
        """Return what leaves the group."""
        x = F.gelu(self.bn1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.bn2(self.conv2(x)))


class Passing(nn.Conv2d):
    """A 3x3 convolution that begins by passing on as many of its channels as it has filters."""

    def __init__(self, before: int, after: int) -> None:
        """Make the layer, its other filters drawn from torch's global generator."""
        super().__init__(before, after, 3, padding=1, bias=False)

    def reset_parameters(self) -> None:
        """Draw the filters anew, but for those that pass channels on."""
        super().reset_parameters()
        nn.init.dirac_(self.weight[: min(self.in_channels, self.out_channels)].data)


def _unscaled(channels: int) -> nn.BatchNorm2d:
    """Batch norm whose scale remains 1; its statistics are mostly those of the last minibatches."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


WHITENED = 2  # sides of the patches that are whitened
COOLED = 9  # what logits are divided by
ARCHITECTURES = {"paper": PaperCNN, "resnet": ResNet, "whitened": WhitenedCNN}
"""By the name that a config has for them."""
