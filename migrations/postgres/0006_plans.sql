-- When a job may begin; NULL: at once.
ALTER TABLE jobs ADD COLUMN starts_at BIGINT;
-- The time an item was listed with, whatever became of it: a plan is decided about again when its options change.
ALTER TABLE plan_items ADD COLUMN wanted_at BIGINT;
-- How the posts were chosen, and which matching ones were left out.
ALTER TABLE plans ADD COLUMN source TEXT NOT NULL DEFAULT 'ticked';
UPDATE plans SET source = 'matching' WHERE matching;
ALTER TABLE plans DROP COLUMN matching;
ALTER TABLE plans ADD COLUMN excluded JSONB NOT NULL DEFAULT '[]';
-- The plan's posts counted, and what has changed since it was previewed before.
ALTER TABLE plans ADD COLUMN summary JSONB NOT NULL DEFAULT '{}';
ALTER TABLE plans ADD COLUMN difference JSONB;
-- Pasted ids name posts without their tenants.
CREATE INDEX posts_by_id ON posts (workspace_id, id);
