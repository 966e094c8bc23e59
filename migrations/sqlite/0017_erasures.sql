-- Erasures of personal data, each gone on with until it is done. No workspace: of a person. state is erasing, rewriting,
-- emptying, done.
CREATE TABLE erasures (
  id TEXT PRIMARY KEY, subject TEXT NOT NULL, workspace_id TEXT REFERENCES workspaces(id), subject_id TEXT NOT NULL,
  state TEXT NOT NULL, asked_at INTEGER NOT NULL, erased_at INTEGER, ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX erasures_unfinished ON erasures (subject, subject_id, COALESCE(workspace_id, '')) WHERE state <> 'done';
CREATE INDEX erasures_of_subject ON erasures (subject_id, asked_at);
-- Which details each has erased, so that it can be said of an entry when.
CREATE TABLE erased_details (
  seq INTEGER NOT NULL REFERENCES audit_entries(seq), part TEXT NOT NULL, erasure_id TEXT NOT NULL REFERENCES erasures(id),
  PRIMARY KEY (seq, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_details_of_erasure ON erased_details (erasure_id);
