"""Loaders of data sets with groups; each returns a Bunch that holds `sensitive_features`."""

from sk_prunefair.datasets._adult import load_adult
from sk_prunefair.datasets._compas import load_compas
from sk_prunefair.datasets._digits import load_digits
from sk_prunefair.datasets._fashion_mnist import load_fashion_mnist
from sk_prunefair.datasets._german import load_german
from sk_prunefair.datasets._long_tail import long_tailed
from sk_prunefair.datasets._utkface import load_utkface

__all__ = [
    "load_adult",
    "load_compas",
    "load_digits",
    "load_fashion_mnist",
    "load_german",
    "load_utkface",
    "long_tailed",
]
