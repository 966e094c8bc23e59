-- Why the log does not agree with what was signed before, and the signed note that says so: nothing is appended any more.
ALTER TABLE audit_head ADD COLUMN fork TEXT;
ALTER TABLE audit_head ADD COLUMN fork_note TEXT;
-- The tree's hashes, 32 bytes each, in tiles of 256 (C2SP tlog-tiles): on level 0 leaves, above it the roots of tiles of the
-- level below. Level 0 has whole tiles alone; above it the last one grows. Written with checkpoints, not with entries.
CREATE TABLE audit_tiles (level BIGINT NOT NULL, idx BIGINT NOT NULL, hashes BYTEA NOT NULL, PRIMARY KEY (level, idx));
-- Signed checkpoints: those of the last day, and of each hour before it the last.
CREATE TABLE audit_checkpoints (
  epoch BIGINT NOT NULL, size BIGINT NOT NULL, at BIGINT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (epoch, size)
);
CREATE INDEX audit_checkpoints_by_time ON audit_checkpoints (at);
