-- The order in which a job does its items, fair between tenants, fixed when the plan is confirmed: to work it out anew
-- for each batch would read all that is pending each time.
ALTER TABLE job_items ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
UPDATE job_items SET place = n;
-- Calls made for the item, those included that were only asked to come again later.
ALTER TABLE job_items ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
UPDATE job_items SET attempts = 1 WHERE op_id IS NOT NULL;
CREATE INDEX job_items_next ON job_items (job_id, place) WHERE state = 'pending';
-- The last ones to end decide whether a job is stopped.
CREATE INDEX job_items_ended ON job_items (job_id, ended_at, n) WHERE state IN ('succeeded', 'gone', 'failed');
-- Plans made from the items of a job: what is tried again, or undone.
CREATE TABLE plan_parents (
  plan_id TEXT PRIMARY KEY REFERENCES plans(id) ON DELETE CASCADE, job_id TEXT NOT NULL REFERENCES jobs(id), purpose TEXT NOT NULL
);
CREATE INDEX plan_parents_of_job ON plan_parents (job_id);
