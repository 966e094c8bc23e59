-- Lists of half a million posts. An index of an expression makes SQLite read the post as well, so what lists are ordered
-- and narrowed by stands in columns of its own: place_at, the scheduled time or the end of the list, and with_media. All four
-- orders carry what filters ask for. `n` is what the index of the texts knows a post by; it must outlive a VACUUM.
CREATE TABLE posts_new (
  n INTEGER PRIMARY KEY, workspace_id TEXT NOT NULL, tenant_id TEXT NOT NULL, id TEXT NOT NULL, content TEXT NOT NULL,
  status TEXT NOT NULL, scheduled_at INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  platforms TEXT NOT NULL, platform_names TEXT NOT NULL, media TEXT NOT NULL, seen_at INTEGER NOT NULL,
  place_at INTEGER NOT NULL CHECK (place_at = COALESCE(scheduled_at, 9007199254740991)),
  with_media INTEGER NOT NULL CHECK (with_media = (media <> '[]')),
  UNIQUE (workspace_id, tenant_id, id), FOREIGN KEY (workspace_id, tenant_id) REFERENCES tenants(workspace_id, id)
) STRICT;
INSERT INTO posts_new (workspace_id, tenant_id, id, content, status, scheduled_at, created_at, updated_at, platforms, platform_names,
  media, seen_at, place_at, with_media)
SELECT workspace_id, tenant_id, id, content, status, scheduled_at, created_at, updated_at, platforms, platform_names,
  media, seen_at, COALESCE(scheduled_at, 9007199254740991), media <> '[]' FROM posts ORDER BY workspace_id, tenant_id, id;
DROP TABLE posts;
ALTER TABLE posts_new RENAME TO posts;
CREATE INDEX posts_by_scheduled ON posts (workspace_id, place_at, id, tenant_id, status, platform_names, created_at, with_media);
CREATE INDEX posts_by_status ON posts (workspace_id, status, place_at, id, tenant_id, platform_names, created_at, with_media);
CREATE INDEX posts_by_updated ON posts
  (workspace_id, updated_at, id, tenant_id, status, platform_names, place_at, created_at, with_media);
CREATE INDEX posts_by_created ON posts (workspace_id, created_at, id, tenant_id, status, platform_names, place_at, with_media);
CREATE INDEX posts_by_id ON posts (workspace_id, id, tenant_id);
-- Which three letters in a row stand in which post, and not where: what it finds is compared with the text.
CREATE VIRTUAL TABLE posts_by_text USING fts5
  (content, content = 'posts', content_rowid = 'n', tokenize = 'trigram', detail = 'none', columnsize = 0);
INSERT INTO posts_by_text (posts_by_text, rank) VALUES ('automerge', 16);
INSERT INTO posts_by_text (posts_by_text) VALUES ('rebuild');
CREATE TRIGGER posts_text_added AFTER INSERT ON posts BEGIN
  INSERT INTO posts_by_text (rowid, content) VALUES (new.n, new.content);
END;
CREATE TRIGGER posts_text_removed AFTER DELETE ON posts BEGIN
  INSERT INTO posts_by_text (posts_by_text, rowid, content) VALUES ('delete', old.n, old.content);
END;
CREATE TRIGGER posts_text_changed AFTER UPDATE OF content ON posts WHEN new.content <> old.content BEGIN
  INSERT INTO posts_by_text (posts_by_text, rowid, content) VALUES ('delete', old.n, old.content);
  INSERT INTO posts_by_text (rowid, content) VALUES (new.n, new.content);
END;
