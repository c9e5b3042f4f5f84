-- What the classic builder remembers: the result of each step, and which builds are under way. Old code knows neither.

-- The result of one step on one parent. It counts only while the tenant has its right to every layer of it: removing the
-- last image that holds a layer ends that right, and the cache's entry with it, as in dockerd.
CREATE TABLE build_steps (
    tenant_id    uuid        NOT NULL CONSTRAINT build_steps_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    parent_id    text        NOT NULL, -- the image before the step; empty for FROM scratch
    key          text        NOT NULL, -- digest of the instruction and of all that decides its result
    image_id     text        NOT NULL, -- digest of the config
    config       bytea       NOT NULL,
    layers       jsonb       NOT NULL, -- Vec<domain::Layer>, from the bottom up
    description  text        NOT NULL, -- the instruction, as the history shows it
    size_bytes   bigint      NOT NULL, -- of the layer that the step added, as stored
    uses         bigint      NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    used_at      timestamptz,
    CONSTRAINT build_steps_pkey PRIMARY KEY (tenant_id, parent_id, key)
);

-- Builds under way; a frontend that works on one says so every few seconds.
CREATE TABLE builds (
    id          uuid        NOT NULL CONSTRAINT builds_pkey PRIMARY KEY,
    tenant_id   uuid        NOT NULL CONSTRAINT builds_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX builds_tenant_idx ON builds (tenant_id);

-- Step containers name their build in a label; those of builds that nobody works on any more are found by it.
CREATE INDEX containers_build_idx ON containers ((labels ->> 'com.wharfinger.system.build'))
    WHERE labels ? 'com.wharfinger.system.build';
