-- What hosts measure of containers, and the room that an update holds while its host applies it.
-- Old code ignores these columns; it stores observations without a size, and never holds room.

-- Bytes that a container has written on top of its image, as its agent last measured; NULL: not yet.
ALTER TABLE containers ADD COLUMN size_rw_bytes bigint;

-- Who updates the container now, and until when nobody else may. Meanwhile cpu_millis and memory_bytes are the greater of
-- what it had and what it is to get; they agree with the spec again once the update has ended.
ALTER TABLE containers ADD COLUMN update_token uuid;
ALTER TABLE containers ADD COLUMN update_until timestamptz;

-- `80/tcp` and so on: `ps` shows them, and does not read the whole config for it.
CREATE FUNCTION exposed_ports_of(docker_config json) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN json_typeof(docker_config->'ExposedPorts') = 'object'
        THEN ARRAY(SELECT json_object_keys(docker_config->'ExposedPorts')) ELSE '{}'::text[] END
$$;
ALTER TABLE containers ADD COLUMN exposed_ports text[] NOT NULL
    GENERATED ALWAYS AS (exposed_ports_of(docker_config)) STORED;
