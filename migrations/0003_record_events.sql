-- The durable, ordered log of what happened to a tenant's objects (`docker events`). A row is written in the transaction of
-- the change that it tells of. Nothing older sees this table; an older process writes no rows, and none are missed by it.
--
-- Readers take the rows in windows of transaction ids that lie below the oldest transaction which still runs, and in the
-- order of `id` inside a window: nothing that is committed late is skipped, and since changes of one tenant stand in line
-- behind the tenant's row, cause comes before effect.

CREATE TABLE events (
    -- No foreign key: its check would lock the tenant's row, the busiest of all, also where nothing else touches it.
    tenant_id   uuid        NOT NULL,
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
    -- When it happened, by the clock of whoever saw it, but never later than when it was stored. Unix nanoseconds:
    -- timestamptz has only microseconds.
    at_ns       bigint      NOT NULL,
    type        text        NOT NULL CONSTRAINT events_type_check
                            CHECK (type IN ('builder', 'container', 'image', 'network', 'volume')),
    action      text        NOT NULL,
    actor       text        NOT NULL,
    attributes  jsonb       NOT NULL,
    stored_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT events_pkey PRIMARY KEY (tenant_id, id)
);
-- The tail of each frontend, and the oldest first for whoever trims.
CREATE INDEX events_xid_idx ON events (xid);
-- Where a look back begins.
CREATE INDEX events_stored_idx ON events (tenant_id, stored_at);
