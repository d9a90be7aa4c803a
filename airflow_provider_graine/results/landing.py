"""
Lands a stream of bytes at an object storage path: the whole file appears there at once, or nothing does.

How, by store:

==================================  ===================================================================================
``s3``, ``gs``                      A multipart (resumable) upload, completed at the end and aborted on any error.
``abfs``                            Blocks are staged and their list is committed at the end. Azure drops blocks that
                                    were never committed after a week.
local, ``sftp``, others             A hidden ``.<name>.<random>.part`` beside the target, renamed at the end and deleted
                                    on any error. An SFTP server that cannot rename over a file refuses to replace one.
==================================  ===================================================================================

A process that is killed outright cleans up nothing: what may stay is an uncompleted multipart upload (let a lifecycle
rule of the bucket abort those) or a ``.part`` file, and never part of a file under the target's name.

Paths are taken as they come (``fs`` and ``path``, as ``ObjectStoragePath`` has them); nothing of Airflow is imported.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from airflow_provider_graine.exceptions import ConfigurationError, LandingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

IfExists = Literal["fail", "replace", "skip"]
Compression = Literal["gzip"]

DEFAULT_BLOCK_SIZE = 8 * 2**20  #: bytes; S3 takes 10,000 parts, so files of up to 80 GiB

_COMMITTED_APART = {"s3", "s3a", "gs", "gcs"}
_COMMITTED_ON_CLOSE = {"abfs", "abfss", "az", "adl"}
_ON_DISK = {"file", "local"}
_SFTP_OP_UNSUPPORTED = 8
_GZIP = 31  # zlib's window bits for the gzip format; its header then has neither time nor file name


class StoragePath(Protocol):
    """The part of ``airflow.sdk.ObjectStoragePath`` that landing needs; any ``upath.UPath`` has it too."""

    @property
    def fs(self) -> Any:
        """The fsspec file system."""

    @property
    def protocol(self) -> str:
        """The protocol as written (``s3``), empty for a plain local path."""

    @property
    def path(self) -> str:
        """The path within the file system, without protocol and connection id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LandedFile:
    """
    A file in the object store.

    :param uri: where it is, for any reader: without connection id and credentials (``s3://bucket/key``,
        ``file:///data/calls.csv``)
    :param bytes: its size as stored, that is after compression
    :param sha256: of the file as stored, hexadecimal; ``None`` where an existing file was left alone
    :param skipped: whether the file was there already and was left alone
    """

    uri: str
    bytes: int
    sha256: str | None
    skipped: bool = False


def uri_of(path: StoragePath) -> str:
    """
    Where a file is, for any reader.

    :param path: an ``ObjectStoragePath`` or alike
    :return: its URI without connection id and credentials; what only the connection knows, as the host of an SFTP
        server, is not in it
    """
    return f"{path.protocol or 'file'}://{path.fs._strip_protocol(path.path)}"


def ensure_may_write(path: StoragePath, *, if_exists: IfExists = "fail") -> LandedFile | None:
    """
    Look whether a file may be landed, before anything is fetched for it.

    :param path: the target
    :param if_exists: what to do about a file that is there: ``"fail"`` (default), ``"replace"`` it, or ``"skip"``
    :return: the existing file where it is to be left alone, ``None`` where the file is to be written
    :raises LandingError: if the file exists and ``if_exists`` is ``"fail"``, or the store does not answer
    :raises ConfigurationError: if ``path`` names a directory, or ``if_exists`` is none of the three
    """
    if if_exists not in get_args(IfExists):
        raise ConfigurationError("if_exists can be 'fail', 'replace' or 'skip'.")
    fs, uri = path.fs, uri_of(path)
    if not _name(path):
        raise ConfigurationError(f"{uri} names a directory. Give the path of a file.")
    if if_exists == "replace":
        return None  # nothing to know, and a role that may only write cannot look
    with _errors_of_the_store(f"Could not look whether {uri} exists", "Nothing was written."):
        fs.invalidate_cache(fs._parent(path.path))  # a listing kept from earlier may be out of date
        try:
            found = fs.info(path.path)
        except FileNotFoundError:
            return None
    if found["type"] == "directory":
        raise ConfigurationError(f"{uri} is a directory. Give the path of a file.")
    if if_exists == "fail":
        raise LandingError(
            f"{uri} exists already and was left as it is. Give another path, or say if_exists='replace' or 'skip'."
        )
    return LandedFile(uri=uri, bytes=found["size"], sha256=None, skipped=True)


