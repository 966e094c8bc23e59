-- The index that audit searches use: in which entries a word stands. An entry's number is block * 65536 + a number in `seqs`
-- (src/store/bits.rs). Filled behind the log; `size` entries are in it. `version` rises when something is taken out.
CREATE TABLE audit_words (
  block INTEGER NOT NULL, word TEXT NOT NULL, seqs BLOB NOT NULL, PRIMARY KEY (block, word)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit_words_head (
  id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_words_head (id, size, version) VALUES (1, 0, 0);
