-- What became of other calls on the same post decides what one in doubt has done.
CREATE INDEX operations_of_target ON operations (target, workspace_id);
