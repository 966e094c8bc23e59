#!/usr/bin/env python3
"""Checks a Gatehouse audit bundle without Gatehouse, its database or a network.

    audit_verify.py BUNDLE [--key VKEY] [--since CHECKPOINT]... [--json]

The second of two verifiers. It was written from docs/audit-format.md and the specifications that text names (RFC 6962,
RFC 9162, C2SP signed-note and tlog-checkpoint), and shares nothing with the first one, which is part of the program.
"§" below is a section of docs/audit-format.md; "check 7" is the line of that number in its §7.

A bundle is read once, from front to back, and in little memory. The first thing that is wrong ends the reading.

Exit codes: 0 all proven; 1 tampered; 2 malformed, or not readable; 3 nothing contradicts, but not all is proven.

Needs Python 3.9 or newer and the package `cryptography`, for one thing: Ed25519 signatures.
"""

import argparse
import base64
import binascii
import datetime
import hashlib
import json
import re
import struct
import sys
import tempfile
import traceback
import zlib
from collections import namedtuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PROVEN, TAMPERED, MALFORMED, INCOMPLETE = 0, 1, 2, 3
WORDS = ("proven", "tampered", "malformed", "incomplete")

MIB = 1 << 20
LINE_LIMIT = 16 * MIB
MANIFEST_LIMIT = 64 * MIB
MEMBER_LIMIT = MIB
NUMBER_LIMIT = 1 << 63
DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
SILENCE = datetime.timedelta(minutes=65)


class Failure(Exception):
    """What ends the reading: an exit code, the check of §7 that failed, the entry it concerns, and a sentence."""

    def __init__(self, code, check, message, seq=None):
        super().__init__(message)
        self.code, self.check, self.message, self.seq = code, check, message, seq


def tampered(check, message, seq=None):
    return Failure(TAMPERED, check, message, seq)


def malformed(check, message, seq=None):
    return Failure(MALFORMED, check, message, seq)


# --- The tree: RFC 6962 §2.1 ------------------------------------------------------------------------------------------


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that only grows: the roots of the perfect subtrees on its right edge, largest first."""

    def __init__(self):
        self.size = 0
        self.edge = []

    def push(self, leaf):
        # Each one-bit at the end of the size is a finished subtree as large as the node being carried.
        node, size = leaf, self.size
        while size & 1:
            node = node_hash(self.edge.pop(), node)
            size >>= 1
        self.edge.append(node)
        self.size += 1

    def root(self):
        if not self.edge:
            return hashlib.sha256().digest()
        node = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            node = node_hash(left, node)
        return node


def is_included(index, size, leaf, root, proof):
    """RFC 9162 §2.1.3.2. A proof that is too long or too short is none."""
    if index >= size:
        return False
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and node == root


def is_consistent(size1, size2, root1, root2, proof):
    """RFC 9162 §2.1.4.2, and what it leaves to the caller: nothing is a part of everything, all is a part of itself."""
    if size1 > size2:
        return False
    if size1 == 0:
        return not proof and root1 == Tree().root()
    if size1 == size2:
        return not proof and root1 == root2
    if not proof:
        return False
    path = list(proof)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    node1 = node2 = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            node1 = node_hash(sibling, node1)
            node2 = node_hash(sibling, node2)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            node2 = node_hash(node2, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and node1 == root1 and node2 == root2


# --- Keys and notes: §3, §4, C2SP signed-note -------------------------------------------------------------------------


def unbase64(text, length=None):
    """The bytes, or None if the text is not their one canonical form, or not of this length."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    canonical = base64.b64encode(data).decode("ascii") == text
    return data if canonical and length in (None, len(data)) else None


def unutf8(raw, check, what):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(check, f"{what} is not UTF-8")


def decimal(text):
    """The number, or None if this is not its one canonical form."""
    number = int(text) if DECIMAL.fullmatch(text) else NUMBER_LIMIT
    return number if number < NUMBER_LIMIT else None


def is_key_name(name):
    return name != "" and "+" not in name and not any(c.isspace() for c in name)


Key = namedtuple("Key", "name id public")
Note = namedtuple("Note", "what text signatures")
Checkpoint = namedtuple("Checkpoint", "note origin size root")
Head = namedtuple("Head", "note origin size scope count leaf")


