-- A reservation in one statement: either all of it happens or none, and the answer says why.
--
-- The rows of tenant and host are locked first and judged in their newest version; what follows writes only if `ok`.
-- The other reads are of the statement's snapshot, which may be older than the locks: for names and addresses the unique
-- constraints have the last word, and the caller comes back.
WITH t AS MATERIALIZED (
    SELECT * FROM tenants WHERE id = $1 FOR NO KEY UPDATE
), h AS MATERIALIZED (
    SELECT h.* FROM hosts h JOIN t ON true WHERE h.id = $2 FOR NO KEY UPDATE OF h
), wish AS MATERIALIZED (
    SELECT w.*, n.id AS network_id, n.name AS network_name, n.vni, n.subnet, n.gateway, n.internal, n.mtu,
        coalesce(n.ip_range, n.subnet) AS range, n.auxiliary, n.subnet6, n.network
    FROM unnest($16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[])
         WITH ORDINALITY AS w (reference, wanted, mac, aliases, endpoint_id, wanted6, place)
    LEFT JOIN LATERAL (
        SELECT n.*, n AS network, (n.options->>'com.docker.network.driver.mtu')::int AS mtu,
               count(*) OVER () AS hits, n.id = w.reference OR n.name = w.reference AS exact
        FROM networks n
        WHERE n.tenant_id = $1 AND (n.name = w.reference OR left(n.id, length(w.reference)) = w.reference)
        ORDER BY n.id <> w.reference, n.name <> w.reference LIMIT 1
    ) n ON n.exact OR n.hits = 1
), addressed AS MATERIALIZED (
    SELECT w.*, coalesce(w.wanted::inet, probe.address, gap.address) AS address
    FROM wish w
    -- A random address is nearly always free, and unlikely to be that of another create at the same moment.
    LEFT JOIN LATERAL (
        SELECT p.address FROM (
            SELECT set_masklen(network(w.range)::inet
                + floor(random() * (1::bigint << (32 - masklen(w.range))))::bigint, 32) AS address
            FROM generate_series(1, 8)
        ) p
        WHERE w.wanted IS NULL AND p.address <> w.gateway
          AND p.address > set_masklen(network(w.subnet)::inet, 32)
          AND p.address < set_masklen(broadcast(w.subnet)::inet, 32)
          AND NOT w.auxiliary @? format('$.* ? (@ == "%s")', host(p.address))::jsonpath
          -- OFFSET keeps it a look-up for each probe: the network may have many endpoints.
          AND NOT EXISTS (SELECT FROM endpoints e WHERE e.network_id = w.network_id AND e.address = p.address OFFSET 0)
        LIMIT 1
    ) probe ON true
    -- A full network: any address behind one that cannot be had; the range's first is behind the one before the range.
    LEFT JOIN LATERAL (
        SELECT set_masklen(used.address + 1, 32) AS address
        FROM (
            SELECT e.address FROM endpoints e WHERE e.network_id = w.network_id
            UNION ALL SELECT w.gateway UNION ALL SELECT set_masklen(network(w.range)::inet, 32) - 1
            UNION ALL SELECT a.value::inet FROM jsonb_each_text(w.auxiliary) a
        ) used
        WHERE w.wanted IS NULL AND probe.address IS NULL AND used.address + 1 <> w.gateway
          AND set_masklen(used.address + 1, 32) <<= w.range
          AND used.address + 1 > set_masklen(network(w.subnet)::inet, 32)
          AND NOT w.auxiliary @? format('$.* ? (@ == "%s")', host(used.address + 1))::jsonpath
          AND used.address + 1 < set_masklen(broadcast(w.subnet)::inet, 32)
          AND NOT EXISTS (SELECT FROM endpoints e WHERE e.network_id = w.network_id AND e.address = used.address + 1)
        ORDER BY random() LIMIT 1
    ) gap ON true
), addressed6 AS MATERIALIZED (
    SELECT a.*, CASE WHEN a.wanted6 IS NOT NULL THEN a.wanted6::inet
        WHEN a.subnet6 IS NOT NULL AND a.address IS NOT NULL THEN address6_of(a.network, a.address) END AS address6
    FROM addressed a
), judged AS MATERIALIZED (
    SELECT a.*,
        a.wanted IS NOT NULL AND NOT (a.address << a.subnet
            AND a.address > set_masklen(network(a.subnet)::inet, 32)
            AND a.address < set_masklen(broadcast(a.subnet)::inet, 32)) AS outside,
        a.wanted IS NOT NULL AND (a.address = a.gateway OR EXISTS (
            SELECT FROM endpoints e WHERE e.network_id = a.network_id AND e.address = a.address)) AS taken,
        a.wanted6 IS NOT NULL AND NOT coalesce(
            a.address6 << a.subnet6 AND a.address6 <> set_masklen(network(a.subnet6)::inet, 128), false) AS outside6,
        a.wanted6 IS NOT NULL AND (a.address6 = (a.network).gateway6 OR EXISTS (
            SELECT FROM endpoints e WHERE e.network_id = a.network_id AND e.address6 = a.address6)) AS taken6
    FROM addressed6 a
), found AS MATERIALIZED (
    SELECT t.ordinal,
        h.id IS NOT NULL AND h.state = 'active' AND h.seen_at > now() - interval '15 seconds' AS host_ok,
        coalesce(h.cpu_millis_free >= $13 AND h.memory_bytes_free >= $14, false) AS room,
        coalesce(t.memory_used_bytes + $14 <= t.memory_quota_bytes, true) AS memory_ok,
        coalesce(t.cpu_used_millis + $13 <= t.cpu_quota_millis, true) AS cpu_ok,
        coalesce(t.containers_used + 1 <= t.container_quota, true) AS count_ok,
        t.memory_quota_bytes, t.cpu_quota_millis, t.container_quota,
        t.memory_used_bytes, t.cpu_used_millis, t.containers_used,
        (SELECT id FROM containers WHERE tenant_id = $1 AND name = $4) AS holder, net.*
    FROM t LEFT JOIN h ON true CROSS JOIN (
        SELECT min(reference) FILTER (WHERE network_id IS NULL) AS lost_network,
            min(network_name || E'\n' || host(CASE WHEN outside THEN address ELSE address6 END))
                FILTER (WHERE outside OR outside6) AS outside,
            coalesce(bool_or(taken OR coalesce(taken6, false)), false) AS taken,
            min(network_name || E'\n' || network_id) FILTER (WHERE network_id IS NOT NULL AND address IS NULL) AS full_network,
            min(network_name || E'\n' || network_id) FILTER (WHERE subnet6 IS NOT NULL AND address6 IS NULL) AS full_network6
        FROM judged
    ) net
), verdict AS MATERIALIZED (
    SELECT found.*, host_ok AND room AND memory_ok AND cpu_ok AND count_ok AND holder IS NULL
        AND lost_network IS NULL AND outside IS NULL AND NOT taken AND full_network IS NULL
        AND full_network6 IS NULL AS ok
    FROM found
), tenant_has AS (
    UPDATE tenants t SET memory_used_bytes = t.memory_used_bytes + $14, cpu_used_millis = t.cpu_used_millis + $13,
        containers_used = t.containers_used + 1, revision = t.revision + 1
    FROM verdict WHERE t.id = $1 AND verdict.ok
), host_has AS (
    UPDATE hosts h SET cpu_millis_free = h.cpu_millis_free - $13, memory_bytes_free = h.memory_bytes_free - $14,
        containers = h.containers + 1
    FROM verdict WHERE h.id = $2 AND verdict.ok
), heard AS (
    UPDATE networks n SET generation = n.generation + 1 FROM verdict
    WHERE n.tenant_id = $1 AND n.id IN (SELECT network_id FROM judged) AND verdict.ok
), placed AS (
    INSERT INTO containers (tenant_id, id, name, host_id, image_id, image_reference, command, network_mode, spec,
        docker_config, docker_host_config, labels, cpu_millis, memory_bytes, created_at)
    SELECT $1, $3, $4, $2, $5, $6, $7, $8, $9::json, $10::json, $11::json, $12::jsonb, $13, $14, $15
    FROM verdict WHERE verdict.ok
), pinned AS (
    -- The first container of an image writes, the others only look.
    INSERT INTO image_pins (tenant_id, image_id, blobs_md5, blobs)
    SELECT $1, $5, md5(b.blobs::text), b.blobs FROM verdict, (
        SELECT ARRAY(SELECT layer->>'digest' FROM json_array_elements($9::json->'image'->'layers') AS layer) AS blobs) b
    WHERE verdict.ok ON CONFLICT DO NOTHING
), plugged AS (
    INSERT INTO endpoints (tenant_id, network_id, container_id, endpoint_id, interface, address, mac, aliases,
        address_given, address6)
    SELECT $1, j.network_id, $3, j.endpoint_id, 'eth' || (j.place - 1), j.address,
        coalesce(j.mac, mac_of(j.address)), ARRAY(SELECT json_array_elements_text(j.aliases::json)), j.wanted IS NOT NULL,
        j.address6
    FROM judged j, verdict WHERE verdict.ok
)
SELECT v.ok, v.ordinal, v.host_ok, v.memory_ok, v.cpu_ok, v.count_ok, v.memory_quota_bytes, v.cpu_quota_millis,
    v.container_quota, v.memory_used_bytes, v.cpu_used_millis, v.containers_used, v.holder, v.lost_network, v.outside,
    v.taken, v.full_network, v.full_network6,
    (SELECT to_json(x) FROM (
        SELECT h.id, h.name, h.state, h.facts, h.seen_at, h.cpu_millis_free - $13 AS cpu_millis_free,
            h.memory_bytes_free - $14 AS memory_bytes_free, h.containers + 1 AS containers FROM h) x) AS host,
    (SELECT json_agg(json_build_object(
        'network', j.network_id, 'network_name', j.network_name, 'vni', j.vni, 'subnet', j.subnet::text,
        'gateway', host(j.gateway), 'address', host(j.address), 'mac', coalesce(j.mac, mac_of(j.address)),
        'interface', 'eth' || (j.place - 1),
        'mtu', coalesce(j.mtu, (SELECT (h.facts->>'underlay_mtu')::int - 50 FROM h)),
        'internal', j.internal, 'aliases', j.aliases::json, 'endpoint_id', j.endpoint_id,
        'ipv6', endpoint_ipv6(j.network, j.address6)) ORDER BY j.place)
     FROM judged j WHERE v.ok) AS endpoints
FROM verdict v
