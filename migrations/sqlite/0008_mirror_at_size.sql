-- The mirror of many tenants. read_to: changes up to this updatedAt are known. due_at: when the tenant is to be read again.
ALTER TABLE tenants ADD COLUMN read_to INTEGER;
ALTER TABLE tenants ADD COLUMN due_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tenants_due ON tenants (workspace_id, due_at, id) WHERE detached_at IS NULL;
