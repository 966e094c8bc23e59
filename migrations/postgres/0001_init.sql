-- Gatehouse's tables. The twin of this file in the other engine's folder has the same tables and columns;
-- tests/it/store.rs compares them. Times are milliseconds UTC; ids are text.

-- Counters that tell replicas that something they hold in memory has changed.
CREATE TABLE versions (name TEXT PRIMARY KEY, version BIGINT NOT NULL);
INSERT INTO versions (name, version) VALUES ('access', 1);

-- Small facts about this installation, such as the master key's canary.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- Data keys, wrapped by the master key.
CREATE TABLE data_keys (id TEXT PRIMARY KEY, wrapped BYTEA NOT NULL, created_at BIGINT NOT NULL);

CREATE TABLE workspaces (
  id TEXT PRIMARY KEY, name TEXT COLLATE "C" NOT NULL UNIQUE, environment TEXT NOT NULL, base_url TEXT NOT NULL,
  upstream_key BYTEA NOT NULL, key_prefix TEXT NOT NULL, key_added_at BIGINT NOT NULL, key_added_by TEXT NOT NULL,
  delete_policy TEXT NOT NULL, frozen_at BIGINT, frozen_reason TEXT, suspended_at BIGINT, suspended_reason TEXT,
  imported_at BIGINT, import_error TEXT, created_at BIGINT NOT NULL
);

CREATE TABLE tenants (
  workspace_id TEXT NOT NULL REFERENCES workspaces(id), id TEXT NOT NULL, username TEXT COLLATE "C" NOT NULL,
  display_name TEXT COLLATE "C" NOT NULL, created_at BIGINT NOT NULL, frozen_at BIGINT, frozen_reason TEXT, detached_at BIGINT,
  link_expires_at BIGINT, synced_at BIGINT, swept_at BIGINT, sync_error TEXT, sync_error_at BIGINT,
  PRIMARY KEY (workspace_id, id)
);

CREATE TABLE keys (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), kind TEXT NOT NULL, tenant_id TEXT,
  name TEXT NOT NULL, mac BYTEA NOT NULL UNIQUE, pepper_id TEXT NOT NULL, prefix TEXT NOT NULL, last_four TEXT NOT NULL,
  scopes TEXT NOT NULL, created_at BIGINT NOT NULL, created_by TEXT NOT NULL, expires_at BIGINT, last_used_at BIGINT,
  last_used_from TEXT, revoked_at BIGINT,
  FOREIGN KEY (workspace_id, tenant_id) REFERENCES tenants(workspace_id, id)
);
CREATE INDEX keys_of_workspace ON keys (workspace_id, id);

CREATE TABLE admins (
  id TEXT PRIMARY KEY, email TEXT COLLATE "C" NOT NULL UNIQUE, name TEXT NOT NULL, password_hash TEXT NOT NULL,
  instance_owner BOOLEAN NOT NULL, created_at BIGINT NOT NULL, disabled_at BIGINT
);
CREATE TABLE roles (
  admin_id TEXT NOT NULL REFERENCES admins(id), workspace_id TEXT NOT NULL REFERENCES workspaces(id), role TEXT NOT NULL,
  PRIMARY KEY (admin_id, workspace_id)
);
CREATE TABLE sessions (
  hash BYTEA PRIMARY KEY, id TEXT NOT NULL UNIQUE, admin_id TEXT NOT NULL REFERENCES admins(id), created_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL, authenticated_at BIGINT NOT NULL, ip TEXT NOT NULL, user_agent TEXT NOT NULL
);
CREATE INDEX sessions_of_admin ON sessions (admin_id, created_at);
CREATE TABLE setup_links (hash BYTEA PRIMARY KEY, expires_at BIGINT NOT NULL, used_at BIGINT);
-- Failed log-ins of one account or address, for the growing delay.
CREATE TABLE login_failures (
  subject TEXT PRIMARY KEY, failures BIGINT NOT NULL, first_at BIGINT NOT NULL, blocked_until BIGINT NOT NULL
);
-- Forms already sent: a second submission is answered as the first was.
CREATE TABLE form_tokens (token TEXT PRIMARY KEY, session_id TEXT NOT NULL, created_at BIGINT NOT NULL, location TEXT);
CREATE INDEX form_tokens_by_age ON form_tokens (created_at);
-- Secrets waiting for their one view, encrypted.
CREATE TABLE reveals (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), admin_id TEXT NOT NULL REFERENCES admins(id),
  kind TEXT NOT NULL, label TEXT NOT NULL, back TEXT NOT NULL, sealed BYTEA, created_at BIGINT NOT NULL, valid_until BIGINT
);

-- Export links that have been used; each works once.
CREATE TABLE export_links (jti TEXT PRIMARY KEY, expires_at BIGINT NOT NULL);

