-- The mirror of many tenants. read_to: changes up to this updatedAt are known. due_at: when the tenant is to be read again.
ALTER TABLE tenants ADD COLUMN read_to INTEGER;
ALTER TABLE tenants ADD COLUMN due_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tenants_due ON tenants (workspace_id, due_at, id) WHERE detached_at IS NULL;
-- Lists of half a million posts: what filters ask for stands in the index that is walked.
DROP INDEX posts_by_scheduled;
CREATE INDEX posts_by_scheduled ON posts
  (workspace_id, COALESCE(scheduled_at, 9007199254740991), id, tenant_id, status, platform_names);
CREATE INDEX posts_by_status ON posts
  (workspace_id, status, COALESCE(scheduled_at, 9007199254740991), id, tenant_id, platform_names);
CREATE INDEX tenants_by_name ON tenants (workspace_id, display_name, id);
