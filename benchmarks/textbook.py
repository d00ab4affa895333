"""The textbook way, which the suite is compared with: float32, image by image."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from faces_dataset import FacesDataset
from loading import IMAGE_SIZE, Preprocessing
from trainer import Batches


def build_textbook_loader(
    folder: Path,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    training: bool,
    workers: int = 0,
    limit: int | None = None,
) -> DataLoader:
    """Build a loader that crops, flips, converts and normalises each PIL image."""
    augmentation = [
        transforms.RandomCrop(IMAGE_SIZE, padding=4),
        transforms.RandomHorizontalFlip(),
    ]
    transform = transforms.Compose(
        [
            transforms.Resize((IMAGE_SIZE, IMAGE_SIZE)),
            *(augmentation if training else []),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    dataset = FacesDataset(folder, transform, limit=limit)
    return DataLoader(
        dataset,
        batch_size,
        shuffle=training,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def train_one_epoch(
    model: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> float:
    """Train as the tutorials do; return the mean loss of the last batch."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        loss = criterion(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, device: torch.device) -> float:
    """Return the accuracy in percent."""
    model.eval()
    num_correct = num_samples = 0
    for images, labels in batches:
        logits = model(images.to(device))
        num_correct += int((logits.argmax(1) == labels.to(device)).sum())
        num_samples += len(labels)
    return 100 * num_correct / num_samples


def compute_mean_saliency(
    model: nn.Module, batches: Batches, device: torch.device
) -> torch.Tensor:
    """Average the saliency maps over all images: a backward pass a sample."""
    model.eval()
    maps = []
    for images, labels in batches:
        for image, label in zip(images, labels, strict=True):
            image = image[None].to(device).requires_grad_()
            model(image)[0, label].backward()
            maps.append(image.grad.abs().amax(dim=1)[0].cpu())
    return torch.stack(maps).mean(dim=0)
