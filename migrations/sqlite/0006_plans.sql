-- When a job may begin; NULL: at once.
ALTER TABLE jobs ADD COLUMN starts_at INTEGER;
-- The time an item was listed with, whatever became of it: a plan is decided about again when its options change.
ALTER TABLE plan_items ADD COLUMN wanted_at INTEGER;
-- How the posts were chosen, and which matching ones were left out.
ALTER TABLE plans ADD COLUMN source TEXT NOT NULL DEFAULT 'ticked';
UPDATE plans SET source = 'matching' WHERE matching <> 0;
ALTER TABLE plans DROP COLUMN matching;
ALTER TABLE plans ADD COLUMN excluded TEXT NOT NULL DEFAULT '[]';
-- The plan's posts counted, and what has changed since it was previewed before.
ALTER TABLE plans ADD COLUMN summary TEXT NOT NULL DEFAULT '{}';
ALTER TABLE plans ADD COLUMN difference TEXT;
-- Pasted ids name posts without their tenants.
CREATE INDEX posts_by_id ON posts (workspace_id, id);
