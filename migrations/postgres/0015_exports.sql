-- When each audit token's reading was last written down: a feed that is polled makes one entry an hour, not one a poll.
CREATE TABLE audit_reads (key_id TEXT PRIMARY KEY REFERENCES keys(id), at BIGINT NOT NULL);
-- The checkpoints that went out with bundles: a later bundle proves that it continues them.
CREATE TABLE audit_bundles (epoch BIGINT NOT NULL, size BIGINT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (epoch, size));
-- Exports that are made in the background, into a file. No workspace: of the whole instance. filter is a query string, entries
-- how many were found to match, done how many are in the file.
CREATE TABLE exports (
  id TEXT PRIMARY KEY, workspace_id TEXT REFERENCES workspaces(id), admin_id TEXT NOT NULL REFERENCES admins(id),
  format TEXT NOT NULL, gzip BIGINT NOT NULL, filter TEXT NOT NULL, entries BIGINT NOT NULL, state TEXT NOT NULL,
  done BIGINT NOT NULL, bytes BIGINT, sha256 TEXT, failure TEXT, created_at BIGINT NOT NULL, ended_at BIGINT, expires_at BIGINT
);
CREATE INDEX exports_by_age ON exports (workspace_id, created_at);
CREATE INDEX exports_under_way ON exports (created_at) WHERE state IN ('queued', 'running');
