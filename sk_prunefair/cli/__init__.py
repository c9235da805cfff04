"""The command line: ``sk-prunefair audit``, or ``python -m sk_prunefair audit``."""

from sk_prunefair.cli.main import main as main
