"""An audit: all that is found out about a dataset, and how it is found."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auditing.duplicates import Pair, find_duplicates
from auditing.findings import Finding, classify_pair, list_findings, name_pair
from auditing.properties import Inspection, inspect
from auditing.shortcuts import Shortcut, find_shortcuts
from faces_dataset import FacesDataset, count_classes
from files.names import shorten
from scores import find_groups, find_leaks


@dataclass(frozen=True)
class Audit:
    """All that was found out about a dataset.

    Attributes:
        counts: split -> class -> images.
        inspection: what was measured of each.
        groups: their names, one for each image; None: there are none.
        pairs: of images that show the same.
        shortcuts: how well each property tells the classes apart.
        findings: what to know about it, the serious first.
    """

    dataset: str
    counts: dict[str, dict[str, int]]
    inspection: Inspection
    groups: list[str] | None
    pairs: list[Pair]
    shortcuts: list[Shortcut]
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        names = ("kind", "split", "num_images", "auc", "is_constant", "verdict")
        return {
            "dataset": self.dataset,
            "counts": self.counts,
            "findings": [_take(f, "level", "text", "advice") for f in self.findings],
            "shortcuts": [
                {"property": s.trait.name, "columns": s.trait.columns}
                | {**_take(s, *names), "auc_interval": [s.low, s.high]}
                | {"typical": s.difference}
                for s in self.shortcuts
            ],
            "pairs": [
                name_pair(self.inspection, p)
                | _take(p, "kind", "similarity")
                | {"meaning": classify_pair(self.inspection, p)}
                for p in self.pairs
            ],
            "unreadable": [
                {"path": shorten(file.name), "reason": reason}
                for file, reason in self.inspection.unreadable
            ],
        }


def _take(value: object, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def audit_splits(
    name: str, datasets: Mapping[str, FacesDataset], pattern: str | None, *, seed: int
) -> Audit:
    """Audit a dataset's splits.

    `pattern` names the group of an image, as `groups_from_names` takes it; `seed` is of
    the folds. Raises ValueError if the pattern is broken, or does not match a name.
    """
    files, splits, labels, group_of = [], [], [], {}
    for split, dataset in datasets.items():
        own = list(map(dataset.get_file, range(len(dataset))))
        files += own
        groups = find_groups(dataset, pattern)
        group_of |= zip((f.name for f in own), groups or (), strict=False)
        splits += [split] * len(dataset)
        labels += dataset.get_labels().tolist()
    inspection = inspect(files, splits, labels)
    pairs = find_duplicates(inspection)
    groups = [group_of[file.name] for file in inspection.files] if group_of else None
    by_split = defaultdict(list)
    for split, group in zip(inspection.splits.tolist(), groups or (), strict=False):
        by_split[split].append(group)
    shortcuts = find_shortcuts(inspection, groups, pairs=pairs, seed=seed)
    findings = list_findings(inspection, pairs, find_leaks(by_split), shortcuts)
    counts = {split: count_classes(dataset) for split, dataset in datasets.items()}
    return Audit(name, counts, inspection, groups, pairs, shortcuts, findings)
