"""Small nets in plain PyTorch: an MLP, ResNet-18 and -50, VGG-19, a residual net for tables.

All return logits of shape (n_samples, n_classes): use them with
``criterion=torch.nn.CrossEntropyLoss``. Given as a class to `FairPrunedClassifier`, a net gets
``n_features`` and ``n_classes`` from the data, or other sizes listed in its docstring.
"""

from sk_prunefair.modules.mlp import MLP
from sk_prunefair.modules.resnet import ResNet18, ResNet50

# For nets that were pickled when this package was one module.
from sk_prunefair.modules.resnet import _Block as _Block
from sk_prunefair.modules.tabular import TabularNet
from sk_prunefair.modules.vgg import VGG19

__all__ = ["MLP", "VGG19", "ResNet18", "ResNet50", "TabularNet"]
