"""Jobs of a sweep through whatever backend joblib has in force."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pickle
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
from joblib.parallel import get_active_backend
from tqdm import tqdm

from sk_prunefair.kept import KeptFolder
from sk_prunefair.selection._shipping import dumps, packed, unpacked


@dataclass(frozen=True)
class Job:
    """A part of a sweep.

    Parameters
    ----------
    name : str
        What an error calls it, such as "rate=0.9, random_state=3".
    shared : object
        What several jobs are given, the very same object: it is sent to the workers once.
    args : tuple
        What this job is given beside.
    key : str, default=None
        Its file in the folder of what is kept; None keeps nothing.
    """

    name: str
    shared: Any
    args: tuple[Any, ...]
    key: str | None = None


def run_jobs(
    work: Callable[..., Any],
    jobs: Sequence[Job],
    *,
    n_jobs: int | None,
    desc: str,
    verbose: int,
    folder: KeptFolder | None = None,
) -> Generator[Any]:
    """Yield ``work(shared, *args)`` of each job, in their order.

    Results come as soon as they are there where the backend can do that (Ray's cannot); closing
    this stops what is left. Jobs that were running or waiting when a worker died are run again, one
    at a time.

    Parameters
    ----------
    work : callable
        Importable by the workers.
    jobs : sequence of Job
        What is to be done.
    n_jobs : int or None
        As for `joblib.Parallel`.
    desc : str
        What the progress bar says.
    verbose : int
        0 shows no progress bar; nor does one show where nobody is watching.
    folder : KeptFolder, default=None
        Where each result is kept as soon as it is there, and looked for beforehand.

    Raises
    ------
    RuntimeError
        If a worker died twice on a job; the message names the job.
    """
    known = [folder is not None and folder.path(str(job.key)).exists() for job in jobs]
    waiting = [job for job, is_known in zip(jobs, known, strict=True) if not is_known]
    with (
        tqdm(
            total=len(jobs),
            initial=len(jobs) - len(waiting),
            desc=desc,
            disable=None if verbose else True,
        ) as bar,
        contextlib.closing(_computed(work, waiting, n_jobs, bar, folder)) as found,
    ):
        for job, is_known in zip(jobs, known, strict=True):
            yield folder.read(str(job.key)) if folder and is_known else next(found)


def _computed(
    work: Callable[..., Any],
    jobs: Sequence[Job],
    n_jobs: int | None,
    bar: tqdm[Any],
    folder: KeptFolder | None,
) -> Generator[Any]:
    n_done, n_known = 0, bar.n
    try:
        with contextlib.closing(_parallel(work, jobs, n_jobs, bar, folder)) as results:
            for result in results:
                yield result
                n_done += 1
        return
    except Exception as error:
        if not is_death(error):
            raise
    for position, job in enumerate(jobs[n_done:], start=n_done):
        bar.n = n_known + position
        # Out of memory is what kills most of them: alone there is more of it.
        try:
            [result] = _parallel(work, [job], 2, bar, folder)
        except Exception as error:
            if not is_death(error):
                raise
            raise RuntimeError(
                f"the worker process of {job.name} ended unexpectedly twice, the second time while "
                "no other job ran; it may have been killed, or have run out of memory "
                f"({type(error).__name__}: {error})"
            ) from error
        yield result


def _parallel(
    work: Callable[..., Any],
    jobs: Sequence[Job],
    n_jobs: int | None,
    bar: tqdm[Any],
    folder: KeptFolder | None,
) -> Generator[Any]:
    if not jobs:
        return
    backend, usual = get_active_backend()
    return_as = "generator" if backend.supports_return_generator else "list"
    parallel = _Counted(n_jobs=n_jobs, return_as=return_as)
    parallel.bar, parallel.first = bar, bar.n
    n_workers = usual if n_jobs is None else n_jobs
    if n_workers is None:
        n_workers = getattr(backend, "default_n_jobs", 1)
    is_here = getattr(backend, "supports_sharedmem", False) or n_workers == 1
    send = _Sender(backend, is_here)
    done = parallel(
        joblib.delayed(_do)(work, job.args, folder, job.key, *send(job.shared)) for job in jobs
    )
    try:
        for each in done:
            yield pickle.loads(each.pickled) if isinstance(each, _Packed) else each
    finally:
        if return_as == "generator":
            with warnings.catch_warnings():
                # joblib warns of what is stopped; what nobody asks for any more shall not run.
                warnings.simplefilter("ignore", UserWarning)
                done.close()


class _Counted(joblib.Parallel):
    """Tells a progress bar how many jobs are done, whether or not results come one by one."""

    bar: tqdm[Any]
    first: float

    def print_progress(self) -> None:
        """Show it; joblib calls this whenever jobs are done."""
        self.bar.update(self.first + self.n_completed_tasks - self.bar.n)


class _Sender:
    """Makes arguments of what jobs share: the same arguments for the same object."""

    def __init__(self, backend: Any, is_here: bool) -> None:
        self.is_here = is_here
        self.is_ray = type(backend).__module__.startswith("ray.")
        self.sent: dict[int, tuple[Any, ...]] = {}

    def __call__(self, shared: Any) -> tuple[Any, ...]:
        if self.is_here:
            return (_Here(shared),)
        if id(shared) not in self.sent:
            arrays = packed(shared)
            self.sent[id(shared)] = (_InStore(arrays),) if self.is_ray else tuple(arrays)
        return self.sent[id(shared)]


@dataclass(frozen=True)
class _Here:
    """What is shared, where there is but one process."""

    shared: Any


class _InStore:
    """Arrays in Ray's store of objects, which all workers of a machine read."""

    def __init__(self, arrays: list[Any]) -> None:
        import ray

        self.reference = ray.put(arrays)

    def arrays(self) -> list[Any]:
        import ray

        return ray.get(self.reference)


def _do(
    work: Callable[..., Any],
    args: tuple[Any, ...],
    folder: KeptFolder | None,
    key: str | None,
    *sent: Any,
) -> Any:
    first = sent[0]
    if isinstance(first, _Here):
        shared = first.shared
    else:
        shared = unpacked(first.arrays() if isinstance(first, _InStore) else list(sent))
    result = work(shared, *args)
    if folder is not None and key is not None:
        folder.write(key, result)
    return result if isinstance(first, _Here) else _Packed(dumps(result))


@dataclass(frozen=True)
class _Packed:
    """A result on its way from a worker."""

    pickled: bytes


def as_folder(memory: Any) -> KeptFolder | None:
    """Return the folder that a parameter ``memory`` names, None for None."""
    return None if memory is None else KeptFolder(memory, dumps)


def is_death(error: BaseException) -> bool:
    """Tell whether an error says that the process of a worker ended: loky's, Dask's or Ray's."""
    kinds: list[Any] = [concurrent.futures.BrokenExecutor]
    for module, names in (
        ("distributed.scheduler", ("KilledWorker",)),
        ("ray.exceptions", ("RayActorError", "WorkerCrashedError")),
    ):
        if module in sys.modules:
            kinds += [getattr(sys.modules[module], name) for name in names]
    return isinstance(error, tuple(kinds))
