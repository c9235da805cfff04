"""Check that a wheel and an sdist hold what they should: ``python .ci/contents.py FILE …``."""

import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "sk_prunefair"
FILES = {
    path.relative_to(PACKAGE.parent).as_posix()
    for path in PACKAGE.rglob("*")
    if path.suffix in (".py", ".pyi", ".json") or path.name == "py.typed"
}
OTHER = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "constraints.txt"}


def names(path: Path) -> set[str]:
    """List the files of an archive, without the folder that an sdist puts them in."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return set(wheel.namelist())
    with tarfile.open(path) as sdist:
        return {name.partition("/")[2] for name in sdist.getnames()}


def main() -> None:
    """Exit with what is missing, and with what should not be there."""
    for path in map(Path, sys.argv[1:]):
        held = names(path)
        expected = FILES if path.suffix == ".whl" else FILES | OTHER
        if missing := sorted(expected - held):
            sys.exit(f"{path.name} lacks {missing}")
        parts = {name.split("/")[0] for name in held if "dist-info" not in name}
        if path.suffix == ".whl" and parts != {"sk_prunefair"}:
            sys.exit(f"{path.name} also holds {sorted(parts - {'sk_prunefair'})}")
        print(f"{path.name}: {len(held)} files")


if __name__ == "__main__":
    main()
