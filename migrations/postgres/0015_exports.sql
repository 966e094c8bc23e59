-- When each audit token's reading was last written down: a feed that is polled makes one entry an hour, not one a poll.
CREATE TABLE audit_reads (key_id TEXT PRIMARY KEY REFERENCES keys(id), at BIGINT NOT NULL);
-- Exports that are made in the background, into a file. No workspace: of the whole log. filter is a query string, before the
-- number below which entries are taken, entries how many that was found to be, done how many are in the file.
CREATE TABLE exports (
  id TEXT PRIMARY KEY, workspace_id TEXT REFERENCES workspaces(id), admin_id TEXT NOT NULL REFERENCES admins(id),
  format TEXT NOT NULL, gzip BIGINT NOT NULL, filter TEXT NOT NULL, before BIGINT NOT NULL, entries BIGINT NOT NULL,
  state TEXT NOT NULL, done BIGINT NOT NULL, bytes BIGINT, failure TEXT, created_at BIGINT NOT NULL, ended_at BIGINT,
  expires_at BIGINT NOT NULL
);
CREATE INDEX exports_by_age ON exports (workspace_id, created_at);
CREATE INDEX exports_under_way ON exports (created_at) WHERE state IN ('queued', 'running');
