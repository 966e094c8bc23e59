-- The sandbox's own tables. Times are milliseconds UTC, ids are 24 hex characters made in Rust, JSON is text.
-- Nothing cascades: a delete names what it deletes, so that the order and the failure switches can be tested.

CREATE TABLE IF NOT EXISTS users (
    id                 TEXT PRIMARY KEY,
    owner_id           TEXT,               -- NULL for an owner, and for a managed user that was detached
    role               TEXT NOT NULL,      -- owner, managed
    username           TEXT NOT NULL UNIQUE,
    display_name       TEXT NOT NULL,
    api_enabled        INTEGER NOT NULL DEFAULT 1,
    mcp_enabled        INTEGER NOT NULL DEFAULT 1,
    connection_token   TEXT UNIQUE,
    connection_expires INTEGER,
    created_at         INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS users_by_owner ON users (owner_id, created_at, id);

CREATE TABLE IF NOT EXISTS keys (
    digest     TEXT PRIMARY KEY,           -- SHA-256: the key itself is shown once
    user_id    TEXT NOT NULL,              -- no foreign key: a key may outlive its owner (401)
    workspace  INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS keys_by_user ON keys (user_id);

CREATE TABLE IF NOT EXISTS posts (
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL,
    content           TEXT NOT NULL,
    status            TEXT NOT NULL,
    scheduled_time    INTEGER,
    platform_settings TEXT,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS posts_by_created   ON posts (user_id, created_at, id);
CREATE INDEX IF NOT EXISTS posts_by_updated   ON posts (user_id, updated_at, id);
CREATE INDEX IF NOT EXISTS posts_by_scheduled ON posts (user_id, scheduled_time, id);
CREATE INDEX IF NOT EXISTS posts_due          ON posts (scheduled_time) WHERE status = 'scheduled';

CREATE TABLE IF NOT EXISTS platform_posts (
    id          TEXT PRIMARY KEY,
    group_id    TEXT NOT NULL,
    position    INTEGER NOT NULL,
    platform    TEXT NOT NULL,
    platform_id TEXT NOT NULL,             -- raw, without the platform's name
    content     TEXT NOT NULL,
    status      TEXT NOT NULL,
    posted_id   TEXT,
    error       TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS platform_posts_by_group ON platform_posts (group_id, position);

CREATE TABLE IF NOT EXISTS media (
    id             TEXT PRIMARY KEY,
    group_id       TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    file_name      TEXT NOT NULL,
    content_type   TEXT NOT NULL,
    kind           TEXT NOT NULL,          -- image, video
    external_url   TEXT,                   -- set for seeded records that have no file here
    storage_key    TEXT,
    upload_token   TEXT,
    upload_expires INTEGER,
    uploaded_at    INTEGER,
    size           INTEGER,
    created_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS media_by_group ON media (group_id, created_at, id);

CREATE TABLE IF NOT EXISTS connections (
    user_id              TEXT NOT NULL,
    platform_id          TEXT NOT NULL,    -- compound: twitter-123
    username             TEXT NOT NULL,
    display_name         TEXT NOT NULL,
    profile_image_url    TEXT,
    profile_url          TEXT,
    token_expires_at     INTEGER,
    last_successful_post INTEGER,
    last_error           TEXT,
    PRIMARY KEY (user_id, platform_id)
) STRICT;

CREATE TABLE IF NOT EXISTS post_logs (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL,
    group_id    TEXT NOT NULL,
    post_id     TEXT,
    platform    TEXT,
    event       TEXT NOT NULL,
    error       TEXT,
    http_status INTEGER,
    metadata    TEXT,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS post_logs_by_group ON post_logs (group_id, seq);

CREATE TABLE IF NOT EXISTS journal (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    user_id    TEXT NOT NULL,
    action     TEXT NOT NULL,
    group_id   TEXT,
    request_id TEXT,
    before     TEXT,
    after      TEXT,
    origin     TEXT NOT NULL               -- api, scheduler, deliveries, control
) STRICT;

CREATE TABLE IF NOT EXISTS webhooks (
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL,
    name              TEXT NOT NULL,
    url               TEXT NOT NULL,
    events            TEXT NOT NULL,       -- a JSON array of names
    secret            TEXT NOT NULL,       -- in clear: it signs
    is_active         INTEGER NOT NULL DEFAULT 1,
    failure_count     INTEGER NOT NULL DEFAULT 0,
    last_triggered_at INTEGER,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS webhooks_by_user ON webhooks (user_id, created_at, id);

CREATE TABLE IF NOT EXISTS deliveries (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    event       TEXT NOT NULL,
    body        TEXT NOT NULL,             -- the bytes that are signed
    state       TEXT NOT NULL DEFAULT 'waiting', -- waiting, delivered, failed, dropped
    http_status INTEGER,
    error       TEXT,
    queued_at   INTEGER NOT NULL,
    tried_at    INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (seq) WHERE state = 'waiting';

-- Which expiries have been told of.
CREATE TABLE IF NOT EXISTS token_notices (
    user_id          TEXT NOT NULL,
    platform_id      TEXT NOT NULL,
    token_expires_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, platform_id, token_expires_at)
) STRICT;

-- What an owner's account may do. No row is no limits.
CREATE TABLE IF NOT EXISTS plans (
    user_id          TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    posts            INTEGER,              -- a month, over all connections
    connection_posts INTEGER,              -- a month, on each connection
    scheduled        INTEGER,
    horizon          INTEGER,              -- days
    connections      INTEGER,
    barred           TEXT NOT NULL         -- platforms, a JSON array
) STRICT;

CREATE TABLE IF NOT EXISTS linkedin_reactions (
    user_id     TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    posted_id   TEXT NOT NULL,
    kind        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, platform_id, posted_id)
) STRICT;

CREATE TABLE IF NOT EXISTS linkedin_comments (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    posted_id   TEXT NOT NULL,
    parent_id   TEXT,
    message     TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS bookmarks (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id     TEXT NOT NULL,
    platform_id TEXT NOT NULL,             -- compound: twitter-123
    posted_id   TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (user_id, platform_id, posted_id)
) STRICT;
