-- When each audit token's reading was last written down: a feed that is polled makes one entry an hour, not one a poll.
CREATE TABLE audit_reads (key_id TEXT PRIMARY KEY REFERENCES keys(id), at INTEGER NOT NULL) STRICT;
-- Exports that are made in the background, into a file. No workspace: of the whole log. filter is a query string, before the
-- number below which entries are taken, entries how many that was found to be, done how many are in the file.
CREATE TABLE exports (
  id TEXT PRIMARY KEY, workspace_id TEXT REFERENCES workspaces(id), admin_id TEXT NOT NULL REFERENCES admins(id),
  format TEXT NOT NULL, gzip INTEGER NOT NULL, filter TEXT NOT NULL, before INTEGER NOT NULL, entries INTEGER NOT NULL,
  state TEXT NOT NULL, done INTEGER NOT NULL, bytes INTEGER, failure TEXT, created_at INTEGER NOT NULL, ended_at INTEGER,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX exports_by_age ON exports (workspace_id, created_at);
CREATE INDEX exports_under_way ON exports (created_at) WHERE state IN ('queued', 'running');
