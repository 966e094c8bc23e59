-- What became of other calls on the same post decides what one in doubt has done.
CREATE INDEX operations_of_target ON operations (target, workspace_id);
-- Updates of one post go upstream one after the other, whichever process sends them.
CREATE UNIQUE INDEX operations_one_update ON operations (workspace_id, target)
  WHERE action = 'post.update' AND state IN ('open', 'in_doubt');
