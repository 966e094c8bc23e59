-- The backup that an item makes a post of again, and the post that was made.
ALTER TABLE plan_items ADD COLUMN backup_job TEXT;
ALTER TABLE plan_items ADD COLUMN backup_n INTEGER;
ALTER TABLE job_items ADD COLUMN backup_job TEXT;
ALTER TABLE job_items ADD COLUMN backup_n INTEGER;
ALTER TABLE job_items ADD COLUMN created_id TEXT;
-- One at most is made of a backup.
ALTER TABLE post_backups ADD COLUMN recreated_as TEXT;