def parse_key(text, what):
    """A vkey: name, key id and public key, joined by "+"; the last may contain a "+" itself."""
    fields = text.split("+", 2)
    raw = unbase64(fields[2], 33) if len(fields) == 3 else None
    if raw is None or raw[0] != 1 or not is_key_name(fields[0]):
        raise malformed(2, f"{what} is not the public key of a log")
    key_id = hashlib.sha256(fields[0].encode() + b"\n" + raw).digest()[:4]
    if fields[1] != key_id.hex():
        raise malformed(2, f"{what}: the key id does not belong to the key")
    return Key(fields[0], key_id, Ed25519PublicKey.from_public_bytes(raw[1:]))


def parse_note(raw, what):
    """Check 2, as far as it concerns all notes."""
    note = unutf8(raw, 2, what)
    if any(c < " " and c != "\n" for c in note):
        raise malformed(2, f"{what} has control characters")
    end = note.rfind("\n\n")
    if end < 0 or not note.endswith("\n"):
        raise malformed(2, f"{what} is not a signed note")
    lines = note[end + 2 : -1].split("\n")
    if not 1 <= len(lines) <= 16:
        raise malformed(2, f"{what} has {len(lines)} signatures")
    signatures = []
    for line in lines:
        fields = line.split(" ")
        data = unbase64(fields[2]) if len(fields) == 3 else None
        if data is None or len(data) < 5 or fields[0] != "\u2014" or not is_key_name(fields[1]):
            raise malformed(2, f"{what}: a line of its signatures is none")
        signatures.append((fields[1], data[:4], data[4:]))
    return Note(what, note[: end + 1], signatures)


def check_signature(note, key):
    """Check 3. Signatures of others are passed over; a wrong one under the believed key's name and id spoils the note."""
    found = False
    for name, key_id, signature in note.signatures:
        if (name, key_id) == (key.name, key.id):
            try:
                key.public.verify(signature, note.text.encode())
            except InvalidSignature:
                raise tampered(3, f"{note.what}: the signature is wrong")
            found = True
    if not found:
        raise tampered(3, f"{note.what} is not signed by {key.name}+{key.id.hex()}")


def parse_checkpoint(raw, what):
    """Check 2 for a checkpoint."""
    note = parse_note(raw, what)
    lines = note.text[:-1].split("\n")
    size = decimal(lines[1]) if len(lines) == 3 else None
    root = unbase64(lines[2], 32) if len(lines) == 3 else None
    if size is None or root is None or not lines[0]:
        raise malformed(2, f"{what} is not a checkpoint of three lines: origin, size, root")
    return Checkpoint(note, lines[0], size, root)


def parse_head(raw, what):
    """Check 2 for a head."""
    note = parse_note(raw, what)
    lines = note.text[:-1].split("\n")
    wrong = malformed(2, f"{what} is not a head of six lines")
    if len(lines) != 6 or lines[0] != "gatehouse-audit-head/v1":
        raise wrong
    kind, *ids = lines[3].split(" ")
    names = {"workspace": ["workspace"], "tenant": ["workspace", "tenant"]}.get(kind, [])
    size, count, leaf = decimal(lines[2]), decimal(lines[4]), unbase64(lines[5], 32)
    if not names or len(ids) != len(names) or not all(ids) or size is None or count is None:
        raise wrong
    if leaf is None and lines[5] != "-":
        raise wrong
    return Head(note, lines[1], size, {"type": kind, **dict(zip(names, ids))}, count, leaf)


def epoch_of(origin, key, what):
    """Check 4: the key's name is the origin of the first epoch, later ones have their number behind it."""
    if origin == key.name:
        return 1
    if origin.startswith(key.name + "/"):
        epoch = decimal(origin[len(key.name) + 1 :])
        if epoch is not None and epoch >= 2:
            return epoch
    raise tampered(4, f"{what}: the origin {origin!r} is not of the log {key.name!r}")


# --- JSON: check 5 ----------------------------------------------------------------------------------------------------


def _object(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member stands twice")
    return value


def _number(text):
    value = decimal(text)
    return value if value is not None else _refused(text)


def _refused(text):
    raise ValueError(f"{text[:30]} is not a number of this format")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_number, parse_float=_refused, parse_constant=_refused)


def parse_json(text, where, start=0):
    """The value that begins at `start`, and where it ends."""
    try:
        value, end = DECODER.raw_decode(text, start)
        if "\\u" in text:
            # The decoder lets halves of surrogate pairs through; UTF-8 does not.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise malformed(5, f"{where}: {error}")
    return value, end


def parse_document(raw, where):
    """A member, or a line, that is one JSON object."""
    text = unutf8(raw, 5, where).strip(" \t\r\n")
    value, end = parse_json(text, where)
    if end != len(text):
        raise malformed(5, f"{where}: bytes after the value")
    return value


