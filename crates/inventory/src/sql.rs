//! Pieces of SQL that several statements share, as macros because a statement must be one literal.

/// The columns of a container's summary, from `containers c JOIN hosts h`.
macro_rules! summary_columns {
    () => {
        "c.tenant_id, c.id, c.name, c.host_id, h.facts->>'endpoint' AS host_endpoint,
        h.seen_at > now() - interval '15 seconds' AS host_reachable,
        c.image_id, c.image_reference, c.command, c.network_mode, c.labels, c.generation, c.status, c.pid, c.exit_code,
        c.oom_killed, c.error, c.started_at, c.finished_at, c.restart_count, c.health, c.size_rw_bytes,
        c.exposed_ports, c.created_at,
        (SELECT json_agg(json_build_object(
            'network', n.id, 'network_name', n.name, 'vni', n.vni, 'subnet', n.subnet::text, 'gateway', host(n.gateway),
            'address', host(e.address), 'mac', e.mac, 'interface', e.interface,
            'mtu', coalesce((n.options->>'com.docker.network.driver.mtu')::int, (h.facts->>'underlay_mtu')::int - 50),
            'internal', n.internal, 'aliases', e.aliases, 'endpoint_id', e.endpoint_id) ORDER BY e.interface)
         FROM endpoints e JOIN networks n ON n.tenant_id = e.tenant_id AND n.id = e.network_id
         WHERE e.tenant_id = c.tenant_id AND e.container_id = c.id) AS endpoints"
    };
}

pub(crate) use summary_columns;

/// The columns of an image, from `images i`.
macro_rules! image_columns {
    () => {
        "i.id, i.config, i.layers, i.size_bytes, i.architecture, i.os, i.created_at, i.stored_at,
        (SELECT json_agg(json_build_array(t.repository, t.tag) ORDER BY t.repository, t.tag)
         FROM image_tags t WHERE t.tenant_id = i.tenant_id AND t.image_id = i.id) AS tags,
        (SELECT max(t.tagged_at) FROM image_tags t WHERE t.tenant_id = i.tenant_id AND t.image_id = i.id) AS tagged_at,
        (SELECT json_agg(json_build_array(d.repository, d.manifest_digest) ORDER BY d.repository, d.manifest_digest)
         FROM image_digests d WHERE d.tenant_id = i.tenant_id AND d.image_id = i.id) AS digests,
        (SELECT count(*) FROM containers c WHERE c.tenant_id = i.tenant_id AND c.image_id = i.id) AS containers"
    };
}

pub(crate) use image_columns;

/// The database's clock in Unix nanoseconds.
macro_rules! now_ns {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint"
    };
}

pub(crate) use now_ns;