-- The mirror: a copy for lists and selection, never the truth.
CREATE TABLE posts (
  workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL, id TEXT COLLATE "C" NOT NULL, content TEXT NOT NULL,
  status TEXT NOT NULL, scheduled_at BIGINT, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
  platforms JSONB NOT NULL, platform_names TEXT NOT NULL, media JSONB NOT NULL, seen_at BIGINT NOT NULL,
  PRIMARY KEY (workspace_id, tenant_id, id), FOREIGN KEY (workspace_id, tenant_id) REFERENCES tenants(workspace_id, id)
);
-- Posts without a time sort last; the constant is the largest whole number JSON readers agree on.
CREATE INDEX posts_by_scheduled ON posts (workspace_id, (COALESCE(scheduled_at, 9007199254740991)), id, tenant_id);
CREATE INDEX posts_by_updated ON posts (workspace_id, updated_at, id, tenant_id);
CREATE INDEX posts_by_created ON posts (workspace_id, created_at, id, tenant_id);
-- Posts we paused; upstream shows them as drafts.
CREATE TABLE pauses (
  workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL, post_id TEXT NOT NULL, paused_at BIGINT NOT NULL,
  op_id TEXT NOT NULL, scheduled_at BIGINT, PRIMARY KEY (workspace_id, tenant_id, post_id)
);

-- Calls that change something upstream, from intent to end.
CREATE TABLE operations (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), tenant_id TEXT, action TEXT NOT NULL,
  target TEXT NOT NULL, actor JSONB NOT NULL, asked JSONB NOT NULL, snapshot JSONB, state TEXT NOT NULL,
  job_id TEXT, item_n BIGINT, node TEXT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT, check_at BIGINT NOT NULL,
  checks BIGINT NOT NULL
);
CREATE INDEX operations_open ON operations (check_at) WHERE state IN ('open', 'in_doubt');

CREATE TABLE plans (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), action TEXT NOT NULL, options JSONB NOT NULL,
  filter TEXT NOT NULL, matching BOOLEAN NOT NULL, created_by TEXT NOT NULL, created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL, mirrored_at BIGINT, digest TEXT NOT NULL, job_id TEXT UNIQUE
);
CREATE TABLE plan_items (
  plan_id TEXT NOT NULL REFERENCES plans(id), n BIGINT NOT NULL, tenant_id TEXT NOT NULL, post_id TEXT NOT NULL,
  content TEXT NOT NULL, status TEXT NOT NULL, platforms TEXT NOT NULL, scheduled_at BIGINT, updated_at BIGINT NOT NULL,
  target_at BIGINT, skip TEXT, PRIMARY KEY (plan_id, n)
);
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL REFERENCES workspaces(id), plan_id TEXT NOT NULL UNIQUE REFERENCES plans(id),
  action TEXT NOT NULL, options JSONB NOT NULL, reason TEXT NOT NULL, actor JSONB NOT NULL, state TEXT NOT NULL,
  wanted TEXT NOT NULL, created_at BIGINT NOT NULL, started_at BIGINT, ended_at BIGINT
);
CREATE INDEX jobs_of_workspace ON jobs (workspace_id, id);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE state IN ('queued', 'running', 'paused');
CREATE TABLE job_items (
  job_id TEXT NOT NULL REFERENCES jobs(id), n BIGINT NOT NULL, workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL,
  post_id TEXT NOT NULL, expected_status TEXT NOT NULL, expected_at BIGINT, expected_updated_at BIGINT NOT NULL,
  target_at BIGINT, state TEXT NOT NULL, code TEXT, message TEXT, granted_at BIGINT, op_id TEXT, ended_at BIGINT,
  PRIMARY KEY (job_id, n)
);
CREATE INDEX job_items_by_state ON job_items (job_id, state, n);
CREATE UNIQUE INDEX job_items_lock ON job_items (workspace_id, tenant_id, post_id) WHERE state IN ('pending', 'running', 'unknown');
-- Who does which background work, until when. A new holder has a larger token.
CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, token BIGINT NOT NULL, until BIGINT NOT NULL);

-- The audit log. audit_head is the one row every append locks; its range is the tree's right edge.
CREATE TABLE audit_head (id BIGINT PRIMARY KEY CHECK (id = 1), size BIGINT NOT NULL, at BIGINT NOT NULL, range BYTEA NOT NULL);
INSERT INTO audit_head (id, size, at, range) VALUES (1, 0, 0, '');
-- Last number and leaf per workspace (tenant_id '') and per tenant.
CREATE TABLE audit_chains (
  workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL, seq BIGINT NOT NULL, leaf BYTEA NOT NULL, PRIMARY KEY (workspace_id, tenant_id)
);
CREATE TABLE audit_entries (
  seq BIGINT PRIMARY KEY, entry BYTEA NOT NULL, leaf BYTEA NOT NULL, at BIGINT NOT NULL, actor_type TEXT NOT NULL,
  actor_id TEXT NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL, workspace_id TEXT, workspace_seq BIGINT,
  tenant_id TEXT, tenant_seq BIGINT, op_id TEXT, job_id TEXT, target_id TEXT,
  UNIQUE (workspace_id, workspace_seq), UNIQUE (workspace_id, tenant_id, tenant_seq)
);
-- What may be erased of an entry; the hashed bytes hold only salted commitments to it.
CREATE TABLE audit_details (
  seq BIGINT NOT NULL REFERENCES audit_entries(seq), part TEXT NOT NULL, salt BYTEA NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (seq, part)
);
-- Guards against mistakes, not against root.
CREATE FUNCTION audit_entries_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit entries are never changed or deleted'; END $$;
CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE ON audit_entries
  FOR EACH ROW EXECUTE FUNCTION audit_entries_frozen();
