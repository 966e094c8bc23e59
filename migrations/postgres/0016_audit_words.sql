-- The index that audit searches use: in which entries a word stands. An entry's number is block * 65536 + a number in `seqs`
-- (src/store/bits.rs). Filled behind the log; `size` entries are in it. `version` rises when something is taken out.
CREATE TABLE audit_words (
  block BIGINT NOT NULL, word TEXT COLLATE "C" NOT NULL, seqs BYTEA NOT NULL, PRIMARY KEY (block, word)
);
-- Already short; compressing costs more than it saves.
ALTER TABLE audit_words ALTER COLUMN seqs SET STORAGE EXTERNAL;
CREATE TABLE audit_words_head (id BIGINT PRIMARY KEY CHECK (id = 1), size BIGINT NOT NULL, version BIGINT NOT NULL);
INSERT INTO audit_words_head (id, size, version) VALUES (1, 0, 0);