def land(
    path: StoragePath,
    blocks: Iterable[bytes],
    *,
    if_exists: IfExists = "fail",
    compress: Compression | None = None,
    block_size: int = DEFAULT_BLOCK_SIZE,
) -> LandedFile:
    """
    Write a stream of bytes to a file that appears whole or not at all.

    Whatever ``blocks`` raises passes through as it is, after all that was written is thrown away; so a source that
    finds itself incomplete prevents the file by raising at its end. A file replaced stays as it was until then.

    :param path: the target; missing directories are made
    :param blocks: the content, in blocks of any size; not touched when the file may not or need not be written
    :param if_exists: what to do about a file that is there: ``"fail"`` (default), ``"replace"`` it, or ``"skip"``. It
        is looked at before the first block and again before the file appears
    :param compress: ``"gzip"`` or ``None`` (default). Equal content gives equal bytes
    :param block_size: bytes of one part of a multipart upload (default 8 MiB, at least 5 MiB on S3)
    :return: what was landed, or the existing file marked ``skipped``
    :raises LandingError: if the file exists and ``if_exists`` is ``"fail"``, or the store failed
    :raises ConfigurationError: if ``path`` names a directory, or an argument is none of its choices
    """
    if compress is not None and compress not in get_args(Compression):
        raise ConfigurationError("compress can be 'gzip' or None.")
    if existing := ensure_may_write(path, if_exists=if_exists):
        return existing

    uri = uri_of(path)
    digest, size = hashlib.sha256(), 0
    failed = f"Could not write {uri}", "No partial file was left, and nothing was replaced. Try again."
    upload = _upload_to(path, block_size)

    # The store has a thread of its own: a block is written while the next one is made, and a timeout or a kill, raised
    # in the main thread, cannot lose what a step is about to note, such as the id of a multipart upload.
    with ThreadPoolExecutor(1, thread_name_prefix="landing") as store:
        try:
            step: Future[None] = store.submit(upload.open)
            with _errors_of_the_store(*failed):
                step.result()
            for block in _encoded(blocks, compress):
                with _errors_of_the_store(*failed):
                    step.result()
                step = store.submit(upload.write, block)
                digest.update(block)
                size += len(block)
            with _errors_of_the_store(*failed):
                step.result()
            if existing := ensure_may_write(path, if_exists=if_exists):
                store.submit(upload.discard).result()
                return existing
            with _errors_of_the_store(
                f"Could not finish {uri}", "No partial file was left: it is there whole or not at all. Try again."
            ):
                store.submit(upload.commit).result()
        except BaseException:
            store.submit(upload.discard).result()
            raise
    return LandedFile(uri=uri, bytes=size, sha256=digest.hexdigest())


def _name(path: StoragePath) -> str:
    return path.path.rpartition("/")[2]


