-- How an operation ended, for whoever asks: upstream's status, the time it gave, and since when the outcome was in doubt.
ALTER TABLE operations ADD COLUMN upstream_status BIGINT;
ALTER TABLE operations ADD COLUMN granted_at BIGINT;
ALTER TABLE operations ADD COLUMN doubted_at BIGINT;
UPDATE operations SET doubted_at = started_at WHERE state IN ('in_doubt', 'applied', 'not_applied');
CREATE INDEX operations_doubted ON operations (workspace_id, ended_at, id) WHERE doubted_at IS NOT NULL AND ended_at IS NOT NULL;
CREATE INDEX operations_unsettled ON operations (workspace_id, started_at) WHERE state IN ('open', 'in_doubt');