# A shape is a function that says whether a value is of it.

def text(value):
    return type(value) is str


def number(value):
    return type(value) is int


def hash_(value):
    return type(value) is str and HEX.fullmatch(value) is not None


def time(value):
    return type(value) is str and parse_time(value) is not None


def word(*words):
    return lambda value: type(value) is str and value in words


def or_null(shape):
    return lambda value: value is None or shape(value)


def list_of(shape):
    return lambda value: type(value) is list and all(map(shape, value))


def has(**members):
    """An object with exactly these members, each of its shape."""
    shapes = members.items()
    return lambda value: (type(value) is dict and value.keys() == members.keys()
                          and all([shape(value[name]) for name, shape in shapes]))


def parse_time(value):
    """A time of this format, or None; days and hours that do not exist are none."""
    match = TIME.fullmatch(value)
    try:
        return match and datetime.datetime(*map(int, match.groups()[:6]), int(match[7]) * 1000)
    except ValueError:
        return None


HEX = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z", re.ASCII)

SCOPES = {
    "log": has(type=text),
    "workspace": has(type=text, workspace=text),
    "tenant": has(type=text, workspace=text, tenant=text),
    "partial": has(type=text, filter=text),
}
BUNDLE = has(
    format=word("gatehouse-audit-bundle/v1"), origin=text, size=number, exportedAt=time,
    scope=lambda value: type(value) is dict and word(*SCOPES)(value.get("type")) and SCOPES[value["type"]](value),
)
PROOF = list_of(lambda value: text(value) and unbase64(value, 32) is not None)
INCLUSION = has(seq=number, proof=PROOF)
CONSISTENCY = has(size=number, proof=PROOF)
MANIFEST = has(
    count=number, firstSeq=or_null(number), lastSeq=or_null(number),
    members=list_of(has(name=text, bytes=number, sha256=hash_)),
)
LINK = or_null(has(seq=number, previous=or_null(hash_)))
DETAIL_NAMES = ("names", "context", "change", "reason")
DETAILS = list_of(has(part=word(*DETAIL_NAMES), salt=hash_, body=text))
ENTRY = has(
    v=lambda value: number(value) and value == 1,
    seq=number,
    at=time,
    workspace=or_null(text), inWorkspace=LINK,
    tenant=or_null(text), inTenant=LINK,
    actor=has(id=text, keyPrefix=or_null(text), type=word("admin", "key", "system", "anonymous")),
    action=text,
    outcome=word("intent", "succeeded", "gone", "denied", "refused", "failed", "in_doubt", "applied", "not_applied", "unknown"),
    targets=list_of(has(id=text, type=text)),
    upstream=or_null(has(code=or_null(text), latencyMs=number, status=or_null(number))),
    opId=or_null(text), jobId=or_null(text),
    commitments=lambda value: type(value) is dict and all(n in DETAIL_NAMES and hash_(h) for n, h in value.items()),
)
AFTER_ENTRY = re.compile(r',"leaf":"([0-9a-f]{64})","details":(?=\[)')


# --- The archive: check 1 ---------------------------------------------------------------------------------------------
# Read by hand: `tarfile` and `gzip` are made to get out of a damaged file what they can, and pass over what they do not know.


OCTAL = re.compile(rb"[0-7]+[ \0]*")


class Gunzip:
    """The content of one gzip member, with the `read` of a file."""

    def __init__(self, file):
        self.file, self.inflate, self.buffer = file, zlib.decompressobj(31), b""

    def read(self, count):
        while len(self.buffer) < count and not self.inflate.eof:
            data = self.inflate.unconsumed_tail or self.file.read(64 * 1024)
            if not data:
                raise malformed(1, "the gzip stream breaks off")
            try:
                self.buffer += self.inflate.decompress(data, MIB)
            except zlib.error as error:
                raise malformed(1, f"the gzip stream is damaged: {error}")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def has_rest(self):
        return bool(self.inflate.unused_data or self.file.read(1))


