-- Tenants' own addresses, and what answers there.
-- Old code ignores the new columns and tables; their defaults are right for its rows.

-- Out of the operator's pool; the Docker API and the published ports of the tenant answer there.
ALTER TABLE tenants ADD COLUMN address inet CONSTRAINT tenants_address_unique UNIQUE;
-- Counts up with every change of what is published; edges converge on it.
ALTER TABLE tenants ADD COLUMN ports_generation bigint NOT NULL DEFAULT 1;

-- While a container runs. The conflict of two is the primary key.
CREATE TABLE published_ports (
    tenant_id       uuid     NOT NULL,
    protocol        text     NOT NULL CONSTRAINT published_ports_protocol_check CHECK (protocol IN ('tcp', 'udp')),
    port            integer  NOT NULL, -- at the tenant's address
    container_id    text     NOT NULL,
    place           smallint NOT NULL, -- of the wish in the container's spec
    container_port  integer  NOT NULL,
    host_id         uuid     NOT NULL CONSTRAINT published_ports_host_fkey REFERENCES hosts (id),
    host_port       integer  NOT NULL, -- at the host's address on the underlay
    proxy_protocol  boolean  NOT NULL,
    -- Its container is being started: the end of an earlier run, told late, must not release it.
    starting        boolean  NOT NULL DEFAULT true,
    taken_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT published_ports_pkey PRIMARY KEY (tenant_id, protocol, port),
    CONSTRAINT published_ports_host_unique UNIQUE (host_id, protocol, host_port),
    CONSTRAINT published_ports_container_fkey FOREIGN KEY (tenant_id, container_id)
        REFERENCES containers (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX published_ports_container_idx ON published_ports (tenant_id, container_id);

-- Processes that serve the addresses, and where they answer.
CREATE TABLE edges (
    endpoint  text        NOT NULL CONSTRAINT edges_pkey PRIMARY KEY,
    seen_at   timestamptz NOT NULL DEFAULT now()
);

-- Triggers, because rows go away by cascades, and a container's status is written in several statements.
CREATE FUNCTION tenants_count_ports() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants SET ports_generation = ports_generation + 1, revision = revision + 1
    WHERE id IN (SELECT tenant_id FROM changed);
    RETURN NULL;
END $$;
CREATE TRIGGER published_ports_added AFTER INSERT ON published_ports REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_count_ports();
CREATE TRIGGER published_ports_gone AFTER DELETE ON published_ports REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_count_ports();

-- A container that is not about to run again holds no port. What a start left that never came to its end goes as well.
CREATE FUNCTION containers_release_ports() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM published_ports WHERE tenant_id = NEW.tenant_id AND container_id = NEW.id
        AND (NOT starting OR taken_at < now() - interval '2 minutes');
    RETURN NULL;
END $$;
CREATE TRIGGER containers_ports_release AFTER UPDATE OF status ON containers FOR EACH ROW
    WHEN (NEW.status NOT IN ('running', 'paused', 'restarting'))
    EXECUTE FUNCTION containers_release_ports();
