"""Tests of audit_verify.py: known vectors, honest logs, and every attack and malformation we know of.

    python3 -m unittest discover tools

The logs and bundles are made here, from docs/audit-format.md, by definitions instead of algorithms: slow, and nothing of
what is being tested. GATEHOUSE_AUDIT_LOGS is the number of random honest logs (default 150). With GATEHOUSE_VERIFIER, the path of `gatehouse`, each
bundle is given to the first verifier too, and both have to say the same.
"""

import base64
import contextlib
import copy
import datetime
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import audit_verify as verifier
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VERIFIER = verifier.__file__
FIRST = os.environ.get("GATEHOUSE_VERIFIER")
TENANT, OTHER = ("w1", "t1"), ("w1", "t2")


# --- Logs -------------------------------------------------------------------------------------------------------------


def b64(data):
    return base64.b64encode(data).decode()


def sha(data):
    return hashlib.sha256(data).digest()


def root(leaves):
    """RFC 6962 §2.1, MTH."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha(b"\x01" + root(leaves[:k]) + root(leaves[k:]))


def split(n):
    """The largest power of two below n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def inclusion(m, leaves):
    """RFC 6962 §2.1.1, PATH."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return inclusion(m, leaves[:k]) + [root(leaves[k:])]
    return inclusion(m - k, leaves[k:]) + [root(leaves[:k])]


def consistency(m, leaves, whole=True):
    """RFC 6962 §2.1.2, PROOF and SUBPROOF."""
    if m in (0, len(leaves)):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return consistency(m, leaves[:k], whole) + [root(leaves[k:])]
    return consistency(m - k, leaves[k:], False) + [root(leaves[:k])]


class Signer:
    def __init__(self, seed=1, name="gatehouse-audit/0123abcd"):
        self.name, self.key = name, Ed25519PrivateKey.from_private_bytes(sha(bytes([seed])))
        public = b"\x01" + self.key.public_key().public_bytes_raw()
        self.id = sha(name.encode() + b"\n" + public)[:4]
        self.vkey = f"{name}+{self.id.hex()}+{b64(public)}"

    def line(self, text):
        return f"\u2014 {self.name} {b64(self.id + self.key.sign(text.encode()))}\n"

    def note(self, text):
        return (text + "\n" + self.line(text)).encode()


SIGNER = Signer()


class Log:
    """Entries as they are stored: bytes and details. Whoever changes one by `edit` has a database and no key."""

    def __init__(self, seed=0):
        self.random = random.Random(seed)
        self.now = datetime.datetime(2026, 3, 1)
        self.entries, self.details = [], []

    def add(self, workspace=None, tenant=None, action="post.update", minutes=1, details=("names", "reason"), targets=()):
        self.now += datetime.timedelta(minutes=minutes)
        made = []
        for part in details:
            body = json.dumps({"text": f"{part} é \\ \" {self.random.random()}"}, ensure_ascii=False)
            made.append({"part": part, "salt": self.random.randbytes(32).hex(), "body": body})
        entry = {
            "v": 1, "seq": len(self.entries), "at": time(self.now), "workspace": workspace, "inWorkspace": None,
            "tenant": tenant, "inTenant": None, "action": action, "outcome": "succeeded",
            "actor": {"id": "k1", "keyPrefix": self.random.choice([None, "sk_ght_ab"]), "type": "key"},
            "targets": [{"id": i, "type": t} for t, i in targets], "opId": None, "jobId": None,
            "upstream": self.random.choice([None, {"code": None, "latencyMs": 12, "status": 200}]),
            "commitments": {d["part"]: commitment(d) for d in made},
        }
        self.entries.append(entry)
        self.details.append(made)
        self.relink(len(self.entries) - 1)
        return self

    def relink(self, first=0):
        """Numbers the entries from this one on, as one who rewrites the database would."""
        for seq in range(first, len(self.entries)):
            entry = self.entries[seq] = dict(self.entries[seq], seq=seq)
            for link, mine in (("inWorkspace", ("workspace",)), ("inTenant", ("workspace", "tenant"))):
                if entry[mine[-1]] is None:
                    continue
                place = [entry[m] for m in mine]
                before = [s for s in range(seq) if [self.entries[s][m] for m in mine] == place]
                previous = sha(b"\x00" + self.bytes(before[-1])).hex() if before else None
                entry[link] = {"seq": len(before), "previous": previous}
        return self

    def bytes(self, seq):
        return json.dumps(self.entries[seq], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def leaves(self, size=None):
        return [sha(b"\x00" + self.bytes(seq)) for seq in range(len(self.entries) if size is None else size)]

    def line(self, seq):
        entry = self.bytes(seq)
        details = json.dumps(self.details[seq], separators=(",", ":"), ensure_ascii=False)
        return b'{"entry":%s,"leaf":"%s","details":%s}' % (entry, sha(b"\x00" + entry).hex().encode(), details.encode())

    def copy(self):
        return copy.deepcopy(self)

    def cut(self, size):
        del self.entries[size:], self.details[size:]
        return self

    def edit(self, seq, **fields):
        self.entries[seq] = dict(self.entries[seq], **fields)
        return self

    def remove(self, seq):
        del self.entries[seq], self.details[seq]
        return self

    def checkpoint(self, size=None, epoch=1, signer=SIGNER):
        size = len(self.entries) if size is None else size
        origin = signer.name + (f"/{epoch}" if epoch > 1 else "")
        return signer.note(f"{origin}\n{size}\n{b64(root(self.leaves(size)))}\n")


def time(at):
    return at.isoformat(timespec="milliseconds") + "Z"


def commitment(detail):
    return sha(bytes.fromhex(detail["salt"]) + detail["body"].encode()).hex()


def sample(entries=20, seed=0):
    """An honest log of two workspaces, three tenants and the instance's own entries."""
    log = Log(seed).add(action="audit.start")
    places = [(None, None), TENANT, OTHER, ("w2", "t3"), ("w1", None)]
    for n in range(1, entries):
        log.add(*places[n % 5])
    return log


# --- Bundles ----------------------------------------------------------------------------------------------------------

WHOLE = {"type": "log"}
WORKSPACE = {"type": "workspace", "workspace": "w1"}
ONE_TENANT = {"type": "tenant", "workspace": "w1", "tenant": "t1"}
PARTIAL = {"type": "partial", "filter": "action:post.update"}


def is_in(entry, scope):
    return all(entry[name] == scope[name] for name in ("workspace", "tenant") if name in scope)


class Bundle:
    """The members of a bundle, in order. Whoever changes them makes a new manifest with `pack`, as any attacker would."""

    def __init__(self, log, scope=WHOLE, size=None, epoch=1, since=(), signer=SIGNER, part=7, only=None):
        size = len(log.entries) if size is None else size
        leaves = log.leaves(size)
        origin = signer.name + (f"/{epoch}" if epoch > 1 else "")
        chosen = [s for s in range(size) if is_in(log.entries[s], scope) and (only is None or s in only)]
        self.chosen, self.log, self.leaf_list = chosen, log, leaves
        self.members = {
            "bundle.json": {"format": "gatehouse-audit-bundle/v1", "scope": scope, "origin": origin, "size": size,
                            "exportedAt": time(log.now)},
            "key.vkey": f"{signer.vkey}\n".encode(),
            "checkpoint.note": log.checkpoint(size, epoch, signer),
        }
        if scope["type"] in ("workspace", "tenant"):
            ids = " ".join(scope.values())
            last = b64(leaves[chosen[-1]]) if chosen else "-"
            self.members["head.note"] = signer.note(
                f"gatehouse-audit-head/v1\n{origin}\n{size}\n{ids}\n{len(chosen)}\n{last}\n")
        self.members["consistency.ndjson"] = [
            {"size": m, "proof": [b64(h) for h in consistency(m, leaves)]} for m in sorted(set(since)) if m <= size]
        for n, start in enumerate(range(0, len(chosen), part), 1):
            seqs = chosen[start : start + part]
            self.members[f"entries/{n:06d}.ndjson"] = [log.line(seq) for seq in seqs]
            if scope["type"] != "log":
                self.members[f"proofs/{n:06d}.ndjson"] = [
                    {"seq": s, "proof": [b64(h) for h in inclusion(s, leaves)]} for s in seqs]
        self.manifest = {"count": len(chosen), "firstSeq": chosen[0] if chosen else None,
                         "lastSeq": chosen[-1] if chosen else None}

    def files(self):
        files = [(name, encode(content)) for name, content in self.members.items()]
        members = [{"name": n, "bytes": len(data), "sha256": sha(data).hex()} for n, data in files]
        return files + [("manifest.json", encode({"members": members, **self.manifest}))]

    def pack(self):
        return pack(self.files())


