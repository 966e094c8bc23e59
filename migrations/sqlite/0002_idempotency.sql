-- Calls that carry an Idempotency-Key, and how each was answered. `claim` names the attempt that may act: an intent is only
-- stored for the claim that is in force, so that an attempt that was taken over cannot act any more.
CREATE TABLE idempotency_keys (
  workspace_id TEXT NOT NULL REFERENCES workspaces(id), tenant_id TEXT NOT NULL, key TEXT NOT NULL,
  fingerprint BLOB NOT NULL, claim TEXT NOT NULL, node TEXT NOT NULL, op_id TEXT, status INTEGER, answer BLOB,
  created_at INTEGER NOT NULL, claimed_at INTEGER NOT NULL, PRIMARY KEY (workspace_id, tenant_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
-- The process that works on a form: of a dead one, nobody will ever hear how it ended.
ALTER TABLE form_tokens ADD COLUMN node TEXT;