class Member:
    """One file of the archive. What is read of it is counted and hashed, for the manifest."""

    def __init__(self, name, size, read):
        self.name, self.size, self.left, self.take = name, size, size, read
        self.sha256 = hashlib.sha256()

    def read(self, count):
        data = self.take(min(count, self.left))
        self.left -= len(data)
        self.sha256.update(data)
        return data

    def bounded(self, limit=MEMBER_LIMIT):
        if self.size > limit:
            raise malformed(1, f"{self.name} is larger than {limit} bytes")
        return self

    def all(self):
        return self.read(self.size)

    def lines(self):
        """The lines with the name that messages call them by."""
        number, rest = 0, b""
        while self.left:
            lines = (rest + self.read(MIB)).split(b"\n")
            rest = lines.pop()
            for line in lines + [rest] * (len(rest) > LINE_LIMIT):
                number += 1
                where = f"{self.name}, line {number}"
                if len(line) > LINE_LIMIT:
                    raise malformed(5, f"{where} is longer than {LINE_LIMIT} bytes")
                yield where, line
        if rest:
            raise malformed(5, f"{self.name}: the last line has no end")


class Archive:
    """The members of a tar archive, compressed or not, in their order. One is read to its end before the next."""

    BLOCK, RECORD = 512, 10240

    def __init__(self, file):
        magic = file.read(2)
        file.seek(0)
        self.gunzip = Gunzip(file) if magic == b"\x1f\x8b" else None
        self.file, self.position = self.gunzip or file, 0
        self.members = []

    def take(self, count):
        data = self.file.read(count)
        if len(data) != count:
            raise malformed(1, "the archive breaks off")
        self.position += count
        return data

    def next(self):
        """The next member, or None at the end of the archive."""
        if self.members:
            member = self.members[-1]
            if member.left or any(self.take(-member.size % self.BLOCK)):
                raise malformed(1, f"{member.name}: bytes after its end")
        header = self.take(self.BLOCK)
        if not any(header):
            self.end()
            return None
        member = Member(*self.parse(header), self.take)
        if member.size == 0 and "/" in member.name:
            raise malformed(1, f"{member.name} is empty")
        self.members.append(member)
        return member

    def expect(self, name):
        member = self.next()
        if member is None or member.name != name:
            raise malformed(1, f"{member.name if member else 'the end'} is where {name} should be")
        return member

    def parse(self, header):
        """Name and size from a ustar header. Whatever else stands there says nothing about the content."""
        name, size, checksum = header[:100].rstrip(b"\0"), header[124:136], header[148:156]
        plain = not header[345:500].strip(b"\0") and re.fullmatch(rb"[a-z0-9./]+", name)
        if header[257:265] != b"ustar\x0000" or not plain or not OCTAL.fullmatch(size) or not OCTAL.fullmatch(checksum):
            raise malformed(1, "not a header of a tar archive (ustar)")
        # The checksum counts its own eight bytes as spaces.
        if int(checksum.strip(b" \0"), 8) != sum(header) - sum(checksum) + 8 * 32:
            raise malformed(1, "the checksum of a header of the archive is wrong")
        if header[156:157] != b"0":
            raise malformed(1, f"{name.decode()} is not a regular file")
        return name.decode(), int(size.strip(b" \0"), 8)

    def end(self):
        """Two blocks of zeros, of which one has been read; then nothing, or zeros up to the end of the record."""
        if any(self.take(self.BLOCK)):
            raise malformed(1, "bytes after the end of the archive")
        fill = -self.position % self.RECORD
        rest = self.file.read(fill + 1)
        if any(rest) or len(rest) not in (0, fill):
            raise malformed(1, "bytes after the end of the archive")
        if self.gunzip and self.gunzip.has_rest():
            raise malformed(1, "bytes after the gzip stream")


# --- The verifier: §7 -------------------------------------------------------------------------------------------------


class Since(namedtuple("Since", "checkpoint epoch")):
    """An earlier checkpoint that somebody has kept, and the epoch that it is of."""

    def __str__(self):
        return f"{self.checkpoint.note.what} (size {self.checkpoint.size}, epoch {self.epoch})"


