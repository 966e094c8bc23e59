-- What a person leaves out of all posts that match, while going through the pages of the list.
CREATE TABLE selections (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), admin_id TEXT NOT NULL REFERENCES admins(id),
  filter TEXT NOT NULL, left_out JSONB NOT NULL, touched_at BIGINT NOT NULL
);
CREATE INDEX selections_by_age ON selections (touched_at);
-- Jobs that have ended and that the person who started them has not looked at since.
CREATE TABLE notices (
  workspace_id TEXT NOT NULL REFERENCES workspaces(id), admin_id TEXT NOT NULL, job_id TEXT NOT NULL REFERENCES jobs(id),
  PRIMARY KEY (workspace_id, admin_id, job_id)
);
-- How a person wants the pages.
ALTER TABLE admins ADD COLUMN zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE admins ADD COLUMN rows_per_page BIGINT NOT NULL DEFAULT 50;
ALTER TABLE admins ADD COLUMN shortcuts BOOLEAN NOT NULL DEFAULT TRUE;
-- Filters of the posts list that a person has given a name.
CREATE TABLE saved_views (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), admin_id TEXT NOT NULL REFERENCES admins(id),
  name TEXT COLLATE "C" NOT NULL, filter TEXT NOT NULL, created_at BIGINT NOT NULL, UNIQUE (workspace_id, admin_id, name)
);
