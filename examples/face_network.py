"""A network of others: MTCNN's R-Net (Zhang et al. 2016), with weights that a package ships.

For `--model face_network:rnet`, after `pip install --no-deps facenet-pytorch`.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn


class RNet(nn.Module):
    """Face or background, of 24x24 pixels in colour.

    Layers are called and computed as in facenet-pytorch's class of the same name, which cannot be
    imported without torchvision; what comes out are logits, where that has probabilities, and no
    box.
    """

    def __init__(self) -> None:
        """Make the layers, untrained."""
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, 2], of background and face."""
        x = self.pool1(self.prelu1(self.conv1(images)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = x.permute(0, 3, 2, 1).flatten(1)  # its weights come from a library with columns first
        return self.dense5_1(self.prelu4(self.dense4(x)))


def rnet() -> RNet:
    """The trained network."""
    package = find_spec("facenet_pytorch")  # found, not imported
    if package is None or package.origin is None:
        raise ModuleNotFoundError("run `pip install --no-deps facenet-pytorch`")
    file = Path(package.origin).parent / "data" / "rnet.pt"
    weights = torch.load(file, map_location="cpu", weights_only=True)
    network = RNet()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    return network.eval()