def encode(content):
    if isinstance(content, bytes):
        return content
    if isinstance(content, list):
        return b"".join((item if isinstance(item, bytes) else encode(item)) + b"\n" for item in content)
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def pack(files, change=lambda info: None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            tar.addfile(info, io.BytesIO(data))
    # tarfile fills up the record; the program does not. Both are right, and both are read here.
    return out.getvalue()


def bare(tar):
    """The archive without the fill after its two blocks of zeros."""
    return tar.rstrip(b"\0") + b"\0" * (-len(tar.rstrip(b"\0")) % 512 + 1024)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def verify(self, bundle, since=(), key=SIGNER.vkey):
        data = bundle.pack() if isinstance(bundle, Bundle) else bundle
        notes = [self.write(f"since-{n}", note) for n, note in enumerate(since)]
        path = self.write("bundle", data)
        verdict = verifier.verify(path, key, notes)
        if FIRST:
            self.compare(verdict, path, key, notes)
        return verdict

    def compare(self, verdict, path, key, notes):
        """The first verifier says the same: how it ended, by which check, and which entry is the first bad one."""
        arguments = [path, "--json"] + (["--key", key] if key else []) + [a for note in notes for a in ("--since", note)]
        done = subprocess.run([FIRST, "audit", "verify", *arguments], capture_output=True, timeout=60)
        first = json.loads(done.stdout)
        same = ("verdict", "exit", "check", "seq", "entries") if verdict["exit"] in (0, 3) else ("verdict", "exit", "check", "seq")
        self.assertEqual({k: first[k] for k in same}, {k: verdict[k] for k in same}, (first, verdict, done.stderr))
        self.assertEqual(done.returncode, verdict["exit"])

    def expect(self, code, bundle, since=(), check=None, seq=None, key=SIGNER.vkey):
        verdict = self.verify(bundle, since, key)
        self.assertEqual(verdict["exit"], code, verdict)
        if check is not None:
            self.assertEqual(verdict["check"], check, verdict)
        if seq is not None:
            self.assertEqual(verdict["seq"], seq, verdict)
        return verdict

    def expect_proven(self, *arguments, **named):
        return self.expect(0, *arguments, **named)

    def expect_tampered(self, *arguments, **named):
        return self.expect(1, *arguments, **named)

    def expect_malformed(self, *arguments, **named):
        return self.expect(2, *arguments, **named)

    def expect_incomplete(self, *arguments, **named):
        return self.expect(3, *arguments, **named)


# --- Known vectors ----------------------------------------------------------------------------------------------------


class Vectors(unittest.TestCase):
    # The eight leaves and their roots that implementations of RFC 6962 share since Certificate Transparency's first one.
    LEAVES = [bytes.fromhex(text) for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
    ROOTS = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    # The same proof of entry 0 in the tree of 8, and from size 1 to size 8, in transparency-dev/merkle's test data.
    PROOF = [base64.b64decode(text) for text in (
        "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=", "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
        "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=")]

    def test_roots_of_rfc_6962(self):
        tree = verifier.Tree()
        self.assertEqual(tree.root().hex(), self.ROOTS[0])
        for leaf, expected in zip(self.LEAVES, self.ROOTS[1:]):
            tree.push(verifier.leaf_hash(leaf))
            self.assertEqual(tree.root().hex(), expected)

    def test_proofs_of_transparency_dev(self):
        first, last = bytes.fromhex(self.ROOTS[1]), bytes.fromhex(self.ROOTS[8])
        self.assertTrue(verifier.is_included(0, 8, first, last, self.PROOF))
        self.assertTrue(verifier.is_consistent(1, 8, first, last, self.PROOF))

    def test_proofs_are_those_of_the_definition_and_no_others(self):
        """All places and sizes up to 40; of each, what their test data tries: flipped bits, wrong places, sizes and lengths."""
        leaves = [sha(b"\x00%d" % n) for n in range(40)]
        roots = [root(leaves[:n]) for n in range(41)]
        other = sha(b"other")
        tried = 0
        for size in range(1, 41):
            for index in range(size):
                proof = inclusion(index, leaves[:size])
                args = (index, size, leaves[index], roots[size], proof)
                self.assertTrue(verifier.is_included(*args), args)
                wrong = [(index, size, other, roots[size], proof), (index, size, leaves[index], other, proof)]
                wrong += [(index, size, *args[2:4], bad) for bad in spoilt(proof, roots[size])]
                # The same path can be right for a tree of another size, but not for that tree's root.
                wrong += [(i, s, leaves[index], roots[size], proof) for i, s in
                          ((index + 1, size), (index - 1, size), (index ^ 2, size), (index, 0), (size, size))
                          if i >= 0]
                for bad in wrong:
                    self.assertFalse(verifier.is_included(*bad), bad)
                tried += len(wrong) + 1
            for first in range(size + 1):
                proof = consistency(first, leaves[:size])
                self.assertTrue(verifier.is_consistent(first, size, roots[first], roots[size], proof))
                wrong = [(first, size, other, roots[size], proof), (first, size, roots[first], other, proof)]
                wrong = wrong if first else wrong[:1]
                if first != size:
                    wrong += [(size, first, roots[first], roots[size], proof)]
                wrong += [(first, size, roots[first], roots[size], bad) for bad in spoilt(proof, roots[size])]
                for bad in wrong:
                    self.assertFalse(verifier.is_consistent(*bad), bad)
                tried += len(wrong) + 1
        self.assertGreater(tried, 15_000)

    def test_an_inner_node_is_no_leaf(self):
        leaves = [sha(b"\x00%d" % n) for n in range(4)]
        left, right = root(leaves[:2]), root(leaves[2:])
        self.assertEqual(root([left, right]), root(leaves))
        # As two entries they would have to be hashed with 0x00 in front, and no entry has this leaf.
        self.assertNotEqual(verifier.leaf_hash(leaves[0] + leaves[1]), left)
        self.assertFalse(verifier.is_included(0, 4, left, root(leaves), [right]))


def spoilt(proof, a_root):
    yield proof + [sha(b"trailing")]
    yield proof + [a_root]
    yield [sha(b"preceding")] + proof
    yield [a_root] + proof
    if proof:
        yield proof[:-1]
        yield proof[1:]
        yield []
    for n, node in enumerate(proof):
        yield proof[:n] + [bytes([node[0] ^ 16]) + node[1:]] + proof[n + 1 :]


class Notes(unittest.TestCase):
    # From the documentation of Go's golang.org/x/mod/sumdb/note.
    VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    NOTE = ("If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
            "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n")
    # The example of C2SP signed-note.
    C2SP = ("Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u00e8 subito sera.\n\n"
            "\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n")

    def test_a_known_note_and_key(self):
        key = verifier.parse_key(self.VKEY, "key")
        verifier.check_signature(verifier.parse_note(self.NOTE.encode(), "note"), key)
        for changed in (self.NOTE.replace("answer", "anwser"), self.NOTE.replace("x08go/Z", "x08go/a")):
            with self.assertRaises(verifier.Failure) as raised:
                verifier.check_signature(verifier.parse_note(changed.encode(), "note"), key)
            self.assertEqual((raised.exception.code, raised.exception.check), (1, 3))

    def test_the_example_of_c2sp(self):
        note = verifier.parse_note(self.C2SP.encode(), "note")
        self.assertEqual(note.text, self.C2SP[: self.C2SP.index("\n\u2014")])
        [(name, key_id, signature)] = note.signatures
        self.assertEqual((name, key_id.hex(), len(signature)), ("quasimodo.example/salvatore", "367ba04b", 64))

    def test_signatures_of_others_are_passed_over_and_a_wrong_one_of_ours_is_not(self):
        text = "text\n"
        others = "".join(Signer(n, "else.example").line(text) for n in range(2, 17))
        key = verifier.parse_key(SIGNER.vkey, "key")
        verifier.check_signature(verifier.parse_note(f"{text}\n{others}{SIGNER.line(text)}".encode(), "note"), key)
        wrong = f"{text}\n{SIGNER.line(text)}{SIGNER.line('another')}"
        short = f"{text}\n{SIGNER.line(text)}\u2014 {SIGNER.name} {b64(SIGNER.id + b'x')}\n"
        same_name = f"{text}\n{Signer(9).line(text)}"
        for bad in (wrong, short, same_name, f"{text}\n{others}"):
            with self.assertRaises(verifier.Failure) as raised:
                verifier.check_signature(verifier.parse_note(bad.encode(), "note"), key)
            self.assertEqual(raised.exception.code, 1)

    def test_broken_notes(self):
        good = f"text\n\n{SIGNER.line('text' + chr(10))}"
        verifier.parse_note(good.encode(), "note")
        line = SIGNER.line("text\n")
        bad = [
            "", "\n", "text\n", "text\n\n", good[:-1], good + "\n", good.replace("\n\n", "\n"), "text" + good[5:],
            good.replace("text", "te\rxt"), good.replace("text", "te\x00xt"), good.replace("\u2014 ", "- "),
            good.replace("\u2014 ", "\u2014  "), good.replace("\u2014 ", "\u2014"), good.replace(SIGNER.name, "a+b"),
            good.replace(SIGNER.name, "a\u00a0b"), good.replace(SIGNER.name, ""), good.replace("=", ""),
            good.replace("=", "=="), "text\n\n\u2014 name AAAA\n", f"text\n\n\u2014 name {b64(SIGNER.id)}\n", "text\n\n" + 17 * line, good + "\u2014 rest\n",
            f"text\n\n{line[:-1]} \n", "x" + line, good[:-1] + "x",
        ]
        for note in [text.encode() for text in bad] + [good.encode().replace(b"text", b"te\xffxt")]:
            with self.assertRaises(verifier.Failure, msg=note) as raised:
                verifier.parse_note(note, "note")
            self.assertEqual((raised.exception.code, raised.exception.check), (2, 2))

    def test_broken_keys(self):
        name, key_id, key = SIGNER.vkey.split("+", 2)
        raw = base64.b64decode(key)
        for bad in (
            "", name, f"{name}+{key_id}", f"{name}+{key_id.upper()}+{key}", f"other+{key_id}+{key}", f"{name}+00000000+{key}",
            f"+{key_id}+{key}", f"{name}+{key_id}+{key}=", f"{name}+{key_id}+{b64(raw[:-1])}", f" {SIGNER.vkey}",
            f"{name}+{sha(name.encode() + chr(10).encode() + bytes([4]) + raw[1:])[:4].hex()}+{b64(bytes([4]) + raw[1:])}",
        ):
            with self.assertRaises(verifier.Failure, msg=bad) as raised:
                verifier.parse_key(bad, "key")
            self.assertEqual(raised.exception.code, 2)


# --- Honest logs ------------------------------------------------------------------------------------------------------


class Honest(Case):
    def test_sizes_around_powers_of_two(self):
        log = sample(260)
        for size in (0, 1, 2, 3, 4, 5, 255, 256, 257, 260):
            for scope in (WHOLE, WORKSPACE, ONE_TENANT):
                bundle = Bundle(log, scope, size, part=100)
                verdict = self.expect_proven(bundle)
                self.assertEqual(verdict["entries"], len(bundle.chosen))

    def test_an_empty_tenant(self):
        self.expect_proven(Bundle(sample(), {"type": "tenant", "workspace": "w9", "tenant": "t9"}))

    def test_random_logs(self):
        """No false alarm: whatever an honest log is like, it is proven, or only what it says itself is missing."""
        logs = int(os.environ.get("GATEHOUSE_AUDIT_LOGS", "150"))
        for seed in range(logs):
            with self.subTest(seed=seed):
                self.check_random_log(random.Random(seed), seed)

    def check_random_log(self, choose, seed):
        log, epoch = Log(seed), 1
        # Checkpoints that somebody has kept: of what is still there, and of what was lost by a restore.
        kept, lost = [], []
        for _ in range(choose.randrange(0, 60)):
            what = choose.random()
            if what < 0.04 and log.entries:
                log.add(action="audit.start", minutes=choose.randrange(66, 5000))
            elif what < 0.07:
                # The database becomes an older copy of itself, and an operator accepts that.
                kept.append((len(log.entries), log.checkpoint(epoch=epoch)))
                log.cut(choose.randrange(len(log.entries) + 1))
                lost += [k for k in kept if k[0] > len(log.entries)]
                kept = [k for k in kept if k[0] <= len(log.entries)]
                epoch += choose.randrange(1, 3)
                log.add(action="audit.restore", targets=[("epoch", str(epoch))])
            else:
                workspace = choose.choice([None, "w1", "w2", "ключ"])
                tenant = choose.choice([None, "t1", "t2"]) if workspace else None
                parts = choose.sample(["names", "context", "change", "reason"], choose.randrange(5))
                log.add(workspace, tenant, minutes=choose.choice([0, 0, 1, 65]), details=parts)
            if choose.random() < 0.1:
                kept.append((len(log.entries), log.checkpoint(epoch=epoch)))
        kept.append((len(log.entries), log.checkpoint(epoch=epoch)))
        erased = 0
        for details in log.details:
            while details and choose.random() < 0.2:
                details.pop(choose.randrange(len(details)))
                erased += 1
        for _ in range(choose.randrange(3)):
            log.add("w1", "t1")
        since = [note for _, note in choose.sample(kept, min(len(kept), 2)) + kept[-1:]]
        times = [datetime.datetime.fromisoformat(entry["at"][:-1]) for entry in log.entries]
        stops = sum(1 for one, two in zip(times, times[1:]) if two - one > datetime.timedelta(minutes=65))
        for scope in (WHOLE, WORKSPACE, {"type": "tenant", "workspace": "w2", "tenant": "t1"}, PARTIAL):
            only = set(choose.sample(range(len(log.entries)), len(log.entries) // 2)) if scope is PARTIAL else None
            bundle = Bundle(log, scope, epoch=epoch, since=[size for size, _ in kept], part=choose.randrange(1, 20), only=only)
            data = choose.choice([bundle.pack, lambda: bare(bundle.pack()), lambda: gzip.compress(bundle.pack())])()
            verdict = self.verify(data, since)
            self.assertEqual(verdict["exit"], 3 if scope is PARTIAL else 0, (scope, verdict))
            if scope is WHOLE:
                said = " ".join(verdict["notProven"])
                self.assertEqual(said.count("stood still"), stops)
                self.assertEqual("details that were erased" in said, erased > 0)
                if erased:
                    self.assertIn(f"{erased} details", said)
            for _, note in lost:
                verdict = self.verify(data, since + [note])
                self.assertEqual(verdict["exit"], 3, verdict)

    def test_without_a_key_the_verdict_is_at_best_incomplete(self):
        verdict = self.expect_incomplete(Bundle(sample()), key=None)
        self.assertIn("no key was given", verdict["incomplete"][0])

    def test_a_partial_bundle_is_at_best_incomplete(self):
        verdict = self.expect_incomplete(Bundle(sample(), PARTIAL, only={2, 3, 11}))
        self.assertEqual(verdict["entries"], 3)
        self.assertIn("PARTIAL", verdict["incomplete"][0])

    def test_a_checkpoint_without_a_proof_here(self):
        log = sample()
        self.expect_proven(Bundle(log, ONE_TENANT, since=[9]), [log.checkpoint(9)])
        verdict = self.expect_incomplete(Bundle(log, ONE_TENANT), [log.checkpoint(9)])
        self.assertIn("no consistency proof", verdict["incomplete"][0])
        # All entries are here: no proof is needed.
        self.expect_proven(Bundle(log), [log.checkpoint(9), log.checkpoint(0), log.checkpoint()])
        # Nothing has to be proven of nothing, and of the same.
        self.expect_proven(Bundle(log, ONE_TENANT), [log.checkpoint(0), log.checkpoint()])

    def test_what_the_verdict_says_is_not_proven(self):
        log = sample()
        log.details[3].pop()
        log.add(action="audit.start", minutes=300)
        said = "\n".join(self.expect_proven(Bundle(log))["notProven"])
        for expected in ("from number 21 on", "1 details", "stood still", "before entry 20", "all entries"):
            self.assertIn(expected, said)
        said = "\n".join(self.expect_proven(Bundle(log), [log.checkpoint(9)])["notProven"])
        self.assertIn("the entries from number 9 on", said)
        said = "\n".join(self.expect_proven(Bundle(log), [log.checkpoint()])["notProven"])
        self.assertNotIn("rewritten", said)
        said = "\n".join(self.expect_proven(Bundle(log, ONE_TENANT))["notProven"])
        self.assertIn("silences, and the entries of others", said)
        self.assertIn("signed a head that leaves out the last", said)

    def test_memory_does_not_grow_with_the_bundle(self):
        def peak(entries):
            log = Log().add("w1", "t1", details=["change"])
            log.details[0][0]["body"] = "x" * 2000
            line = log.line(0)
            # What is in the way of a real log of this size is the time to make it: each entry is the first of its workspace.
            entry = log.entries[0] | {"commitments": {}}
            lines, leaves = [], []
            for seq in range(entries):
                text = json.dumps(entry | {"seq": seq, "workspace": None, "inWorkspace": None, "tenant": None, "inTenant": None},
                                  sort_keys=True, separators=(",", ":")).encode()
                leaf = sha(b"\x00" + text)
                leaves.append(leaf)
                lines.append(b'{"entry":%s,"leaf":"%s","details":[]}' % (text, leaf.hex().encode()))
            self.assertGreater(len(line), 2000)
            note = SIGNER.note(f"{SIGNER.name}\n{entries}\n{b64(root(leaves))}\n")
            bundle = Bundle(Log())
            bundle.members["bundle.json"]["size"] = entries
            bundle.members["checkpoint.note"] = note
            bundle.members["entries/000001.ndjson"] = lines
            bundle.manifest = {"count": entries, "firstSeq": 0, "lastSeq": entries - 1}
            path = self.write("bundle", gzip.compress(bundle.pack(), 1))
            tracemalloc.start()
            try:
                self.assertEqual(verifier.verify(path, SIGNER.vkey)["exit"], 0)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        small, large = peak(8_000), peak(32_000)
        self.assertLess(large, small * 1.2, (small, large))


# --- Attacks ----------------------------------------------------------------------------------------------------------


class DatabaseWriter(Case):
    """Can change every row; has no key. The checkpoint is the honest one."""

    def setUp(self):
        super().setUp()
        self.honest = sample()

    def attack(self, log, **named):
        """The changed log under the honest checkpoint, as a bundle of the whole log."""
        bundle = Bundle(log)
        bundle.members["checkpoint.note"] = self.honest.checkpoint()
        bundle.members["bundle.json"]["size"] = len(self.honest.entries)
        return self.expect_tampered(bundle, **named)

    def test_edit(self):
        self.attack(self.honest.copy().edit(11, outcome="denied"), check=7, seq=12)

    def test_edit_the_last(self):
        self.attack(self.honest.copy().edit(19, outcome="denied"), check=8)

    def test_edit_and_recompute_what_follows(self):
        self.attack(self.honest.copy().edit(11, outcome="denied").relink(), check=8)

    def test_delete_in_the_middle(self):
        self.attack(self.honest.copy().remove(11), check=7, seq=12)
        self.attack(self.honest.copy().remove(11).relink(), check=8)

    def test_delete_the_first(self):
        self.attack(self.honest.copy().remove(0), check=7, seq=1)
        self.attack(self.honest.copy().remove(0).relink(), check=8)

    def test_delete_the_last(self):
        for k in (1, 5, 20):
            self.attack(self.honest.copy().cut(20 - k), check=8, seq=20 - k)

    def test_truncate_and_continue(self):
        log = self.honest.copy().cut(15)
        for _ in range(5):
            log.add("w1", "t1")
        self.attack(log, check=8)

    def test_swap_two(self):
        log = self.honest.copy()
        for rows in (log.entries, log.details):
            rows[5], rows[6] = rows[6], rows[5]
        self.attack(log.copy(), check=7, seq=6)
        self.attack(log.relink(), check=7)

    def test_duplicate(self):
        log = self.honest.copy()
        log.entries.insert(6, log.entries[5])
        log.details.insert(6, log.details[5])
        self.attack(log.copy(), check=7, seq=5)
        self.attack(log.relink(), check=7, seq=20)

    def test_insert(self):
        log = self.honest.copy()
        log.entries.insert(6, dict(log.entries[6], action="key.create"))
        log.details.insert(6, log.details[6])
        self.attack(log.relink().remove(20), check=8)

    def test_move_between_tenants(self):
        self.attack(self.honest.copy().edit(11, tenant="t2"), check=7, seq=11)
        self.attack(self.honest.copy().edit(11, tenant="t2").relink(), check=8)

    def test_backdate(self):
        self.attack(self.honest.copy().edit(11, at="2026-02-01T00:00:00.000Z"), check=7, seq=11)
        self.attack(self.honest.copy().edit(11, at=self.honest.entries[10]["at"]).relink(), check=8)

    def test_a_tree_without_domain_separation(self):
        log = self.honest
        leaves = [sha(log.bytes(seq)) for seq in range(20)]
        while len(leaves) > 1:
            leaves = [sha(b"".join(leaves[n : n + 2])) for n in range(0, len(leaves), 2)]
        note = SIGNER.note(f"{SIGNER.name}\n20\n{b64(leaves[0])}\n")
        bundle = Bundle(log)
        bundle.members["checkpoint.note"] = note
        self.expect_tampered(bundle, check=8)

    def test_a_detail_is_rewritten(self):
        log = self.honest.copy()
        log.details[11][1]["body"] = '"another reason"'
        self.attack(log, check=6, seq=11)

    def test_salts_are_swapped(self):
        log = self.honest.copy()
        one, two = log.details[11]
        one["salt"], two["salt"] = two["salt"], one["salt"]
        self.attack(log, check=6, seq=11)

    def test_a_detail_is_moved_added_or_repeated(self):
        log = self.honest.copy()
        log.details[11], log.details[12] = log.details[12], log.details[11]
        self.attack(log, check=6, seq=11)
        log = self.honest.copy()
        log.details[11].append(dict(log.details[11][0], part="change"))
        self.attack(log, check=6, seq=11)
        log = self.honest.copy()
        log.details[11].append(log.details[11][0])
        self.attack(log, check=6, seq=11)
        # With fields that run into each other the hash would be the same: a salt has a length.
        log = self.honest.copy()
        detail = log.details[11][0]
        detail["salt"], detail["body"] = detail["salt"] + detail["body"][0].encode().hex(), detail["body"][1:]
        self.assertEqual(commitment(detail), log.entries[11]["commitments"][detail["part"]])
        self.expect_malformed(Bundle(log), check=5)


class Exporter(Case):
    """Has honest entries, proofs and notes, and hands out a bundle that is not."""

    def setUp(self):
        super().setUp()
        self.log = sample()

    def test_bytes_of_an_entry(self):
        bundle = Bundle(self.log)
        line = bundle.members["entries/000002.ndjson"][3]
        bundle.members["entries/000002.ndjson"][3] = line.replace(b"post.update", b"post.delete")
        self.expect_tampered(bundle, check=6, seq=10)

    def test_bytes_of_an_entry_and_its_leaf(self):
        changed = self.log.copy().edit(11, action="post.delete")
        bundle = Bundle(self.log, ONE_TENANT)
        bundle.members["entries/000001.ndjson"][2] = changed.line(11)
        self.expect_tampered(bundle, check=7, seq=16)
        bundle = Bundle(self.log, PARTIAL, only={11, 12})
        bundle.members["entries/000001.ndjson"][0] = changed.line(11)
        self.expect_tampered(bundle, check=8, seq=11)

    def test_an_entry_of_a_tenant_is_left_out(self):
        for scope, after in ((ONE_TENANT, [6, 11, 16]), (WORKSPACE, [2, 3, 4])):
            whole = Bundle(self.log, scope).chosen
            for left_out in range(len(whole)):
                kept = set(whole) - {whole[left_out]}
                bundle = Bundle(self.log, scope, only=kept)
                bundle.members["head.note"] = Bundle(self.log, scope).members["head.note"]
                last = left_out == len(whole) - 1
                verdict = self.expect_tampered(bundle, check=9 if last else 7)
                if not last and scope is ONE_TENANT:
                    self.assertEqual(verdict["seq"], after[left_out])

    def test_the_head_of_another(self):
        for other in (Bundle(self.log, dict(ONE_TENANT, tenant="t2")), Bundle(self.log, WORKSPACE),
                      Bundle(self.log, ONE_TENANT, size=18), Bundle(self.log, ONE_TENANT, epoch=2)):
            bundle = Bundle(self.log, ONE_TENANT)
            bundle.members["head.note"] = other.members["head.note"]
            self.expect_tampered(bundle, check=4)
        bundle = Bundle(self.log, ONE_TENANT)
        bundle.members["head.note"] = Bundle(self.log, ONE_TENANT, signer=Signer(2)).members["head.note"]
        self.expect_tampered(bundle, check=3)

    def test_entries_of_another_tenant(self):
        bundle = Bundle(self.log, ONE_TENANT)
        bundle.members["entries/000001.ndjson"].insert(1, self.log.line(2))
        self.expect_tampered(bundle, check=7, seq=2)

    def test_another_tenants_log_under_this_name(self):
        bundle = Bundle(self.log, dict(ONE_TENANT, tenant="t2"))
        bundle.members["bundle.json"]["scope"] = ONE_TENANT
        self.expect_tampered(bundle, check=4)

    def test_proofs(self):
        for change in (
            lambda lines: lines[1]["proof"].append(b64(sha(b"trailing"))),
            lambda lines: lines[1]["proof"].insert(0, b64(sha(b"preceding"))),
            lambda lines: lines[1]["proof"].pop(),
            lambda lines: lines[1].update(proof=[]),
            lambda lines: lines[1]["proof"].__setitem__(0, b64(sha(b"another"))),
            lambda lines: lines[1].update(seq=7),
            lambda lines: lines.insert(1, lines.pop(2)),
            lambda lines: lines.insert(1, lines[0]),
            lambda lines: lines.pop(1),
        ):
            for scope in (ONE_TENANT, PARTIAL):
                bundle = Bundle(self.log, scope, only={1, 6, 11, 16})
                change(bundle.members["proofs/000001.ndjson"])
                self.expect_tampered(bundle, check=8, seq=6)

    def test_a_proof_too_few_and_too_many(self):
        bundle = Bundle(self.log, ONE_TENANT)
        bundle.members["proofs/000001.ndjson"].pop()
        self.expect_tampered(bundle, check=8, seq=16)
        bundle = Bundle(self.log, ONE_TENANT)
        bundle.members["proofs/000001.ndjson"] += bundle.members["proofs/000001.ndjson"][:1]
        self.expect_tampered(bundle, check=8)

    def test_entries_of_a_partial_bundle_twice_and_in_another_order(self):
        for seqs, bad in (([11, 12, 12], 12), ([12, 11, 13], 11)):
            log = sample().edit(12, at=sample().entries[11]["at"]).relink()
            bundle = Bundle(log, PARTIAL, only={11, 12, 13})
            proofs = {proof["seq"]: proof for proof in bundle.members["proofs/000001.ndjson"]}
            bundle.members["entries/000001.ndjson"] = [log.line(seq) for seq in seqs]
            bundle.members["proofs/000001.ndjson"] = [proofs[seq] for seq in seqs]
            self.expect_tampered(bundle, check=7, seq=bad)

    def test_an_entry_beyond_the_checkpoint(self):
        bundle = Bundle(self.log, ONE_TENANT, size=12)
        bundle.members["entries/000001.ndjson"].append(self.log.line(16))
        self.expect_tampered(bundle, check=7, seq=16)

    def test_a_whole_log_is_called_partial_to_hide_what_is_missing(self):
        verdict = self.expect_incomplete(Bundle(self.log, PARTIAL, only=set(range(20)) - {11}))
        self.assertIn("nothing says that none was left out", verdict["incomplete"][0])

    def test_the_manifest(self):
        for changes, check in (({"count": 19}, 14), ({"firstSeq": 1}, 14), ({"lastSeq": None}, 14)):
            bundle = Bundle(self.log)
            bundle.manifest.update(changes)
            self.expect_tampered(bundle, check=check)

        def with_members(change):
            files = Bundle(self.log).files()
            manifest = json.loads(files[-1][1])
            change(manifest["members"])
            return pack(files[:-1] + [("manifest.json", encode(manifest))])

        self.expect_proven(with_members(lambda members: None))
        for change in (
            lambda members: members.pop(),
            lambda members: members.append(dict(members[0], name="more.json")),
            lambda members: members.insert(0, members.pop()),
            lambda members: members[5].update(bytes=1),
            lambda members: members[5].update(sha256="0" * 64),
            lambda members: members[5].update(name="entries/000009.ndjson"),
        ):
            self.expect_tampered(with_members(change), check=14)

    def test_the_checkpoint_of_another_size_or_origin(self):
        bundle = Bundle(self.log)
        bundle.members["bundle.json"]["size"] = 19
        self.expect_tampered(bundle, check=4)
        bundle = Bundle(self.log)
        bundle.members["bundle.json"]["origin"] = SIGNER.name + "/2"
        self.expect_tampered(bundle, check=4)
        bundle = Bundle(self.log)
        bundle.members["checkpoint.note"] = self.log.checkpoint(12)
        self.expect_tampered(bundle, check=4)

    def test_consistency_proofs(self):
        old = self.log.checkpoint(9)
        for change in (
            lambda line: line["proof"].append(b64(sha(b"trailing"))),
            lambda line: line["proof"].insert(0, b64(sha(b"preceding"))),
            lambda line: line["proof"].pop(),
            lambda line: line.update(proof=[]),
        ):
            bundle = Bundle(self.log, ONE_TENANT, since=[9])
            change(bundle.members["consistency.ndjson"][0])
            self.expect_tampered(bundle, [old], check=11)
            # Where it is not asked for, a wrong proof proves nothing and hurts nobody.
            self.expect_proven(bundle)


class Forger(Case):
    """Signs with a key of their own."""

    def test_a_checkpoint_of_another_key(self):
        log = sample().edit(11, outcome="denied").relink()
        for name in (SIGNER.name, "gatehouse-audit/other"):
            bundle = Bundle(log, signer=Signer(2, name))
            self.expect_tampered(bundle, check=3)
            # Whoever does not know the key is told that nothing is proven by it.
            self.expect_incomplete(bundle, key=None)

    def test_another_log_of_the_same_key(self):
        bundle = Bundle(sample())
        origin = "gatehouse-audit/other"
        text = f"{origin}\n20\n{b64(root(sample().leaves()))}\n"
        bundle.members["checkpoint.note"] = SIGNER.note(text)
        bundle.members["bundle.json"]["origin"] = origin
        self.expect_tampered(bundle, check=4)
        for epoch in ("1", "0", "02", "x", "", "-2", "2/2", "99999999999999999999"):
            bundle.members["bundle.json"]["origin"] = f"{SIGNER.name}/{epoch}"
            text = f"{SIGNER.name}/{epoch}\n20\n{b64(root(sample().leaves()))}\n"
            bundle.members["checkpoint.note"] = SIGNER.note(text)
            self.expect_tampered(bundle, check=4)

    def test_a_head_is_no_checkpoint_and_a_checkpoint_no_head(self):
        bundle = Bundle(sample(), ONE_TENANT)
        head, note = bundle.members["head.note"], bundle.members["checkpoint.note"]
        bundle.members["head.note"] = note
        self.expect_malformed(bundle, check=2)
        bundle.members.update({"head.note": head, "checkpoint.note": head})
        self.expect_malformed(bundle, check=2)

    def test_an_earlier_checkpoint_of_another_key(self):
        log = sample()
        self.expect_tampered(Bundle(log), [log.checkpoint(9, signer=Signer(2))], check=3)
        self.expect_tampered(Bundle(log), [log.checkpoint(9).replace(b"\n9\n", b"\n8\n")], check=3)


class KeyHolder(Case):
    """Has the key and can sign anything. What was kept elsewhere shows it; without that, nothing does, and the verdict says so."""

    def caught_by_an_anchor(self, forged, anchor, without=0):
        verdict = self.expect(without, forged)
        self.assertTrue(any("a holder of the signing key" in line for line in verdict["notProven"]), verdict)
        return self.expect_tampered(forged, [anchor], check=11)

    def test_rewrite_all_after_the_anchor(self):
        log = sample()
        rewritten = log.copy().edit(11, outcome="denied").relink()
        self.caught_by_an_anchor(Bundle(rewritten), log.checkpoint(15))
        self.caught_by_an_anchor(Bundle(rewritten, ONE_TENANT, since=[15]), log.checkpoint(15))
        # What the anchor had not seen yet is not protected by it, and the verdict says from where on.
        verdict = self.expect_proven(Bundle(rewritten), [log.checkpoint(9)])
        self.assertTrue(any("entries from number 9 on" in line for line in verdict["notProven"]))

    def test_replay_an_old_checkpoint(self):
        log = sample()
        self.caught_by_an_anchor(Bundle(log, size=15), log.checkpoint())
        self.caught_by_an_anchor(Bundle(log, ONE_TENANT, size=15), log.checkpoint())

    def test_a_fork_of_equal_size(self):
        log = sample()
        fork = log.copy().cut(19).add("w1", "t1")
        for scope in (WHOLE, ONE_TENANT):
            verdict = self.caught_by_an_anchor(Bundle(fork, scope), log.checkpoint())
            self.assertIn("fork", verdict["message"])

    def test_an_old_database_goes_on(self):
        log = sample()
        restored = log.copy().cut(12)
        for _ in range(12):
            restored.add("w1", "t1")
        self.caught_by_an_anchor(Bundle(restored), log.checkpoint())
        self.caught_by_an_anchor(Bundle(restored, ONE_TENANT, since=[20]), log.checkpoint())

    def test_a_head_that_leaves_the_last_entries_of_a_tenant_out(self):
        """Not even an anchor shows that in a bundle of the tenant. The whole log does: what is in it is in it."""
        log = sample()
        bundle = Bundle(log, ONE_TENANT, only={1, 6, 11})
        verdict = self.expect_proven(bundle, [log.checkpoint()])
        self.assertTrue(any("leaves out the last" in line for line in verdict["notProven"]))

    def test_the_whole_log_is_deleted(self):
        log = sample()
        self.caught_by_an_anchor(Bundle(Log().add(action="audit.start")), log.checkpoint())
        self.caught_by_an_anchor(Bundle(sample(30, seed=9)), log.checkpoint())
        verdict = self.expect_proven(Bundle(Log()))
        self.assertEqual(verdict["entries"], 0)
        self.expect_tampered(Bundle(Log()), [log.checkpoint()], check=11)

    def test_logging_stops_for_two_hours(self):
        log = sample().add("w1", "t1", minutes=120).add("w1", "t1")
        verdict = self.expect_incomplete(Bundle(log))
        self.assertIn("before entry 20", verdict["incomplete"][0])
        self.expect_proven(Bundle(sample().add("w1", "t1", minutes=65)))
        said = self.expect_proven(Bundle(sample().add(action="audit.start", minutes=120)))["notProven"]
        self.assertTrue(any("stood still" in line for line in said))
        said = self.expect_proven(Bundle(log, ONE_TENANT))["notProven"]
        self.assertTrue(any("silences" in line for line in said))


class Restores(Case):
    """A log that was restored from an older copy says so, and which entries are lost."""

    def setUp(self):
        super().setUp()
        self.before = sample(30)
        self.log = self.before.copy().cut(12)
        self.log.add(action="audit.restore", targets=[("epoch", "2")], minutes=500)
        for _ in range(12):
            self.log.add("w1", "t1")

    def test_the_verdict_names_what_was_lost(self):
        anchors = [self.before.checkpoint(20), self.log.checkpoint(epoch=2)]
        verdict = self.expect_incomplete(Bundle(self.log, epoch=2), anchors)
        self.assertIn("entries 12 to 19", verdict["incomplete"][0])
        # Also if the log is shorter than it was.
        verdict = self.expect_incomplete(Bundle(self.log, epoch=2, size=14), [self.before.checkpoint(30)])
        self.assertIn("entries 12 to 29", "".join(verdict["incomplete"]))

    def test_nothing_lost_of_what_was_sealed(self):
        anchors = [self.before.checkpoint(12), self.log.checkpoint(epoch=2)]
        self.expect_proven(Bundle(self.log, epoch=2), anchors)
        self.expect_proven(Bundle(self.log, ONE_TENANT, epoch=2, since=[12]), anchors)

    def test_an_epoch_that_nobody_has_seen(self):
        verdict = self.expect_incomplete(Bundle(self.log, epoch=2), [self.before.checkpoint(12)])
        self.assertIn("epoch 2", verdict["incomplete"][0])

    def test_rewriting_what_is_said_to_be_restored(self):
        rewritten = self.log.copy().edit(6, outcome="denied").relink()
        anchors = [self.before.checkpoint(12), rewritten.checkpoint(epoch=2)]
        self.expect_tampered(Bundle(rewritten, epoch=2), anchors, check=11)

    def test_a_bundle_of_less_cannot_tell_what_was_lost(self):
        anchors = [self.before.checkpoint(20), self.log.checkpoint(epoch=2)]
        for since in ([20], []):
            verdict = self.expect_incomplete(Bundle(self.log, ONE_TENANT, epoch=2, since=since), anchors)
            self.assertIn("earlier epoch", verdict["incomplete"][0])

    def test_restored_twice(self):
        log = self.log.cut(20).copy()
        second = log.checkpoint(20, epoch=2)
        log.cut(15).add(action="audit.restore", targets=[("epoch", "4")])
        for _ in range(10):
            log.add("w1", "t1")
        now = log.checkpoint(epoch=4)
        verdict = self.expect_incomplete(Bundle(log, epoch=4), [second, self.before.checkpoint(14), now])
        self.assertIn("entries 15 to 19", verdict["incomplete"][0])
        self.assertIn("entries 12 to 13", verdict["incomplete"][1])
        self.expect_proven(Bundle(log, epoch=4), [self.before.checkpoint(12), now])

    def test_epochs_that_do_not_fit(self):
        # No entry says how the epoch began, or it says another.
        self.expect_tampered(Bundle(sample(), epoch=2), check=10)
        self.expect_tampered(Bundle(self.log, epoch=3), check=10)
        self.expect_tampered(Bundle(self.log), check=10)
        for targets in ([], [("epoch", "2"), ("epoch", "3")], [("epoch", "02")], [("epoch", "1")], [("epoch", "x")]):
            log = sample(5).add(action="audit.restore", targets=targets)
            self.expect_tampered(Bundle(log, epoch=2), check=10, seq=5)
        log = sample(5)
        for epoch in ("3", "2"):
            log.add(action="audit.restore", targets=[("epoch", epoch)])
        self.expect_tampered(Bundle(log, epoch=3), check=10, seq=6)

    def test_going_back_to_the_epoch_before(self):
        for scope in (WHOLE, ONE_TENANT):
            self.expect_tampered(Bundle(self.before, scope), [self.log.checkpoint(epoch=2)], check=11)


# --- Malformed --------------------------------------------------------------------------------------------------------


class MalformedJson(Case):
    """What stands in a line or a document and must not, while hashes and signatures are right."""

    def lines(self, change, check=5):
        """The change is made to the text of entry 1, before it is hashed and signed."""
        log = sample(4)
        honest = log.bytes
        log.bytes = lambda seq: change(honest(seq).decode()).encode() if seq == 1 else honest(seq)
        entry = log.bytes(1)
        self.assertNotEqual(entry, honest(1))
        bundle = Bundle(log)
        return self.expect_malformed(bundle, check=check)

    def test_entries(self):
        log = sample(4)
        entry = log.bytes(1).decode()
        for old, new in (
            ('"v":1', '"v":2'), ('"v":1', '"v":true'), ('"v":1', '"v":1.0'), ('"v":1', '"v":1e0'), ('"v":1', '"v":NaN'),
            ('"seq":1,"tar', '"seq":01,"tar'), ('"seq":1,"tar', '"seq":-1,"tar'), ('"seq":1,"tar', '"seq":9223372036854775808,"tar'),
            ('"seq":1,"tar', '"seq":"1","tar'), ('"seq":1,"tar', '"seq":1,"seq":1,"tar'), ('"seq":1,"tar', '"seq":1,"\\u0073eq":1,"tar'),
            ('"seq":1,"tar', '"tar'), ('"v":1', '"v":1,"x":null'), ('"v":1', '"v":1,"when":"2026"'),
            ('"outcome":"succeeded"', '"outcome":"great"'), ('"type":"key"', '"type":"robot"'), ('"type":"key"', '"type":"key","x":1'),
            ('"id":"k1"', '"id":"\\ud800"'), ('"id":"k1"', '"id":"\\udc00\\ud800"'), ('"id":"k1"', '"id":"a\tb"'), ('"id":"k1"', '"id":null'),
            ('"at":"2026-03-01', '"at":"2026-13-01'), ('"at":"2026-03-01', '"at":"2026-02-30'), ('.000Z"', 'Z"'), ('.000Z"', '.000+00:00"'),
            ('"tenant":"t1"', '"tenant":null'), ('"workspace":"w1"', '"workspace":null'), ('"targets":[]', '"targets":{}'),
            ('"targets":[]', '"targets":[{"id":"a"}]'), ('"opId":null', '"opId":1'), ('"names":"', '"nicknames":"'), ('"names":"', '"names":"A'),
            ('"v":1', '"v":' + "[" * 100_000 + "]" * 100_000),
        ):
            self.assertIn(old, entry)
            with self.subTest(old=old, new=new[:40]):
                self.lines(lambda text: text.replace(old, new))

    def test_a_pair_of_surrogates_is_a_character(self):
        log = sample(4)
        honest = log.bytes
        log.bytes = lambda seq: honest(seq).replace(b'"id":"k1"', b'"id":"\\ud83d\\ude00"') if seq == 3 else honest(seq)
        self.expect_proven(Bundle(log))

    def test_lines(self):
        log = sample(4)
        good = log.line(3)
        for bad in (
            b"", b"{}", good + b" ", b" " + good, good + good, good[:-1], good[:-1] + b',"x":1}', good.replace(b'{"entry":', b'{"entry": '),
            good.replace(b'"entry"', b'"entri"'), good.replace(b',"leaf"', b' ,"leaf"'), good.replace(b',"leaf"', b',"entry":{},"leaf"'), good.replace(b',"details"', b', "details"'),
            good.replace(b'"body"', b'"text"'), good.replace(b'"part":"names"', b'"part":"nicknames"'), b"\xef\xbb\xbf" + good,
            good.replace(b'"salt":"', b'"salt":"0'), good.replace(b'"id":"k1"', b'"id":"\xff"'), good[:-1].split(b',"details"')[0] + b"}",
            good.replace(b'"body":"', b'"body":"\\ud800'), good.split(b',"leaf":"')[0] + b',"leaf":"ABCD","details":[]}', good.replace(b"\n", b"") + b"\r",
        ):
            bundle = Bundle(log)
            bundle.members["entries/000001.ndjson"][3] = bad
            self.expect_malformed(bundle, check=5)
        bundle = Bundle(log)
        bundle.members["entries/000001.ndjson"] = encode(bundle.members["entries/000001.ndjson"])[:-1]
        self.expect_malformed(bundle, check=5)

    def test_a_line_without_end(self):
        log = sample(4)
        detail = log.details[3][0]
        detail["body"] = "x" * (17 << 20)
        log.edit(3, commitments=dict(log.entries[3]["commitments"], **{detail["part"]: commitment(detail)}))
        self.expect_malformed(Bundle(log), check=5)
        bundle = Bundle(sample(1))
        bundle.members["entries/000001.ndjson"] = [b'{"entry":{"v":' + b" " * (17 << 20)]
        self.expect_malformed(bundle, check=5)

    def test_documents(self):
        def document(name, change, scope=ONE_TENANT):
            bundle = Bundle(sample(), scope, since=[5, 9])
            content = bundle.members[name]
            bundle.members[name] = change(content if not isinstance(content, bytes) else content.decode())
            self.expect_malformed(bundle, check=5)

        for change in (
            lambda d: dict(d, format="gatehouse-audit-bundle/v2"), lambda d: dict(d, more=1), lambda d: dict(d, size="20"),
            lambda d: dict(d, size=20.0), lambda d: dict(d, exportedAt="today"), lambda d: dict(d, scope={"type": "everything"}),
            lambda d: dict(d, scope={"type": "log", "workspace": "w1"}), lambda d: dict(d, scope="log"), lambda d: dict(d, scope={"type": ["log"]}),
            lambda d: {k: v for k, v in d.items() if k != "origin"}, lambda d: encode(d) + b"{}", lambda d: encode(d)[:-1] + b',"size":20}', lambda d: b"",
            lambda d: [d],
        ):
            if change(Bundle(sample()).members["bundle.json"]) == [Bundle(sample()).members["bundle.json"]]:
                document("bundle.json", lambda d: b"[" + encode(d) + b"]")
            else:
                document("bundle.json", change)
        for change in (
            lambda d: d[::-1], lambda d: [d[0], d[0]], lambda d: [dict(d[0], size=-1)], lambda d: [dict(d[0], proof="x")],
            lambda d: [dict(d[0], proof=["AAAA"])], lambda d: [dict(d[0], x=1)], lambda d: [b""], lambda d: encode(d)[:-1],
        ):
            document("consistency.ndjson", change)
        for change in (
            lambda d: [dict(d[0], x=1)], lambda d: [{"seq": 1}], lambda d: [dict(d[0], proof=[None])], lambda d: [dict(d[0], seq=None)],
            lambda d: [b""] + d, lambda d: [dict(d[0], proof=[d[0]["proof"][0][:-2] + "9="])],
        ):
            document("proofs/000001.ndjson", change)

    def test_manifests(self):
        files = Bundle(sample()).files()
        manifest = json.loads(files[-1][1])
        for bad in (b"", b"{}", b"[]", encode(manifest) + b"x", encode(dict(manifest, x=1)), encode(dict(manifest, count=None)), encode(dict(manifest, members={}))):
            self.expect_malformed(pack(files[:-1] + [("manifest.json", bad)]), check=5)


class MalformedNotes(Case):
    def test_checkpoints(self):
        log = sample()
        size_root = f"20\n{b64(root(log.leaves()))}\n"
        for text in (
            f"{SIGNER.name}\n{size_root}extension\n", f"{SIGNER.name}\n20\n", f"{SIGNER.name}\n0{size_root}", f"{SIGNER.name}\n+{size_root}",
            f"{SIGNER.name}\n{size_root[:-2]}\n", f"{SIGNER.name}\n20\n{b64(b'short')}\n", f"\n{size_root}", f"{SIGNER.name}\n\n{size_root}",
            f"{SIGNER.name}\n9999999999999999999999\n{b64(root(log.leaves()))}\n", f"{SIGNER.name}\n\u0662\n{b64(root(log.leaves()))}\n",
        ):
            bundle = Bundle(log)
            bundle.members["checkpoint.note"] = SIGNER.note(text)
            self.expect_malformed(bundle, check=2)
            self.expect_malformed(Bundle(log), [SIGNER.note(text)], check=2)

    def test_a_note_that_is_too_large(self):
        log = sample()
        others = "".join(f"\u2014 else.example {b64(bytes(200_000))}\n" for _ in range(6))
        note = log.checkpoint() + others.encode()
        self.assertEqual(len(verifier.parse_note(note, "note").signatures), 7)
        self.expect_malformed(Bundle(log), [note], check=2)

    def test_heads(self):
        log = sample()
        good = Bundle(log, ONE_TENANT).members["head.note"].decode().split("\n\n")[0] + "\n"
        for old, new in (
            ("head/v1", "head/v2"), ("\n20\n", "\n020\n"), ("tenant w1 t1", "tenant w1"), ("tenant w1 t1", "tenant w1  t1"), ("tenant w1 t1", "tenant w1 t1 x"),
            ("tenant w1 t1", "log"), ("\n4\n", "\n4.0\n"), (good.split("\n")[-2], "--"), (good.split("\n")[-2], ""), ("\n4\n", "\n4\n4\n"),
        ):
            self.assertIn(old, good)
            bundle = Bundle(log, ONE_TENANT)
            bundle.members["head.note"] = SIGNER.note(good.replace(old, new))
            self.expect_malformed(bundle, check=2)

    def test_the_bundles_own_key(self):
        for bad in (b"", SIGNER.vkey.encode(), SIGNER.vkey.encode() + b"x", b"x\n", f"{SIGNER.vkey}\n\n".encode(), b"\xff\n"):
            bundle = Bundle(sample())
            bundle.members["key.vkey"] = bad
            self.expect_malformed(bundle, check=2)


class MalformedArchives(Case):
    def setUp(self):
        super().setUp()
        self.files = Bundle(sample(), ONE_TENANT, part=2).files()
        self.good = pack(self.files)

    def test_members(self):
        files = self.files
        names = [name for name, _ in files]
        self.expect_proven(self.good)
        for n in range(len(files)):
            self.expect_malformed(pack(files[:n] + files[n + 1 :]), check=1)
            self.expect_malformed(pack(files[:n] + [("more", b"x")] + files[n:]), check=1)
            self.expect_malformed(pack(files[: n + 1] + files[n:]), check=1)
            if n:
                self.expect_malformed(pack(files[: n - 1] + [files[n], files[n - 1]] + files[n + 1 :]), check=1)
        self.expect_malformed(pack([(name.replace("000002", "000003"), data) for name, data in files]), check=1)
        self.expect_malformed(pack([("./" + name, data) for name, data in files]), check=1)
        self.expect_malformed(pack(files + [("more", b"x")]), check=1)
        empty = names.index("entries/000002.ndjson")
        self.expect_malformed(pack(files[:empty] + [(names[empty], b"")] + files[empty + 1 :]), check=1)
        self.expect_malformed(pack(files[: empty + 1] + [(names[empty + 1], b"")] + files[empty + 2 :]), check=1)

    def test_proofs_in_a_bundle_of_the_whole_log(self):
        files = Bundle(sample()).files()
        self.expect_malformed(pack(files[:5] + [("proofs/000001.ndjson", b"{}\n")] + files[5:]), check=1)
        head = ("head.note", Bundle(sample(), ONE_TENANT).members["head.note"])
        self.expect_malformed(pack(files[:3] + [head] + files[3:]), check=1)

    def test_links_folders_and_other_kinds(self):
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.AREGTYPE):
            def change(info):
                if info.name == "checkpoint.note":
                    info.type = kind
            self.expect_malformed(pack(self.files, change), check=1)

    def test_other_formats_of_tar(self):
        for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w", format=kind, pax_headers={"comment": "x"}) as tar:
                for name, data in self.files:
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            self.expect_malformed(out.getvalue(), check=1)

    def test_ends(self):
        good = bare(self.good)
        self.assertNotEqual(good, self.good)
        self.expect_proven(good)
        for bad in (
            good + b"x", good + b"\0", good + bytes(512), good[:-512], good[:-1024], good[:-1], self.good + b"x", self.good + bytes(10240),
            self.good[:-1] + b"x", b"", good[:100], good[:512], good[:700], good[: len(good) // 2],
        ):
            self.expect_malformed(bad, check=1)

    def test_headers(self):
        def with_byte(place, byte, sealed=True):
            header = bytearray(self.good[:512])
            header[place : place + len(byte)] = byte
            if sealed:
                header[148:156] = b" " * 8
                header[148:156] = b"%06o\0 " % sum(header)
            return bytes(header) + self.good[512:]

        # What says nothing about the content may be anything, but the checksum is over all of it.
        self.expect_proven(with_byte(108, b"1"))
        self.expect_malformed(with_byte(108, b"1", sealed=False), check=1)
        for place, byte in ((0, b"B"), (0, b"/"), (0, b"\xff"), (20, b"x"), (124, b"9"), (124, b"\x80"), (124, b" "), (257, b"U"), (257, b"ustar  \0"),
                            (263, b"01"), (345, b"x"), (156, b"\0"), (156, b"7"), (156, b"x"), (156, b"L")):
            self.expect_malformed(with_byte(place, byte), check=1)
        for checksum in (b"0000000\0", b"7777777\0", b"\0" * 8, b"99999999", b"-1\0     "):
            self.expect_malformed(with_byte(148, checksum, sealed=False), check=1)

    def test_padding(self):
        first = len(self.files[0][1])
        self.assertEqual(self.good[512 + first], 0)
        self.expect_malformed(self.good[: 512 + first] + b"x" + self.good[513 + first :], check=1)

    def test_gzip(self):
        packed = gzip.compress(self.good)
        self.expect_proven(packed)
        for bad in (packed + b"x", packed + b"\0", packed + packed, packed[:-1], packed[:-9], packed[:30], packed[:2],
                    packed[:-5] + b"xxxxx", packed[:100] + b"\0\0\0\0" + packed[104:], gzip.compress(packed), gzip.compress(self.good + b"x")):
            self.expect_malformed(bad, check=1)

    def test_large_members(self):
        for name in ("bundle.json", "key.vkey", "checkpoint.note", "head.note", "consistency.ndjson"):
            files = [(n, data + b" " * (2 << 20) if n == name else data) for n, data in self.files]
            self.expect_malformed(pack(files), check=1)

    def test_random_damage_never_ends_in_anything_but_a_verdict(self):
        choose = random.Random(7)
        data = bare(Bundle(sample(), ONE_TENANT, part=2, since=[9]).pack())
        for n in range(400):
            bad = bytearray(data)
            for _ in range(choose.randrange(1, 4)):
                place = choose.randrange(len(bad))
                bad[place] = choose.choice([bad[place] ^ (1 << choose.randrange(8)), 0, 34, 125])
            verdict = self.verify(bytes(bad), [sample().checkpoint(9)])
            if bytes(bad) != data and verdict["exit"] == 0:
                # Nothing says what stands in a header beside name, size and kind; the checksum has to fit all the same.
                changed = [p for p in range(len(data)) if bad[p] != data[p]]
                self.fail(f"damage at {changed} is passed over")


# --- The command ------------------------------------------------------------------------------------------------------


class Command(Case):
    def run_it(self, *arguments):
        done = subprocess.run([sys.executable, VERIFIER, *arguments], capture_output=True, text=True, encoding="utf-8",
                              env={**os.environ, "PYTHONIOENCODING": "utf-8"}, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def test_exit_codes_and_texts(self):
        log = sample()
        honest = self.write("honest.tar", Bundle(log).pack())
        key = self.write("key", f"{SIGNER.vkey}\n".encode())
        since = self.write("since", log.checkpoint(9))
        newer = self.write("newer", log.copy().add().checkpoint())
        code, out = self.run_it(honest, "--key", SIGNER.vkey)
        self.assertEqual(code, 0, out)
        self.assertTrue(out.startswith("PROVEN  log\n  20 entries"), out)
        self.assertEqual(self.run_it(honest, "--key", key, "--since", since, "--since", since)[0], 0)
        code, out = self.run_it(honest, "--key", key, "--since", since, "--since", newer)
        self.assertEqual(code, 1)
        self.assertTrue(out.startswith("TAMPERED"), out)
        code, out = self.run_it(honest)
        self.assertEqual(code, 3)
        self.assertTrue(out.startswith("INCOMPLETE"), out)
        for arguments in ((honest, "--key", "x+y+z"), (honest, "--key", "/nowhere"), (honest, "--since", "/nowhere"), ("/nowhere",),
                          (self.folder,), (key,), (honest, "--since", honest), (honest, "--what"), ()):
            code, out = self.run_it(*arguments)
            self.assertEqual(code, 2, (arguments, out))
            self.assertNotIn("Traceback", out)

    def test_json(self):
        bundle = Bundle(sample().edit(11, outcome="denied").edit(12, outcome="nobody"))
        code, out = self.run_it(self.write("bundle", bundle.pack()), "--key", SIGNER.vkey, "--json")
        verdict = json.loads(out)
        self.assertEqual((code, verdict["exit"], verdict["verdict"], verdict["check"]), (2, 2, "malformed", 5))
        bundle = Bundle(sample(), ONE_TENANT)
        bundle.members["entries/000001.ndjson"][1] = sample().edit(6, outcome="denied").line(6)
        code, out = self.run_it(self.write("bundle", bundle.pack()), "--key", SIGNER.vkey, "--json")
        verdict = json.loads(out)
        self.assertEqual((code, verdict["verdict"], verdict["check"], verdict["seq"]), (1, "tampered", 7, 11))
        self.assertIsInstance(verdict["message"], str)
        self.assertIsInstance(verdict["incomplete"] + verdict["notProven"], list)

    def test_a_bundle_cannot_write_on_the_terminal(self):
        hostile = "x\x1b[2J\nPROVEN  log\u202e"
        bundle = Bundle(sample(), dict(PARTIAL, filter=hostile), only={1})
        for change in ({}, {"origin": hostile}):
            bundle.members["bundle.json"].update(change)
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                verifier.print_verdict(self.verify(bundle))
            self.assertNotRegex(out.getvalue(), r"[\x00-\x09\x0b-\x1f\u202e]")
            self.assertNotIn("\nPROVEN", out.getvalue())


if __name__ == "__main__":
    unittest.main()