class Verifier:
    """Reads one bundle. `run` raises a `Failure`, or returns with what is missing in `incomplete`."""

    def __init__(self, key, since):
        """`key`: the `Key` to believe, or None. `since`: `Checkpoint`s whose signatures have not been checked."""
        self.key, self.given, self.checkpoints = key, key is not None, since
        self.incomplete, self.stops, self.restores = [], [], []
        self.scope = self.bundle = self.checkpoint = self.head = None
        self.epoch, self.anchored, self.sinces = None, 0, []
        # Of the entries read so far:
        self.tree, self.chains, self.roots = Tree(), {}, {}
        self.count = self.details_missing = 0
        self.first_seq = self.last_seq = self.last_at = self.last_time = self.last_leaf = None
        if key:
            self.read_sinces()

    def read_sinces(self):
        """Signatures and origins of the earlier checkpoints, as soon as the key is known."""
        for earlier in self.checkpoints:
            check_signature(earlier.note, self.key)
            self.sinces.append(Since(earlier, epoch_of(earlier.origin, self.key, earlier.note.what)))
            self.roots[earlier.size] = None

    def run(self, file):
        archive = Archive(file)
        self.read_bundle(archive.expect("bundle.json"))
        self.read_key(archive.expect("key.vkey"))
        self.read_checkpoint(archive.expect("checkpoint.note"))
        if self.scope["type"] in ("workspace", "tenant"):
            self.read_head(archive.expect("head.note"))
        self.read_consistency(archive.expect("consistency.ndjson"))
        part, member = 1, archive.next()
        while member and member.name == f"entries/{part:06d}.ndjson":
            self.read_part(member, archive, part)
            part, member = part + 1, archive.next()
        if member is None or member.name != "manifest.json":
            raise malformed(1, f"{member.name if member else 'the end'} is where manifest.json should be")
        self.check_end()
        self.read_manifest(member, archive.members[:-1])
        if archive.next():
            raise malformed(1, "a member after manifest.json")

    # What stands before the entries

    def read_bundle(self, member):
        self.bundle = parse_document(member.bounded().all(), member.name)
        if not BUNDLE(self.bundle):
            raise malformed(5, "bundle.json does not describe a bundle of this format")
        self.scope = self.bundle["scope"]

    def read_key(self, member):
        text = member.bounded().all().decode("utf-8", "replace")
        if not text.endswith("\n"):
            raise malformed(2, "key.vkey has no end of line")
        own = parse_key(text[:-1], "key.vkey")
        if not self.given:
            self.key = own
            self.incomplete.append("no key was given: whoever made the bundle could have made its key as well")
            self.read_sinces()

    def read_checkpoint(self, member):
        checkpoint = self.checkpoint = parse_checkpoint(member.bounded().all(), member.name)
        check_signature(checkpoint.note, self.key)
        self.epoch = epoch_of(checkpoint.origin, self.key, member.name)
        self.check_same(checkpoint, "bundle.json", self.bundle["origin"], self.bundle["size"])
        for since in self.sinces:
            self.compare(since)
        if self.epoch != 1 and all(since.epoch != self.epoch for since in self.sinces):
            self.incomplete.append(f"this is epoch {self.epoch} of the log: it was restored from an older copy, and what was lost is unknown")

    def check_same(self, checkpoint, what, origin, size):
        if (origin, size) != (checkpoint.origin, checkpoint.size):
            raise tampered(4, f"{what} has another origin or size than checkpoint.note")

    def compare(self, since):
        """Check 11, as far as the two checkpoints alone say it."""
        newer, older = self.checkpoint, since.checkpoint
        if since.epoch > self.epoch or (since.epoch == self.epoch and older.size > newer.size):
            raise tampered(11, f"{since} is newer than the bundle (size {newer.size}, epoch {self.epoch}): entries were taken away")
        if since.epoch == self.epoch and older.size == newer.size and older.root != newer.root:
            raise tampered(11, f"{since} has the bundle's size and another root: a fork. Keep both, they are evidence")

    def read_head(self, member):
        head = self.head = parse_head(member.bounded().all(), member.name)
        check_signature(head.note, self.key)
        epoch_of(head.origin, self.key, member.name)
        self.check_same(self.checkpoint, member.name, head.origin, head.size)
        if head.scope != self.scope:
            raise tampered(4, "head.note is not of the workspace or tenant that the bundle names")

    def read_consistency(self, member):
        """Check 11 where the entries are not all here: the proof from each `--since` to the checkpoint."""
        last, proofs = -1, {}
        for where, line in member.bounded().lines():
            value = parse_document(line, where)
            if not CONSISTENCY(value) or value["size"] <= last:
                raise malformed(5, f"{where} is not a consistency proof, or not of a larger size than the one before")
            last = value["size"]
            proofs[last] = [unbase64(text) for text in value["proof"]]
        if self.scope["type"] == "log":
            return
        newer = self.checkpoint
        for since in self.sinces:
            older = since.checkpoint
            # Of nothing, and of the same, there is nothing to prove.
            proof = proofs.get(older.size, [] if older.size in (0, newer.size) else None)
            if proof is not None and is_consistent(older.size, newer.size, older.root, newer.root, proof):
                self.anchored = max(self.anchored, older.size)
            elif since.epoch < self.epoch:
                self.incomplete.append(f"{since} is of an earlier epoch and not proven to be a part of this log: entries of it may be lost")
            elif proof is None:
                self.incomplete.append(f"{since}: no consistency proof here, nothing says that the log still has what it had then")
            else:
                raise tampered(11, f"{since} is not a part of the log that the bundle is from")

    # Entries

    def read_part(self, member, archive, part):
        if self.scope["type"] == "log":
            for where, line in member.lines():
                self.read_entry(where, line)
            return
        # What the proofs that follow have to be of. It goes to a file if it is much, since nothing bounds a part.
        place = struct.Struct(">Q32s")
        with tempfile.SpooledTemporaryFile(max_size=32 * MIB) as places:
            for where, line in member.lines():
                places.write(place.pack(*self.read_entry(where, line)))
            places.seek(0)
            proofs = archive.expect(f"proofs/{part:06d}.ndjson")
            for where, line in proofs.lines():
                value = parse_document(line, where)
                if not INCLUSION(value):
                    raise malformed(5, f"{where} is not an inclusion proof")
                wanted = places.read(place.size)
                if not wanted:
                    raise tampered(8, f"{where}: a proof without an entry", value["seq"])
                seq, leaf = place.unpack(wanted)
                if value["seq"] != seq:
                    raise tampered(8, f"{where}: the proof is of entry {value['seq']}", seq)
                path = [unbase64(text) for text in value["proof"]]
                if not is_included(seq, self.checkpoint.size, leaf, self.checkpoint.root, path):
                    raise tampered(8, f"{where}: the proof does not prove the entry to be in the log", seq)
            wanted = places.read(place.size)
            if wanted:
                raise tampered(8, "there is no proof of the entry", place.unpack(wanted)[0])

    def read_entry(self, where, line):
        """Checks 5 to 7 for one line. Returns the entry's number and leaf."""
        text = unutf8(line, 5, where)
        if not text.startswith('{"entry":{'):
            raise malformed(5, f"{where} is not a line of entries")
        entry, end = parse_json(text, where, 9)
        frame = AFTER_ENTRY.match(text, end)
        if not frame:
            raise malformed(5, f"{where}: what follows the entry is not its leaf and details")
        details, details_end = parse_json(text, where, frame.end())
        if text[details_end:] != "}":
            raise malformed(5, f"{where}: bytes after the details")
        if not ENTRY(entry) or not DETAILS(details):
            raise malformed(5, f"{where} is not an entry of version 1")
        seq = entry["seq"]
        if (entry["workspace"] is None) != (entry["inWorkspace"] is None) \
                or (entry["tenant"] is None) != (entry["inTenant"] is None) \
                or (entry["workspace"] is None and entry["tenant"] is not None):
            raise malformed(5, f"{where}: workspace and tenant do not fit their numbers", seq)

        leaf = leaf_hash(text[9:end].encode())
        if leaf.hex() != frame.group(1):
            raise tampered(6, "the entry does not have the leaf that stands beside it", seq)
        commitments = dict(entry["commitments"])
        for detail in details:
            part, salt, body = detail["part"], bytes.fromhex(detail["salt"]), detail["body"]
            if commitments.pop(part, None) != hashlib.sha256(salt + body.encode()).hexdigest():
                raise tampered(6, f"the detail {part!r} is not what the entry commits to, or stands twice", seq)

        self.check_order(entry, leaf)
        self.details_missing += len(commitments)
        self.count += 1
        self.last_seq, self.last_at, self.last_leaf = seq, entry["at"], leaf
        if self.first_seq is None:
            self.first_seq = seq
        if self.scope["type"] == "log":
            self.follow(entry, leaf)
        return seq, leaf

    def check_order(self, entry, leaf):
        """Check 7."""
        seq, scope = entry["seq"], self.scope["type"]
        if self.last_seq is not None and seq <= self.last_seq:
            raise tampered(7, f"entry {seq} stands after entry {self.last_seq}", seq)
        if seq >= self.checkpoint.size:
            raise tampered(7, f"the checkpoint's log has only {self.checkpoint.size} entries", seq)
        # Times have one form, so their order is that of their text.
        if self.last_at is not None and entry["at"] < self.last_at:
            raise tampered(7, f"the time {entry['at']} is before that of the entry before, {self.last_at}", seq)
        if scope == "log" and seq != self.count:
            raise tampered(7, f"entry {self.count} is missing", seq)
        if any(entry[name] != self.scope[name] for name in ("workspace", "tenant") if name in self.scope):
            raise tampered(7, "the entry is not of the workspace or tenant that the bundle is of", seq)
        if scope in ("log", "workspace") and entry["workspace"] is not None:
            self.check_chain((entry["workspace"],), entry["inWorkspace"], leaf, seq)
        if scope != "partial" and entry["tenant"] is not None:
            self.check_chain((entry["workspace"], entry["tenant"]), entry["inTenant"], leaf, seq)

    def check_chain(self, chain, link, leaf, seq):
        """An entry's number and predecessor among the entries of its workspace, or of its tenant."""
        number, previous = self.chains.get(chain, (0, None))
        if link != {"seq": number, "previous": previous}:
            what = "tenant" if len(chain) == 2 else "workspace"
            raise tampered(7, f"the entry does not follow number {number - 1} of its {what}" if number else
                           f"the entry is not the first of its {what}", seq)
        self.chains[chain] = (number + 1, leaf.hex())

    def follow(self, entry, leaf):
        """What only a bundle of the whole log can show: the root, restores, silences."""
        self.tree.push(leaf)
        if self.tree.size in self.roots:
            self.roots[self.tree.size] = self.tree.root()
        if entry["action"] == "audit.restore":
            epochs = [decimal(target["id"]) for target in entry["targets"] if target["type"] == "epoch"]
            before = self.restores[-1][1] if self.restores else 1
            if len(epochs) != 1 or epochs[0] is None or epochs[0] <= before:
                raise tampered(10, f"the restore does not begin an epoch after {before}", entry["seq"])
            self.restores.append((entry["seq"], epochs[0]))
        now = parse_time(entry["at"])
        if self.last_time is not None and now - self.last_time > SILENCE:
            silence = f"from {self.last_time.isoformat()}Z to {entry['at']}, before entry {entry['seq']}"
            if entry["action"] in ("audit.start", "audit.restore"):
                self.stops.append(silence)
            else:
                self.incomplete.append(f"a silence that nothing explains, {silence}")
        self.last_time = now

    # What follows the entries

    def check_end(self):
        """Checks 8 to 11 after the last entry."""
        if self.scope["type"] == "log":
            if self.count != self.checkpoint.size:
                raise tampered(8, f"the log has {self.checkpoint.size} entries, the bundle {self.count}: the rest is missing", self.count)
            if self.tree.root() != self.checkpoint.root:
                raise tampered(8, "the entries are not those that the checkpoint seals: their root is another")
            if (self.restores[-1][1] if self.restores else 1) != self.epoch:
                raise tampered(10, f"the log does not say how epoch {self.epoch} began")
            for since in self.sinces:
                self.check_since(since)
        if self.head:
            if (self.head.count, self.head.leaf) != (self.count, self.last_leaf):
                raise tampered(9, f"the signed head has {self.head.count} entries, the bundle {self.count}, or the last is another")
        if self.scope["type"] == "partial":
            self.incomplete.append("the bundle is PARTIAL: each entry is of the log, nothing says that none was left out")

    def check_since(self, since):
        """Check 11 where all entries are here: the tree was as the earlier checkpoint says, or what was lost since."""
        size = since.checkpoint.size
        kept = min([seq for seq, epoch in self.restores if epoch > since.epoch], default=size)
        if size > kept:
            self.incomplete.append(f"entries {kept} to {size - 1}, which {since} had sealed, were lost when the log was restored")
            return
        root = self.roots[size] if size else Tree().root()
        if root != since.checkpoint.root:
            raise tampered(11, f"the first {size} entries are not those that {since} sealed")
        self.anchored = max(self.anchored, size)

    def read_manifest(self, member, before):
        """Check 14."""
        manifest = parse_document(member.bounded(MANIFEST_LIMIT).all(), member.name)
        if not MANIFEST(manifest):
            raise malformed(5, "manifest.json is not a manifest")
        if (manifest["count"], manifest["firstSeq"], manifest["lastSeq"]) != (self.count, self.first_seq, self.last_seq):
            raise tampered(14, "the manifest has another number of entries, or other first and last ones")
        listed = [(item["name"], item["bytes"], item["sha256"]) for item in manifest["members"]]
        found = [(item.name, item.size, item.sha256.hexdigest()) for item in before]
        for mine, theirs in zip(found, listed):
            if mine != theirs:
                raise tampered(14, f"{mine[0]} is not what the manifest lists")
        if len(found) != len(listed):
            raise tampered(14, "the manifest does not list the members of the bundle")

    def not_proven(self):
        """What no bundle of this kind can prove, whatever the verdict. Only for a bundle that was read to its end."""
        size, scope = self.checkpoint.size, self.scope["type"]
        yield f"entries from number {size} on" + (f", and what happened after {self.last_at}" if self.last_at else "")
        if self.details_missing:
            yield f"{self.details_missing} details that were erased or not given: their entries are proven, their text is not here"
        if self.anchored < size:
            first = "all entries" if not self.anchored else f"the entries from number {self.anchored} on"
            yield f"that a holder of the signing key has not rewritten {first}: no later checkpoint was given with --since"
        for stop in self.stops:
            yield f"what happened while the program stood still, {stop}"
        if scope != "log":
            yield "silences, and the entries of others: the bundle is not of the whole log"
        if self.head:
            yield "that no holder of the signing key signed a head that leaves out the last entries: only the whole log shows that"


