-- Gatehouse's tables. The twin of this file in the other engine's folder has the same tables and columns;
-- tests/it/store.rs compares them. Times are milliseconds UTC; ids are text.

-- Counters that tell replicas that something they hold in memory has changed.
CREATE TABLE versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO versions (name, version) VALUES ('access', 1);

-- Small facts about this installation, such as the master key's canary.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Data keys, wrapped by the master key.
CREATE TABLE data_keys (id TEXT PRIMARY KEY, wrapped BLOB NOT NULL, created_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE workspaces (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, environment TEXT NOT NULL, base_url TEXT NOT NULL,
  upstream_key BLOB NOT NULL, key_prefix TEXT NOT NULL, key_added_at INTEGER NOT NULL, key_added_by TEXT NOT NULL,
  delete_policy TEXT NOT NULL, frozen_at INTEGER, frozen_reason TEXT, suspended_at INTEGER, suspended_reason TEXT,
  imported_at INTEGER, import_error TEXT, created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
  workspace_id TEXT NOT NULL REFERENCES workspaces(id), id TEXT NOT NULL, username TEXT NOT NULL,
  display_name TEXT NOT NULL, created_at INTEGER NOT NULL, frozen_at INTEGER, frozen_reason TEXT, detached_at INTEGER,
  link_expires_at INTEGER, synced_at INTEGER, swept_at INTEGER, sync_error TEXT, sync_error_at INTEGER,
  PRIMARY KEY (workspace_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), kind TEXT NOT NULL, tenant_id TEXT,
  name TEXT NOT NULL, mac BLOB NOT NULL UNIQUE, pepper_id TEXT NOT NULL, prefix TEXT NOT NULL, last_four TEXT NOT NULL,
  scopes TEXT NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL, expires_at INTEGER, last_used_at INTEGER,
  last_used_from TEXT, revoked_at INTEGER,
  FOREIGN KEY (workspace_id, tenant_id) REFERENCES tenants(workspace_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_of_workspace ON keys (workspace_id, id);

CREATE TABLE admins (
  id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password_hash TEXT NOT NULL,
  instance_owner INTEGER NOT NULL, created_at INTEGER NOT NULL, disabled_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE roles (
  admin_id TEXT NOT NULL REFERENCES admins(id), workspace_id TEXT NOT NULL REFERENCES workspaces(id), role TEXT NOT NULL,
  PRIMARY KEY (admin_id, workspace_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
  hash BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, admin_id TEXT NOT NULL REFERENCES admins(id), created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL, authenticated_at INTEGER NOT NULL, ip TEXT NOT NULL, user_agent TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_admin ON sessions (admin_id, created_at);
CREATE TABLE setup_links (hash BLOB PRIMARY KEY, expires_at INTEGER NOT NULL, used_at INTEGER) STRICT, WITHOUT ROWID;
-- Failed log-ins of one account or address, for the growing delay.
CREATE TABLE login_failures (
  subject TEXT PRIMARY KEY, failures INTEGER NOT NULL, first_at INTEGER NOT NULL, blocked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Forms already sent: a second submission is answered as the first was.
CREATE TABLE form_tokens (token TEXT PRIMARY KEY, session_id TEXT NOT NULL, created_at INTEGER NOT NULL, location TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX form_tokens_by_age ON form_tokens (created_at);
-- Secrets waiting for their one view, encrypted.
CREATE TABLE reveals (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), admin_id TEXT NOT NULL REFERENCES admins(id),
  kind TEXT NOT NULL, label TEXT NOT NULL, back TEXT NOT NULL, sealed BLOB, created_at INTEGER NOT NULL, valid_until INTEGER
) STRICT, WITHOUT ROWID;

-- Export links that have been used; each works once.
CREATE TABLE export_links (jti TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- The mirror: a copy for lists and selection, never the truth.
CREATE TABLE posts (
  workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL, id TEXT NOT NULL, content TEXT NOT NULL,
  status TEXT NOT NULL, scheduled_at INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  platforms TEXT NOT NULL, platform_names TEXT NOT NULL, media TEXT NOT NULL, seen_at INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, tenant_id, id), FOREIGN KEY (workspace_id, tenant_id) REFERENCES tenants(workspace_id, id)
) STRICT, WITHOUT ROWID;
-- Posts without a time sort last; the constant is the largest whole number JSON readers agree on.
CREATE INDEX posts_by_scheduled ON posts (workspace_id, (COALESCE(scheduled_at, 9007199254740991)), id, tenant_id);
CREATE INDEX posts_by_updated ON posts (workspace_id, updated_at, id, tenant_id);
CREATE INDEX posts_by_created ON posts (workspace_id, created_at, id, tenant_id);
-- Posts we paused; upstream shows them as drafts.
CREATE TABLE pauses (
  workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL, post_id TEXT NOT NULL, paused_at INTEGER NOT NULL,
  op_id TEXT NOT NULL, scheduled_at INTEGER, PRIMARY KEY (workspace_id, tenant_id, post_id)
) STRICT, WITHOUT ROWID;

-- Calls that change something upstream, from intent to end.
CREATE TABLE operations (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), tenant_id TEXT, action TEXT NOT NULL,
  target TEXT NOT NULL, actor TEXT NOT NULL, asked TEXT NOT NULL, snapshot TEXT, state TEXT NOT NULL,
  job_id TEXT, item_n INTEGER, node TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER, check_at INTEGER NOT NULL,
  checks INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX operations_open ON operations (check_at) WHERE state IN ('open', 'in_doubt');

CREATE TABLE plans (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), action TEXT NOT NULL, options TEXT NOT NULL,
  filter TEXT NOT NULL, matching INTEGER NOT NULL, created_by TEXT NOT NULL, created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, mirrored_at INTEGER, digest TEXT NOT NULL, job_id TEXT UNIQUE
) STRICT, WITHOUT ROWID;
CREATE TABLE plan_items (
  plan_id TEXT NOT NULL REFERENCES plans(id), n INTEGER NOT NULL, tenant_id TEXT NOT NULL, post_id TEXT NOT NULL,
  content TEXT NOT NULL, status TEXT NOT NULL, platforms TEXT NOT NULL, scheduled_at INTEGER, updated_at INTEGER NOT NULL,
  target_at INTEGER, skip TEXT, PRIMARY KEY (plan_id, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), plan_id TEXT NOT NULL UNIQUE REFERENCES plans(id),
  action TEXT NOT NULL, options TEXT NOT NULL, reason TEXT NOT NULL, actor TEXT NOT NULL, state TEXT NOT NULL,
  wanted TEXT NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_of_workspace ON jobs (workspace_id, id);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE state IN ('queued', 'running', 'paused');
CREATE TABLE job_items (
  job_id TEXT NOT NULL REFERENCES jobs(id), n INTEGER NOT NULL, workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL,
  post_id TEXT NOT NULL, expected_status TEXT NOT NULL, expected_at INTEGER, expected_updated_at INTEGER NOT NULL,
  target_at INTEGER, state TEXT NOT NULL, code TEXT, message TEXT, granted_at INTEGER, op_id TEXT, ended_at INTEGER,
  PRIMARY KEY (job_id, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_items_by_state ON job_items (job_id, state, n);
CREATE UNIQUE INDEX job_items_lock ON job_items (workspace_id, tenant_id, post_id) WHERE state IN ('pending', 'running', 'unknown');
-- Who does which background work, until when. A new holder has a larger token.
CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- The audit log. audit_head is the one row every append locks; its range is the tree's right edge.
CREATE TABLE audit_head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, at INTEGER NOT NULL, range BLOB NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO audit_head (id, size, at, range) VALUES (1, 0, 0, x'');
-- Last number and leaf per workspace (tenant_id '') and per tenant.
CREATE TABLE audit_chains (
  workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL, seq INTEGER NOT NULL, leaf BLOB NOT NULL, PRIMARY KEY (workspace_id, tenant_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit_entries (
  seq INTEGER PRIMARY KEY, entry BLOB NOT NULL, leaf BLOB NOT NULL, at INTEGER NOT NULL, actor_type TEXT NOT NULL,
  actor_id TEXT NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL, workspace_id TEXT, workspace_seq INTEGER,
  tenant_id TEXT, tenant_seq INTEGER, op_id TEXT, job_id TEXT, target_id TEXT,
  UNIQUE (workspace_id, workspace_seq), UNIQUE (workspace_id, tenant_id, tenant_seq)
) STRICT;
-- What may be erased of an entry; the hashed bytes hold only salted commitments to it.
CREATE TABLE audit_details (
  seq INTEGER NOT NULL REFERENCES audit_entries(seq), part TEXT NOT NULL, salt BLOB NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (seq, part)
) STRICT, WITHOUT ROWID;
-- Guards against mistakes, not against root.
CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END;
CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries BEGIN SELECT RAISE(ABORT, 'audit entries are never deleted'); END;
