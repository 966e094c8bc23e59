-- Lists of half a million posts. An index of an expression makes the engine read the post as well, so what lists are
-- ordered and narrowed by stands in columns of its own: place_at, the scheduled time or the end of the list, and with_media. All
-- four orders carry what filters ask for.
DROP INDEX posts_by_scheduled;
DROP INDEX posts_by_status;
DROP INDEX posts_by_updated;
DROP INDEX posts_by_created;
-- Generated, the table is written anew once; then they are columns like others, as on SQLite.
ALTER TABLE posts
  ADD COLUMN place_at BIGINT NOT NULL GENERATED ALWAYS AS (COALESCE(scheduled_at, 9007199254740991)) STORED,
  ADD COLUMN with_media BOOLEAN NOT NULL GENERATED ALWAYS AS (media <> '[]') STORED;
ALTER TABLE posts
  ALTER COLUMN place_at DROP EXPRESSION,
  ALTER COLUMN with_media DROP EXPRESSION,
  ADD CHECK (place_at = COALESCE(scheduled_at, 9007199254740991)),
  ADD CHECK (with_media = (media <> '[]'));
CREATE INDEX posts_by_scheduled ON posts (workspace_id, place_at, id, tenant_id, status, platform_names, created_at, with_media);
CREATE INDEX posts_by_status ON posts (workspace_id, status, place_at, id, tenant_id, platform_names, created_at, with_media);
CREATE INDEX posts_by_updated ON posts
  (workspace_id, updated_at, id, tenant_id, status, platform_names, place_at, created_at, with_media);
CREATE INDEX posts_by_created ON posts (workspace_id, created_at, id, tenant_id, status, platform_names, place_at, with_media);