@contextmanager
def _errors_of_the_store(what: str, state: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Only the kind of error: a store's own text may quote requests, and with them signatures.
        reason = type(error).__name__
        if isinstance(error, OSError) and error.errno:
            reason += f": {os.strerror(error.errno)}"
        raise LandingError(f"{what} ({reason}). {state}") from error


def _encoded(blocks: Iterable[bytes], compress: Compression | None) -> Iterator[bytes]:
    if compress is None:
        yield from blocks
        return
    gzip = zlib.compressobj(wbits=_GZIP)
    for block in blocks:
        if packed := gzip.compress(block):
            yield packed
    yield gzip.flush()


class _Upload:
    """A file on its way: ``open``, ``write`` …, and then either ``commit`` or ``discard``."""

    def __init__(self, path: StoragePath, block_size: int) -> None:
        self._fs = path.fs
        self._path = path.path
        self._uri = uri_of(path)
        self._block_size = block_size
        self._file: Any = None

    def open(self) -> None:
        raise NotImplementedError

    def write(self, block: bytes) -> None:
        self._file.write(block)

    def commit(self) -> None:
        raise NotImplementedError

    def discard(self) -> None:
        """Leave nothing behind. Never raises: whoever discards has an error of their own to report."""
        try:
            self._throw_away()
        except Exception as error:
            log.warning(
                "Could not clean up after an unfinished write to %s (%s). No partial file is visible there; "
                "what was sent may stay in the store as an unfinished upload or a hidden .part file.",
                self._uri,
                type(error).__name__,
            )

    def _throw_away(self) -> None:
        raise NotImplementedError


class _CommittedApart(_Upload):
    """S3 and Google: closing the file sends its last part, committing it makes the object."""

    def open(self) -> None:
        self._file = self._fs.open(self._path, "wb", block_size=self._block_size, autocommit=False)
        # fsspec keeps such a file for a transaction, for the life of the file system; this one is our own.
        with suppress(ValueError):
            self._fs.transaction.files.remove(self._file)

    def commit(self) -> None:
        self._file.close()
        self._file.commit()

    def _throw_away(self) -> None:
        if self._file is not None:
            self._file.forced = True  # closing sends nothing more
            self._file.close()
            self._file.discard()


class _CommittedOnClose(_Upload):
    """Azure: blocks are staged, closing the file commits their list."""

    def open(self) -> None:
        self._file = self._fs.open(self._path, "wb", block_size=self._block_size)
        self._file._unclosable = True  # or the garbage collector would commit what was abandoned

    def commit(self) -> None:
        self._file._unclosable = False
        self._file.close()

    def _throw_away(self) -> None:
        if self._file is not None:
            self._file.forced = True  # closing sends nothing more
            self._file._unclosable = False
            self._file.close()


class _Renamed(_Upload):
    """Everything else: written beside the target under a name of its own, then renamed."""

    def __init__(self, path: StoragePath, block_size: int) -> None:
        super().__init__(path, block_size)
        self._parent = self._fs._parent(self._path)
        self._part = f"{self._parent.rstrip('/')}/.{_name(path)}.{secrets.token_hex(8)}.part"

    def open(self) -> None:
        if self._fs.isdir(self._path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))  # a rename would move into it
        try:
            self._file = self._fs.open(self._part, "wb")
        except FileNotFoundError:
            self._fs.makedirs(self._parent, exist_ok=True)
            self._file = self._fs.open(self._part, "wb")

    def commit(self) -> None:
        self._file.close()
        self._rename()

    def _rename(self) -> None:
        self._fs.mv(self._part, self._path)

    def _throw_away(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            with suppress(FileNotFoundError):
                self._fs.rm(self._part)


class _RenamedOnDisk(_Renamed):
    """Local files. ``mv`` would copy where the system refuses the rename, and a copy is seen while it grows."""

    def _rename(self) -> None:
        os.replace(self._fs._strip_protocol(self._part), self._fs._strip_protocol(self._path))


class _RenamedOverSftp(_Renamed):
    """SFTP as sshfs speaks it. Its ``mv`` would copy, too, where a server cannot rename over a file."""

    def _rename(self) -> None:
        from fsspec.asyn import sync

        sync(self._fs.loop, self._ask_to_rename)

    async def _ask_to_rename(self) -> None:
        async with self._fs._pool.get() as channel:
            try:
                await channel.posix_rename(self._part, self._path)
            except Exception as error:
                if getattr(error, "code", None) != _SFTP_OP_UNSUPPORTED:
                    raise
                await channel.rename(self._part, self._path)  # refused where the target exists


def _upload_to(path: StoragePath, block_size: int) -> _Upload:
    protocol = path.fs.protocol
    protocols = {protocol} if isinstance(protocol, str) else set(protocol)
    if protocols & _COMMITTED_APART:
        return _CommittedApart(path, block_size)
    if protocols & _COMMITTED_ON_CLOSE:
        return _CommittedOnClose(path, block_size)
    if protocols & _ON_DISK:
        return _RenamedOnDisk(path, block_size)
    if type(path.fs).__module__.partition(".")[0] == "sshfs":  # its protocol is the default, "abstract"
        return _RenamedOverSftp(path, block_size)
    return _Renamed(path, block_size)
