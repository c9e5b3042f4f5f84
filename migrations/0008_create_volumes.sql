-- Volumes and where they are mounted. Nothing older sees these tables; creates without volumes do not touch them.

CREATE TABLE volumes (
    tenant_id   uuid        NOT NULL CONSTRAINT volumes_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    -- Names the directory, so that a name that is used again begins with an empty one.
    id          uuid        NOT NULL CONSTRAINT volumes_id_unique UNIQUE,
    driver      text        NOT NULL CONSTRAINT volumes_driver_check CHECK (driver IN ('local', 'shared')),
    labels      jsonb       NOT NULL,
    options     jsonb       NOT NULL,
    size_bytes  bigint,     -- quota
    -- Of a local volume, from its first use on.
    host_id     uuid        CONSTRAINT volumes_host_fkey REFERENCES hosts (id),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT volumes_pkey PRIMARY KEY (tenant_id, name),
    CONSTRAINT volumes_tenant_id_unique UNIQUE (tenant_id, id)
);

CREATE TABLE volume_mounts (
    tenant_id     uuid    NOT NULL,
    container_id  text    NOT NULL,
    target        text    NOT NULL,
    volume_id     uuid    NOT NULL,
    writable      boolean NOT NULL,
    mode          text    NOT NULL, -- Docker's Mode
    -- The volume was made for this container.
    own           boolean NOT NULL,
    -- It goes with the container: by --rm, or since `rm -v` was asked for.
    goes_with     boolean NOT NULL,
    CONSTRAINT volume_mounts_pkey PRIMARY KEY (tenant_id, container_id, target),
    CONSTRAINT volume_mounts_container_fkey FOREIGN KEY (tenant_id, container_id)
        REFERENCES containers (tenant_id, id) ON DELETE CASCADE,
    -- In use is in use, whoever deletes.
    CONSTRAINT volume_mounts_volume_fkey FOREIGN KEY (tenant_id, volume_id) REFERENCES volumes (tenant_id, id)
);
CREATE INDEX volume_mounts_volume_idx ON volume_mounts (tenant_id, volume_id);

-- Directories that are to be deleted, until their host says that they are. Of a shared volume, any host's word counts.
CREATE TABLE removed_volumes (
    id          uuid        NOT NULL CONSTRAINT removed_volumes_pkey PRIMARY KEY,
    tenant_id   uuid        NOT NULL,
    host_id     uuid        CONSTRAINT removed_volumes_host_fkey REFERENCES hosts (id),
    removed_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX removed_volumes_host_idx ON removed_volumes (host_id);
