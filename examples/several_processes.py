"""
Several processes
=================

Train, prune and audit one net with several processes.

Run ``torchrun --nproc_per_node 2 examples/several_processes.py``; without torchrun there is one
process. Needs the extra ``distributed``. Every process has the same data and uses its part of each
batch; at the end all have the same net.
"""

from __future__ import annotations

from accelerate import Accelerator, DataLoaderConfiguration
from sklearn.model_selection import train_test_split
from torch.nn import CrossEntropyLoss

from sk_prunefair import Distillation, EqualLossConstraint
from sk_prunefair.datasets import load_digits
from sk_prunefair.distributed import AcceleratedFairPrunedClassifier
from sk_prunefair.modules import MLP


def main() -> None:
    """Train on all processes; the main one prints the report."""
    # split_batches: batch_size is the number of rows of all processes together.
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(split_batches=True)
    )
    digits = load_digits()
    X, X_test, y, y_test = train_test_split(
        digits.data, digits.target, stratify=digits.target, random_state=0
    )
    clf = AcceleratedFairPrunedClassifier(
        MLP,
        accelerator=accelerator,
        criterion=CrossEntropyLoss,
        callbacks=[("equal_loss", EqualLossConstraint()), ("distillation", Distillation())],
        batch_size=64,
        max_epochs=15,
        lr=0.1,
        verbose=0,
        random_state=0,
    )
    # All processes fit and prune …
    clf.fit(X, y, sensitive_features=y)
    clf.prune(0.8, X, y, sensitive_features=y, finetune_epochs=5)
    # … and any of them may predict and report by itself.
    if accelerator.is_main_process:
        print(f"{clf.ranks.count} process(es)")
        print(clf.fairness_report(X_test, y_test, sensitive_features=y_test))


if __name__ == "__main__":
    main()

# sphinx_gallery_thumbnail_path = "pictures/gallery_several_processes.png"
