"""One run in a folder at a time: the file run.lock in it names the process that uses the folder.

On one machine the kernel's lock on that file (flock) decides. It ends with its process, also after kill -9, so that the next
start has the folder at once. On most network file systems that lock holds for all machines, on some for one machine only, and
some have no locks. So the file also holds host, process and job of its owner, who renews its time every 15 seconds. An owner on
another machine has the folder until the file is older than 5 minutes. Times are compared on the file server's clock alone. A file
whose owner is gone is overwritten in place; only its owner removes it, so that two processes cannot both remove it and both
continue.
"""

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from settings.errors import CannotWrite, InputError
from system import signals
from system.files import remove_partial, writing
from system.progress import tell

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = "run.lock"
_RENEWED = 15.0  # seconds between two renewals of the file's time
_SILENT = 300.0  # seconds without a renewal, after which an owner on another machine is gone
_PATIENCE = 900.0  # seconds for which a requeued job waits for its first copy to end
_SETTLED = 3.0  # seconds after which two machines that wrote a file at the same time both read the last version
_held: dict[Path, "_Lock"] = {}


@dataclass(frozen=True)
class Owner:
    """The process that uses a folder."""

    host: str
    boot: str  # id of the machine's boot, which changes with each
    pid: int
    started: float  # of the process, seconds since 1970
    job: str  # of SLURM, empty for none
    since: str  # date and time of its start in the folder, as text

    @property
    def here(self) -> bool:
        """Whether it is, or was, on this machine since its last boot. The host's name is not used: containers have others."""
        return self.boot == _boot()

    def __str__(self) -> str:
        return f"host {self.host}, process {self.pid}{f', job {self.job}' if self.job else ''}, since {self.since}"


@dataclass
class _Lock:
    """A folder's lock that this process holds."""

    path: Path
    descriptor: int
    text: str  # what the file says while it is ours
    ended: threading.Event = field(default_factory=threading.Event)

    def is_ours(self) -> bool:
        return _text(self.path) == self.text

    def renew(self) -> None:
        """Renew the file's time until the lock is released."""
        while not self.ended.wait(_RENEWED):
            with suppress(OSError):
                if self.is_ours():
                    os.utime(self.path)

    def release(self) -> None:
        self.ended.set()
        with suppress(OSError):
            if self.is_ours():
                self.path.unlink()
        os.close(self.descriptor)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Reserve a run's folder for this process, and make it if it does not exist. Temporary files of killed runs are removed.

    A folder that was made and is still empty at the end is removed again. Raises InputError, which names the owner, if another
    process has the folder: at once, or, in a SLURM job whose first copy still runs, after 15 minutes. Raises CannotWrite.
    """
    missing = [path for path in (folder, *folder.absolute().parents) if not os.path.exists(path)]
    lock = _taken(folder / LOCK)
    key = folder.absolute()
    _held[key] = lock
    threading.Thread(target=lock.renew, daemon=True, name="run lock").start()
    try:
        remove_partial(folder)
        yield
    finally:
        del _held[key]
        lock.release()
        with suppress(OSError):  # until the first that is not empty
            for path in missing:
                path.rmdir()


def check(folder: Path) -> None:
    """Raises CannotWrite if this process held the folder, and it was removed or taken over since."""
    lock = _held.get(folder.absolute())
    if lock is None or lock.is_ours():
        return
    other = _owner(lock.path)
    what = f"another run took it over ({other})" if other else "it was removed while the program ran"
    raise CannotWrite(f"cannot write into {folder}: {what}; give the same command again, or choose another --basedir")


def _taken(path: Path) -> _Lock:
    until, told = time.monotonic() + _PATIENCE, False
    while True:
        signals.check()
        found = _attempt(path)
        if isinstance(found, _Lock):
            return found
        if not _waits(found) or time.monotonic() > until:
            raise InputError(_sentence(path, found))
        if not told:
            tell(f"{path.parent} is in use ({found}): this job waits until that run ends")
            told = True
        time.sleep(2)


def _attempt(path: Path) -> "_Lock | Owner | None":
    """The lock, or its owner; None for an owner who has not yet written the file."""
    with writing(path):
        descriptor, made = _opened(path)
    keep = False
    try:
        by_kernel = _locked(descriptor)
        if by_kernel is False:
            return _owner(path, patience=1.0)
        if not _is_same(descriptor, path):  # its owner removed it just now
            return _attempt(path)
        owner = None if made else _owner(path, patience=_SETTLED)
        if owner is not None and _lives(owner, path, by_kernel is not None):
            return owner
        with writing(path):
            lock = _Lock(path, descriptor, _write(descriptor))
        if not made and not (by_kernel and owner is not None and owner.here):  # another machine may have done the same
            time.sleep(_SETTLED)
            if not lock.is_ours():
                return _owner(path, patience=1.0)
        keep = True
        return lock
    finally:
        if not keep:
            os.close(descriptor)


def _opened(path: Path) -> tuple[int, bool]:
    """(descriptor of the file, which is made if it is missing; whether it was made)."""
    for _ in range(100):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError, FileNotFoundError):  # the folder was removed just now
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644), True
        with suppress(FileNotFoundError):  # the file was removed just now
            return os.open(path, os.O_RDWR), False
    raise FileNotFoundError(errno.ENOENT, "it cannot be made", str(path))


def _locked(descriptor: int) -> bool | None:
    """Whether this process has the kernel's lock now; None if the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _write(descriptor: int) -> str:
    own = Owner(
        socket.gethostname(),
        _boot(),
        os.getpid(),
        psutil.Process().create_time(),
        os.environ.get("SLURM_JOB_ID", ""),
        time.strftime("%Y-%m-%d %H:%M:%S"),
    )
    text = json.dumps(asdict(own))
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, text.encode())
    os.fsync(descriptor)
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _owner(path: Path, patience: float = 0.0) -> Owner | None:
    """The owner that the file names. Waits up to `patience` seconds while the file is still empty."""
    until = time.monotonic() + patience
    while True:
        try:
            return _checked(Owner(**json.loads(_text(path))))
        except (ValueError, TypeError, RecursionError):
            if time.monotonic() > until:
                return None
            time.sleep(0.05)


