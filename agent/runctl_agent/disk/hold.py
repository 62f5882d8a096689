"""One file held so that nobody can take it away: by reflink (ioctl_ficlone(2)), hard link (linkat(2)) or copy.

The source is open all the while and the link is made from the descriptor, so that what is held is what was looked at.
"""

from __future__ import annotations

import errno
import fcntl
import os

from runctl_agent.records import FileId

from .openat import file_id

FICLONE = 0x40049409
CHUNK = 16 << 20
"""Bytes copied before their pages are given back."""

SHORT = frozenset({errno.ENOSPC, errno.EDQUOT})
UNWRITABLE = SHORT | {errno.EROFS}
"""What a file system fails with that takes nothing new: no block or inode is left, or it was remounted read-only."""
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.EAGAIN})
"""What opening a path fails with once something else lies there, or nothing; EAGAIN: someone has a write lease on it."""
NO_REFLINK = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ETXTBSY}
)
NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOENT})
NO_COPY_RANGE = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.ETXTBSY})


def same(one: FileId, other: FileId) -> bool:
    """Equal but for the device number, which may change over a reboot."""
    return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def reflink(source: int, directory: int, name: str) -> FileId | None:
    """Clone the open file `source` as `name`; None where this file system can't."""
    target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    try:
        fcntl.ioctl(target, FICLONE, source)
        return _as_old_as(source, target)
    except OSError as error:
        os.unlink(name, dir_fd=directory)
        if error.errno in NO_REFLINK | SHORT:  # a link may still fit
            return None
        raise
    finally:
        os.close(target)


def link(source: int, directory: int, name: str) -> FileId | None:
    """Give the open file `source` another name; None where that is not allowed, or it has no name left."""
    try:
        os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=directory, follow_symlinks=True)
    except OSError as error:
        if error.errno in NO_LINK:
            return None
        raise
    return file_id(os.stat(name, dir_fd=directory, follow_symlinks=False))


def copy(source: int, directory: int, name: str) -> FileId:
    """Copy the open file `source`; the pages read for it are given back."""
    target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    try:
        _pour(source, target, os.fstat(source).st_size)
        return _as_old_as(source, target)
    finally:
        os.close(target)


def _pour(source: int, target: int, size: int) -> None:
    """Copy up to `size` bytes; fewer if the source is cut short meanwhile, which its identity tells."""
    done = 0
    while done < size:
        count = _copy_chunk(source, target, done, min(CHUNK, size - done))
        if count == 0:
            return
        os.posix_fadvise(source, done, count, os.POSIX_FADV_DONTNEED)
        done += count


def _copy_chunk(source: int, target: int, offset: int, length: int) -> int:
    try:
        return os.copy_file_range(source, target, length, offset, offset)
    except OSError as error:
        if error.errno not in NO_COPY_RANGE:
            raise
    return os.pwrite(target, os.pread(source, length, offset), offset)


def _as_old_as(source: int, target: int) -> FileId:
    """Give the target its source's times, for restore writes them; and its identity."""
    status = os.fstat(source)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    return file_id(os.fstat(target))
