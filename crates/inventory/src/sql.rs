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
            'address', host(t.address), 'port', p.port, 'container_port', p.container_port, 'protocol', p.protocol)
            ORDER BY p.container_port, p.protocol, p.port)
         FROM published_ports p JOIN tenants t ON t.id = p.tenant_id
         WHERE p.tenant_id = c.tenant_id AND p.container_id = c.id) AS ports,
        (SELECT json_agg(json_build_object(
            'name', v.name, 'driver', v.driver, 'target', m.target, 'writable', m.writable, 'mode', m.mode)
            ORDER BY m.target)
         FROM volume_mounts m JOIN volumes v ON v.tenant_id = m.tenant_id AND v.id = m.volume_id
         WHERE m.tenant_id = c.tenant_id AND m.container_id = c.id) AS volumes,
        (SELECT json_agg(json_build_object(
            'network', n.id, 'network_name', n.name, 'vni', n.vni, 'subnet', n.subnet::text, 'gateway', host(n.gateway),
            'address', host(e.address), 'mac', e.mac, 'interface', e.interface,
            'mtu', coalesce((n.options->>'com.docker.network.driver.mtu')::int, (h.facts->>'underlay_mtu')::int - 50),
            'internal', n.internal, 'aliases', e.aliases, 'endpoint_id', e.endpoint_id,
            'ipv6', endpoint_ipv6(n, e.address6)) ORDER BY e.interface)
         FROM endpoints e JOIN networks n ON n.tenant_id = e.tenant_id AND n.id = e.network_id
         WHERE e.tenant_id = c.tenant_id AND e.container_id = c.id) AS endpoints"
    };
}

pub(crate) use summary_columns;

/// The columns of a tenant's record, from `tenants`.
macro_rules! tenant_columns {
    () => {
        "id, name, ordinal, memory_quota_bytes, cpu_quota_millis, container_quota, created_at"
    };
}

pub(crate) use tenant_columns;

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

/// Writes the happenings that are newer than `$row.generation`, in order: a statement for a WITH. `$row` is a CTE with one
/// container's generation, name, image_reference and labels as they are before the change, its tenant is $1 and its id $2;
/// `$plugged` one with the networks of its endpoints (id, name); the rest are the arrays of [`crate::event::Arrays`].
macro_rules! tell_happenings {
    ($row:literal, $plugged:literal, $generations:literal, $times:literal, $actions:literal, $attributes:literal) => {
        concat!(
            "INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
            SELECT $1, least(x.at_ns, ",
            crate::sql::now_ns!(),
            "), x.type, x.action, x.actor, x.attributes FROM (
                SELECT h.place, '' AS part, h.at_ns, 'container' AS type, h.action, $2 AS actor,
                    o.labels || jsonb_build_object('image', o.image_reference, 'name', o.name) || h.attributes::jsonb
                        AS attributes
                FROM ",
            $row,
            " o, unnest(",
            $generations,
            "::bigint[], ",
            $times,
            "::bigint[], ",
            $actions,
            "::text[], ",
            $attributes,
            "::text[]) WITH ORDINALITY AS h (generation, at_ns, action, attributes, place)
                WHERE h.generation > o.generation AND h.action NOT IN ('connect', 'disconnect')
                UNION ALL
                SELECT h.place, p.name, h.at_ns, 'network', h.action, p.id,
                    jsonb_build_object('container', $2::text, 'name', p.name, 'type', 'bridge')
                FROM ",
            $row,
            " o, ",
            $plugged,
            " p, unnest(",
            $generations,
            "::bigint[], ",
            $times,
            "::bigint[], ",
            $actions,
            "::text[]) WITH ORDINALITY AS h (generation, at_ns, action, place)
                WHERE h.generation > o.generation AND h.action IN ('connect', 'disconnect')
                UNION ALL
                SELECT h.place, CASE h.action WHEN 'connect' THEN '' ELSE '~' END, h.at_ns, 'volume',
                    CASE h.action WHEN 'connect' THEN 'mount' ELSE 'unmount' END, v.name,
                    CASE h.action WHEN 'connect' THEN jsonb_build_object('destination', m.target, 'propagation', '',
                        'read/write', m.writable::text) ELSE '{}' END
                        || jsonb_build_object('container', $2::text, 'driver', v.driver)
                FROM ",
            $row,
            " o, volume_mounts m JOIN volumes v ON v.tenant_id = m.tenant_id AND v.id = m.volume_id, unnest(",
            $generations,
            "::bigint[], ",
            $times,
            "::bigint[], ",
            $actions,
            "::text[]) WITH ORDINALITY AS h (generation, at_ns, action, place)
                WHERE m.tenant_id = $1 AND m.container_id = $2
                  AND h.generation > o.generation AND h.action IN ('connect', 'disconnect')
            ) x ORDER BY x.place, x.part"
        )
    };
}

pub(crate) use tell_happenings;

/// The attributes that every event of a container has, from `containers c`.
macro_rules! container_attributes {
    () => {
        "c.labels || jsonb_build_object('image', c.image_reference, 'name', c.name)"
    };
}

pub(crate) use container_attributes;

/// The labels of an image, from `images i`: attributes of its events. What jsonb cannot hold (NUL) is no label for us.
macro_rules! image_labels {
    () => {
        "CASE WHEN strpos(convert_from(i.config, 'UTF8'), '\\u0000') > 0 THEN '{}'::jsonb
            WHEN jsonb_typeof(convert_from(i.config, 'UTF8')::jsonb->'config'->'Labels') = 'object'
            THEN convert_from(i.config, 'UTF8')::jsonb->'config'->'Labels' ELSE '{}'::jsonb END"
    };
}

pub(crate) use image_labels;

/// One event for each row of `$gone` (image_id, action, place), as dockerd tells of names and images that go: named by the
/// id. The image may be deleted by the same statement.
macro_rules! tell_images {
    ($gone:literal) => {
        concat!(
            "INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
            SELECT $1, ",
            crate::sql::now_ns!(),
            ", 'image', g.action, i.id, ",
            crate::sql::image_labels!(),
            " || jsonb_build_object('name', i.id)
            FROM (",
            $gone,
            ") g JOIN images i ON i.tenant_id = $1 AND i.id = g.image_id ORDER BY g.place"
        )
    };
}

pub(crate) use tell_images;