def _checked(owner: Owner) -> Owner:
    """The same owner. Raises ValueError for values that this program does not write."""
    texts = owner.host, owner.boot, owner.job, owner.since
    numbers = type(owner.pid) is int and 0 < owner.pid < 1 << 31 and type(owner.started) in (int, float)
    if not numbers or not all(isinstance(text, str) for text in texts):
        raise ValueError
    return owner


def _lives(owner: Owner, path: Path, by_kernel: bool) -> bool:
    """Whether the file's owner still runs. by_kernel: the file system has locks, and the owner does not hold the lock."""
    if owner.here and by_kernel:
        return False
    if not owner.here or owner.host != socket.gethostname():
        return _silence(path) < _SILENT
    try:
        return abs(psutil.Process(owner.pid).create_time() - owner.started) < 1
    except psutil.Error:
        return False


def _silence(path: Path) -> float:
    """Seconds since the owner last renewed the file, on the clock of the file's server."""
    now = path.with_name(f".{LOCK}.{os.getpid()}.partial")
    try:
        with writing(now):
            now.touch()
            return now.stat().st_mtime - path.stat().st_mtime
    finally:
        now.unlink(missing_ok=True)


def _waits(owner: Owner | None) -> bool:
    """Whether this is a requeued SLURM job whose first copy has not ended yet."""
    job = os.environ.get("SLURM_JOB_ID", "")
    again = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return bool(job) and again and (owner is None or owner.job == job)


def _sentence(path: Path, owner: Owner | None) -> str:
    who = f" ({owner})" if owner else ""
    gone = ""
    if owner is not None and not owner.here:
        gone = f", or, if that machine is gone, give the command again in {_SILENT / 60:.0f} minutes"
    return f"{path.parent} is in use by another run{who}: wait until it ends, stop it, or choose another --basedir{gone}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(round(psutil.boot_time()))
