"""Former import path of the promise; see `sk_prunefair.promise`."""

from sk_prunefair.promise.promise import NoRateError as NoRateError
from sk_prunefair.promise.promise import Promise as Promise
