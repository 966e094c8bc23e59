-- Where a key may be used from (networks with spaces between, none is everywhere) and how many calls a second it may make.
ALTER TABLE keys ADD COLUMN addresses TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN rate BIGINT;
ALTER TABLE keys ADD COLUMN last_used_agent TEXT;
-- Rotation. Of the new key: what it replaces, until when its first use is waited for, how long the old one lives on after
-- it. Of the old key: what replaces it and when it ends. ended_at: the end of either was written down.
ALTER TABLE keys ADD COLUMN replaces TEXT;
ALTER TABLE keys ADD COLUMN pending_until BIGINT;
ALTER TABLE keys ADD COLUMN overlap BIGINT;
ALTER TABLE keys ADD COLUMN replaced_by TEXT;
ALTER TABLE keys ADD COLUMN retires_at BIGINT;
ALTER TABLE keys ADD COLUMN ended_at BIGINT;
CREATE INDEX keys_to_end ON keys (id) WHERE ended_at IS NULL AND (pending_until IS NOT NULL OR retires_at IS NOT NULL);
-- Who has used a key lately: the newest of each address and user agent.
CREATE TABLE key_users (
  key_id TEXT NOT NULL REFERENCES keys(id), address TEXT COLLATE "C" NOT NULL, agent TEXT COLLATE "C" NOT NULL, used_at BIGINT NOT NULL,
  PRIMARY KEY (key_id, address, agent)
);
