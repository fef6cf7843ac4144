"""A small vision model, trained on shapes that it draws itself, then compressed with and without calibration.

python vision_model.py
"""

import copy

import torch
from torch import nn

import seedpress

SIDE, CLASSES = 24, 4


def draw(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Squares, circles, crosses and stripes at random places, in noise."""
    random = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    labels = torch.randint(0, CLASSES, (count,), generator=random)
    centre = torch.randint(7, SIDE - 7, (count, 2, 1, 1), generator=random)
    radius = torch.randint(3, 7, (count, 1, 1), generator=random)
    dy, dx = (y - centre[:, 0]).abs(), (x - centre[:, 1]).abs()
    square = torch.maximum(dy, dx) <= radius
    circle = dy**2 + dx**2 <= radius**2
    cross = square & ((dy <= 1) | (dx <= 1))
    stripes = square & (y % 3 == 0)
    images = torch.stack([square, circle, cross, stripes], 1)[torch.arange(count), labels].float()
    return images[:, None] + 0.4 * torch.randn(count, 1, SIDE, SIDE, generator=random), labels


def accuracy(model: nn.Module) -> float:
    images, labels = draw(2000, seed=1)
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
    nn.Linear(576, 128), nn.ReLU(), nn.Linear(128, CLASSES),
)  # fmt: skip
optimiser = torch.optim.Adam(model.parameters(), 2e-3)
for step in range(150):
    images, labels = draw(64, seed=100 + step)
    nn.functional.cross_entropy(model(images), labels).backward()
    optimiser.step()
    optimiser.zero_grad()
model.eval()

with torch.no_grad(), seedpress.calibrate(model) as stats:
    model(draw(512, seed=2)[0])

print(f"32-bit floats: {accuracy(model):.3f}")
for bits in (3, 2, 1.5):
    codec = f"trellis:bits={bits},hessian=full"
    for known, how in ((stats, "calibrated"), (None, "not calibrated")):
        smaller = copy.deepcopy(model)
        summary = seedpress.compress_model(smaller, codec, known, keep_below=512)
        print(f"{codec}, {how}: {accuracy(smaller):.3f}, {summary.ratio:.1f} times smaller")
