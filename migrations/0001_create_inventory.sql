-- The inventory as the first release has it. tenant_id leads every composite key: a tenant's reads touch its own pages.
-- Nothing older sees these tables.

CREATE TABLE tenants (
    id                  uuid        NOT NULL CONSTRAINT tenants_pkey PRIMARY KEY,
    name                text        NOT NULL CONSTRAINT tenants_name_unique UNIQUE,
    -- Selects the tenant's uid range; never used again, hence a sequence.
    ordinal             integer     NOT NULL GENERATED ALWAYS AS IDENTITY (START 0 MINVALUE 0)
                                    CONSTRAINT tenants_ordinal_unique UNIQUE,
    memory_quota_bytes  bigint,
    cpu_quota_millis    bigint,
    container_quota     bigint,
    -- What is reserved now. Changed only together with the container row that it counts.
    memory_used_bytes   bigint      NOT NULL DEFAULT 0,
    cpu_used_millis     bigint      NOT NULL DEFAULT 0,
    containers_used     bigint      NOT NULL DEFAULT 0,
    -- Counts up in every transaction that changes what `ps`, `inspect` or `images` show of the tenant.
    revision            bigint      NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE credentials (
    id           uuid        NOT NULL CONSTRAINT credentials_pkey PRIMARY KEY,
    tenant_id    uuid        NOT NULL CONSTRAINT credentials_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    user_name    text        NOT NULL,
    role         text        NOT NULL CONSTRAINT credentials_role_check CHECK (role IN ('owner', 'developer', 'viewer')),
    -- SHA-256 of the certificate's DER form.
    fingerprint  bytea       NOT NULL CONSTRAINT credentials_fingerprint_unique UNIQUE,
    not_after    timestamptz NOT NULL,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX credentials_tenant_idx ON credentials (tenant_id);

CREATE TABLE hosts (
    id                 uuid        NOT NULL CONSTRAINT hosts_pkey PRIMARY KEY,
    name               text        NOT NULL CONSTRAINT hosts_name_unique UNIQUE,
    state              text        NOT NULL DEFAULT 'active' CONSTRAINT hosts_state_check CHECK (state IN ('active', 'cordoned')),
    facts              jsonb       NOT NULL, -- domain::HostFacts
    cpu_millis_free    bigint      NOT NULL, -- may be negative when a host shrinks; containers are never evicted for it
    memory_bytes_free  bigint      NOT NULL,
    containers         bigint      NOT NULL DEFAULT 0,
    seen_at            timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE networks (
    tenant_id   uuid        NOT NULL CONSTRAINT networks_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    id          text        NOT NULL CONSTRAINT networks_id_unique UNIQUE,
    name        text        NOT NULL,
    -- VXLAN network identifier: 24 bits, 0 is reserved.
    vni         integer     NOT NULL GENERATED ALWAYS AS IDENTITY (START 4096 MINVALUE 1 MAXVALUE 16777215)
                            CONSTRAINT networks_vni_unique UNIQUE,
    subnet      cidr        NOT NULL,
    gateway     inet        NOT NULL,
    internal    boolean     NOT NULL DEFAULT false,
    labels      jsonb       NOT NULL DEFAULT '{}',
    options     jsonb       NOT NULL DEFAULT '{}',
    -- Counts up with every change of its endpoints; hosts converge on it.
    generation  bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT networks_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT networks_name_unique UNIQUE (tenant_id, name)
);

CREATE TABLE images (
    tenant_id        uuid        NOT NULL CONSTRAINT images_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    -- Docker's image id: the digest of the config.
    id               text        NOT NULL,
    -- The OCI or Docker image config, byte for byte (its digest is the id).
    config           bytea       NOT NULL,
    layers           jsonb       NOT NULL, -- Vec<domain::Layer>, from the bottom up
    size_bytes       bigint      NOT NULL, -- of the uncompressed layers where known, else of the blobs
    architecture     text        NOT NULL,
    os               text        NOT NULL,
    created_at       timestamptz, -- as the config says
    stored_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT images_pkey PRIMARY KEY (tenant_id, id)
);

-- What a name of a tenant points to. `repository` is familiar (`busybox`, `127.0.0.1:5000/app`).
CREATE TABLE image_tags (
    tenant_id   uuid        NOT NULL,
    repository  text        NOT NULL,
    tag         text        NOT NULL,
    image_id    text        NOT NULL,
    tagged_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT image_tags_pkey PRIMARY KEY (tenant_id, repository, tag),
    CONSTRAINT image_tags_image_fkey FOREIGN KEY (tenant_id, image_id) REFERENCES images (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX image_tags_image_idx ON image_tags (tenant_id, image_id);

-- Manifest digests under which a tenant pulled or pushed an image: Docker's RepoDigests.
CREATE TABLE image_digests (
    tenant_id        uuid   NOT NULL,
    repository       text   NOT NULL,
    manifest_digest  text   NOT NULL,
    image_id         text   NOT NULL,
    manifest         bytea  NOT NULL, -- the image manifest, byte for byte; of an index: the platform's own
    CONSTRAINT image_digests_pkey PRIMARY KEY (tenant_id, repository, manifest_digest),
    CONSTRAINT image_digests_image_fkey FOREIGN KEY (tenant_id, image_id) REFERENCES images (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX image_digests_image_idx ON image_digests (tenant_id, image_id);

-- Blobs of the store, and which tenant has a right to which (it fetched or uploaded it itself).
CREATE TABLE blobs (
    digest       text        NOT NULL CONSTRAINT blobs_pkey PRIMARY KEY,
    size_bytes   bigint      NOT NULL,
    diff_id      text,       -- of a layer, once it was verified
    diff_bytes   bigint,     -- of the uncompressed tar
    stored_at    timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE blob_rights (
    tenant_id  uuid NOT NULL CONSTRAINT blob_rights_tenant_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    digest     text NOT NULL CONSTRAINT blob_rights_digest_fkey REFERENCES blobs (digest),
    CONSTRAINT blob_rights_pkey PRIMARY KEY (tenant_id, digest)
);

CREATE TABLE containers (
    tenant_id           uuid        NOT NULL CONSTRAINT containers_tenant_fkey REFERENCES tenants (id),
    id                  text        NOT NULL CONSTRAINT containers_id_unique UNIQUE,
    name                text        NOT NULL,
    host_id             uuid        NOT NULL CONSTRAINT containers_host_fkey REFERENCES hosts (id),
    image_id            text        NOT NULL, -- no foreign key: an image may be removed by force
    image_reference     text        NOT NULL,
    command             text        NOT NULL, -- what `ps` shows, rendered once
    network_mode        text        NOT NULL, -- Docker's HostConfig.NetworkMode
    spec                json        NOT NULL, -- domain::ContainerSpec
    docker_config       json        NOT NULL, -- Docker's Config and HostConfig, as `inspect` shows them; `json` keeps the text
    docker_host_config  json        NOT NULL,
    labels              jsonb       NOT NULL,
    cpu_millis          bigint      NOT NULL,
    memory_bytes        bigint      NOT NULL,
    -- Observation; only a greater generation overwrites it. Generation 0: the host has not answered the create yet.
    generation          bigint      NOT NULL DEFAULT 0,
    status              text        NOT NULL DEFAULT 'created' CONSTRAINT containers_status_check
        CHECK (status IN ('created', 'running', 'paused', 'restarting', 'exited', 'removing', 'dead')),
    pid                 bigint      NOT NULL DEFAULT 0,
    exit_code           integer     NOT NULL DEFAULT 0,
    oom_killed          boolean     NOT NULL DEFAULT false,
    error               text        NOT NULL DEFAULT '',
    started_at          timestamptz,
    finished_at         timestamptz,
    restart_count       integer     NOT NULL DEFAULT 0,
    health              jsonb,      -- domain::Health
    created_at          timestamptz NOT NULL,
    CONSTRAINT containers_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT containers_name_unique UNIQUE (tenant_id, name)
);
CREATE INDEX containers_host_idx ON containers (host_id);
CREATE INDEX containers_created_idx ON containers (tenant_id, created_at DESC);
-- Prefix look-up of ids, whatever the collation.
CREATE INDEX containers_prefix_idx ON containers (tenant_id, id text_pattern_ops);

CREATE TABLE endpoints (
    tenant_id     uuid    NOT NULL,
    network_id    text    NOT NULL,
    container_id  text    NOT NULL,
    endpoint_id   text    NOT NULL,
    interface     text    NOT NULL,
    address       inet    NOT NULL,
    mac           text    NOT NULL,
    aliases       text[]  NOT NULL DEFAULT '{}',
    CONSTRAINT endpoints_pkey PRIMARY KEY (tenant_id, network_id, container_id),
    CONSTRAINT endpoints_address_unique UNIQUE (network_id, address),
    CONSTRAINT endpoints_network_fkey FOREIGN KEY (tenant_id, network_id) REFERENCES networks (tenant_id, id),
    CONSTRAINT endpoints_container_fkey FOREIGN KEY (tenant_id, container_id)
        REFERENCES containers (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX endpoints_container_idx ON endpoints (tenant_id, container_id);

CREATE TABLE execs (
    tenant_id     uuid        NOT NULL,
    id            text        NOT NULL CONSTRAINT execs_id_unique UNIQUE,
    container_id  text        NOT NULL,
    spec          json        NOT NULL, -- domain::ExecSpec
    started       boolean     NOT NULL DEFAULT false,
    running       boolean     NOT NULL DEFAULT false,
    pid           bigint      NOT NULL DEFAULT 0,
    exit_code     integer,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT execs_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT execs_container_fkey FOREIGN KEY (tenant_id, container_id)
        REFERENCES containers (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX execs_container_idx ON execs (tenant_id, container_id);
