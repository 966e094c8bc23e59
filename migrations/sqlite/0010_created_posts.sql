-- One post is the effect of one create at most, however many creates with the same content are in doubt.
CREATE UNIQUE INDEX operations_one_create ON operations (workspace_id, target)
  WHERE action = 'post.create' AND target <> '';
