-- What a crash leaves must be found again, and hot rows must be cheap to change.
-- Old code ignores the new columns; their defaults are right for its rows.

-- Since when the complete reports of the container's host lack it; cleared by any observation. A create that was never
-- finished is forgotten after a while of this, a container that its host lost is shown as dead.
ALTER TABLE containers ADD COLUMN missing_since timestamptz;
CREATE INDEX containers_missing_idx ON containers (missing_since) WHERE missing_since IS NOT NULL;

-- An ended exec stays for `inspect` for some minutes, as in dockerd.
ALTER TABLE execs ADD COLUMN ended_at timestamptz;

-- Who uses an image: `images`, `rmi`.
CREATE INDEX containers_image_idx ON containers (tenant_id, image_id);

-- Where a tenant has what, for placement: read without the rows.
CREATE INDEX containers_spread_idx ON containers (tenant_id, host_id, image_id);

-- Observations change no indexed column: room on the page keeps them heap-only updates.
ALTER TABLE containers SET (fillfactor = 70);
ALTER TABLE tenants SET (fillfactor = 20);
ALTER TABLE hosts SET (fillfactor = 20);
ALTER TABLE networks SET (fillfactor = 50);

-- Docker's rule for a derived MAC address: 02:42 and the IPv4 address in hexadecimal.
CREATE FUNCTION mac_of(address inet) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT '02:42' || regexp_replace(lpad(to_hex(address - '0.0.0.0'::inet), 8, '0'), '(..)', ':\1', 'g')
$$;
