-- 1: the tenant's key that a workspace key has made at the tenant door. There is one at a time; the next ends it.
ALTER TABLE keys ADD COLUMN issued BIGINT NOT NULL DEFAULT 0;