# --- The command ------------------------------------------------------------------------------------------------------


def read_file(path, limit=MEMBER_LIMIT):
    """A key or checkpoint file; no such file is that large."""
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise malformed(2, f"{path} is too large")
    return data


def read_key_argument(argument):
    """A vkey, or the name of a file with one."""
    if argument.count("+") >= 2:
        return parse_key(argument, "--key")
    return parse_key(read_file(argument).decode("utf-8", "replace").rstrip("\r\n"), argument)


def verify(bundle, key=None, since=()):
    """Checks the bundle at this path. Returns the verdict, with the members of `--json`."""
    verifier, failure = None, None
    try:
        believed = None if key is None else read_key_argument(key)
        verifier = Verifier(believed, [parse_checkpoint(read_file(path), path) for path in since])
        with open(bundle, "rb") as file:
            verifier.run(file)
        code = INCOMPLETE if verifier.incomplete else PROVEN
    except Failure as error:
        failure, code = error, error.code
    except OSError as error:
        failure, code = malformed(None, f"{error.filename}: {error.strerror}"), MALFORMED
    checkpoint = verifier and verifier.checkpoint
    return {
        "verdict": WORDS[code],
        "exit": code,
        "check": failure and failure.check,
        "seq": failure and failure.seq,
        "message": failure and failure.message,
        "scope": verifier and verifier.scope,
        "origin": checkpoint and checkpoint.origin,
        "epoch": verifier and verifier.epoch,
        "size": checkpoint and checkpoint.size,
        "entries": verifier.count if verifier else 0,
        "lastAt": verifier and verifier.last_at,
        "incomplete": verifier.incomplete if verifier else [],
        "notProven": ["anything"] if failure else list(verifier.not_proven()),
    }


