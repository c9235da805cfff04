"""Run the jobs of a sweep in joblib's current backend."""

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
    """One job of a sweep.

    Parameters
    ----------
    name : str
        Name in errors, such as "rate=0.9, random_state=3".
    shared : object
        Object shared by several jobs, which is sent to the workers once.
    args : tuple
        Further arguments of this job.
    key : str, default=None
        Name of its file in `folder`; None stores nothing.
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
    """Yield ``work(shared, *args)`` for each job, in order.

    Results are yielded as soon as they are available if the backend supports it (Ray's does not);
    closing the generator stops the remaining jobs. Jobs that were running or waiting when a worker
    process ended are run again, one at a time.

    Parameters
    ----------
    work : callable
        Importable by the workers.
    jobs : sequence of Job
        The jobs.
    n_jobs : int or None
        As for `joblib.Parallel`.
    desc : str
        Text of the progress bar.
    verbose : int
        0 shows no progress bar; none is shown either without a terminal.
    folder : KeptFolder, default=None
        Folder in which each result is stored at once, and searched beforehand.

    Raises
    ------
    RuntimeError
        If the worker process of a job ended twice; the message has the name of the job.
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
        if not is_worker_death(error):
            raise
    for position, job in enumerate(jobs[n_done:], start=n_done):
        bar.n = n_known + position
        # Most are killed for lack of memory: alone, a job has more of it.
        try:
            [result] = _parallel(work, [job], 2, bar, folder)
        except Exception as error:
            if not is_worker_death(error):
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
    send = _SharedArguments(backend, is_here)
    done = parallel(
        joblib.delayed(_do)(work, job.args, folder, job.key, *send(job.shared)) for job in jobs
    )
    try:
        for each in done:
            yield pickle.loads(each.pickled) if isinstance(each, _Packed) else each
    finally:
        if return_as == "generator":
            with warnings.catch_warnings():
                # joblib warns of stopped jobs; after closing, their results are not needed.
                warnings.simplefilter("ignore", UserWarning)
                done.close()


class _Counted(joblib.Parallel):
    """joblib.Parallel that reports the number of finished jobs to a progress bar."""

    bar: tqdm[Any]
    first: float

    def print_progress(self) -> None:
        """Update the bar; joblib calls this whenever jobs are done."""
        self.bar.update(self.first + self.n_completed_tasks - self.bar.n)


class _SharedArguments:
    """Converts shared objects to arguments: the same arguments for the same object."""

    def __init__(self, backend: Any, is_here: bool) -> None:
        self.is_here = is_here
        self.is_ray = type(backend).__module__.startswith("ray.")
        self.sent: dict[int, tuple[Any, ...]] = {}

    def __call__(self, shared: Any) -> tuple[Any, ...]:
        if self.is_here:
            return (_Local(shared),)
        if id(shared) not in self.sent:
            arrays = packed(shared)
            self.sent[id(shared)] = (_RayArrays(arrays),) if self.is_ray else tuple(arrays)
        return self.sent[id(shared)]


@dataclass(frozen=True)
class _Local:
    """Holder of the shared object in a single process."""

    shared: Any


class _RayArrays:
    """Arrays in Ray's object store, which all workers of a machine read."""

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
    if isinstance(first, _Local):
        shared = first.shared
    else:
        shared = unpacked(first.arrays() if isinstance(first, _RayArrays) else list(sent))
    result = work(shared, *args)
    if folder is not None and key is not None:
        folder.write(key, result)
    return result if isinstance(first, _Local) else _Packed(dumps(result))


@dataclass(frozen=True)
class _Packed:
    """A pickled result of a worker."""

    pickled: bytes


def as_folder(memory: Any) -> KeptFolder | None:
    """Return the folder of the parameter ``memory``, None for None."""
    return None if memory is None else KeptFolder(memory, dumps)


def is_worker_death(error: BaseException) -> bool:
    """Tell whether an error means that a worker process ended: loky's, Dask's or Ray's."""
    kinds: list[Any] = [concurrent.futures.BrokenExecutor]
    for module, names in (
        ("distributed.scheduler", ("KilledWorker",)),
        ("ray.exceptions", ("RayActorError", "WorkerCrashedError")),
    ):
        if module in sys.modules:
            kinds += [getattr(sys.modules[module], name) for name in names]
    return isinstance(error, tuple(kinds))
