-- Blobs that nobody refers to are found without counting on any hot path, and containers keep the blobs they were made from.
-- Old code goes on working: a blob that it puts starts as idle, and is looked at before it is collected. What it does not
-- write are pins of containers that it places: the frontends and schedulers of one release go together.

-- Since when it may be that nothing refers to the blob. NULL: something did when last looked. Whatever takes a reference
-- away, and whatever is about to add one, sets it to now(); the collector looks at a blob once that is long enough ago.
ALTER TABLE blobs ADD COLUMN idle_since timestamptz DEFAULT now();
CREATE INDEX blobs_idle_idx ON blobs (idle_since) WHERE idle_since IS NOT NULL;

-- Who has a right to a blob, from the blob's side.
CREATE INDEX blob_rights_digest_idx ON blob_rights (digest);

-- What a tenant's containers need, once for all containers of one image; also when the image is gone from the catalogue.
-- The same image may have come with other blobs of the same content, hence the third part of the key.
CREATE TABLE image_pins (
    tenant_id  uuid    NOT NULL CONSTRAINT image_pins_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    image_id   text    NOT NULL,
    blobs_md5  text    NOT NULL,
    blobs      text[]  NOT NULL,
    CONSTRAINT image_pins_pkey PRIMARY KEY (tenant_id, image_id, blobs_md5)
);
CREATE INDEX image_pins_blobs_idx ON image_pins USING gin (blobs);

INSERT INTO image_pins (tenant_id, image_id, blobs_md5, blobs)
    SELECT DISTINCT c.tenant_id, c.image_id, md5(b.blobs::text), b.blobs
    FROM containers c CROSS JOIN LATERAL (
        SELECT ARRAY(SELECT layer->>'digest' FROM json_array_elements(c.spec->'image'->'layers') AS layer) AS blobs) b;