def say(line):
    """A bundle may have been made to be read on a terminal: what cannot be printed is not printed."""
    line = "".join(c if c.isprintable() else "?" for c in line)
    print(line.encode(sys.stdout.encoding or "ascii", "replace").decode(sys.stdout.encoding or "ascii"))


def print_verdict(verdict):
    scope = verdict["scope"] or {"type": "?"}
    say(f"{verdict['verdict'].upper()}  {' '.join(scope.values())}")
    if verdict["message"]:
        entry = f"the first bad entry is {verdict['seq']}: " if verdict["seq"] is not None else ""
        check = f" (check {verdict['check']})" if verdict["check"] else ""
        say(f"  {entry}{verdict['message']}{check}")
    else:
        say(f"  {verdict['entries']} entries, in {verdict['origin']} at size {verdict['size']}, epoch {verdict['epoch']}")
    for title, lines in (("Incomplete", verdict["incomplete"]), ("Not proven", verdict["notProven"])):
        if lines:
            say(f"{title}:")
        for line in lines:
            say(f"  - {line}")


def main():
    parser = argparse.ArgumentParser(description="Checks a Gatehouse audit bundle.", epilog="Exit codes: 0 all proven, "
                                     "1 tampered, 2 malformed or not readable, 3 incomplete.")
    parser.add_argument("bundle", help="the bundle, a .tar or .tar.gz file")
    parser.add_argument("--key", help="the public key to believe (vkey), or a file with it")
    parser.add_argument("--since", action="append", default=[], metavar="FILE", help="a checkpoint that was kept earlier")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    arguments = parser.parse_args()
    verdict = verify(arguments.bundle, arguments.key, arguments.since)
    if arguments.json:
        print(json.dumps(verdict, indent=2))
    else:
        print_verdict(verdict)
    return verdict["exit"]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:
        # Python would end with 1, which here means "tampered".
        traceback.print_exc()
        sys.exit(MALFORMED)
