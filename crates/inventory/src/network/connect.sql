-- One endpoint for a container that exists: $1 tenant, $2 network, $3 container, $4 address or NULL, $5 MAC or NULL,
-- $6 aliases, $7 endpoint id, $8 IPv6 address or NULL. The caller holds the tenant's row.
WITH n AS MATERIALIZED (
    SELECT n.*, n AS network, coalesce(n.ip_range, n.subnet) AS range, (n.options->>'com.docker.network.driver.mtu')::int AS mtu
    FROM networks n WHERE n.tenant_id = $1 AND n.id = $2
), c AS MATERIALIZED (
    SELECT c.id, h.facts FROM containers c JOIN hosts h ON h.id = c.host_id WHERE c.tenant_id = $1 AND c.id = $3
), chosen AS MATERIALIZED (
    SELECT coalesce($4::inet, probe.address, gap.address) AS address
    FROM n LEFT JOIN LATERAL (
        SELECT p.address FROM (
            SELECT set_masklen(network(n.range)::inet
                + floor(random() * (1::bigint << (32 - masklen(n.range))))::bigint, 32) AS address
            FROM generate_series(1, 16)
        ) p
        WHERE $4 IS NULL AND p.address <> n.gateway
          AND p.address > set_masklen(network(n.subnet)::inet, 32)
          AND p.address < set_masklen(broadcast(n.subnet)::inet, 32)
          AND NOT n.auxiliary @? format('$.* ? (@ == "%s")', host(p.address))::jsonpath
          AND NOT EXISTS (SELECT FROM endpoints e WHERE e.network_id = n.id AND e.address = p.address OFFSET 0)
        LIMIT 1
    ) probe ON true LEFT JOIN LATERAL (
        SELECT set_masklen(used.address + 1, 32) AS address
        FROM (
            SELECT e.address FROM endpoints e WHERE e.network_id = n.id
            UNION ALL SELECT n.gateway UNION ALL SELECT set_masklen(network(n.range)::inet, 32) - 1
            UNION ALL SELECT a.value::inet FROM jsonb_each_text(n.auxiliary) a
        ) used
        WHERE $4 IS NULL AND probe.address IS NULL AND used.address + 1 <> n.gateway
          AND set_masklen(used.address + 1, 32) <<= n.range
          AND used.address + 1 > set_masklen(network(n.subnet)::inet, 32)
          AND used.address + 1 < set_masklen(broadcast(n.subnet)::inet, 32)
          AND NOT n.auxiliary @? format('$.* ? (@ == "%s")', host(used.address + 1))::jsonpath
          AND NOT EXISTS (SELECT FROM endpoints e WHERE e.network_id = n.id AND e.address = used.address + 1)
        LIMIT 1
    ) gap ON true
), chosen6 AS MATERIALIZED (
    SELECT chosen.address, CASE WHEN $8 IS NOT NULL THEN $8::inet
        WHEN n.subnet6 IS NOT NULL AND chosen.address IS NOT NULL THEN address6_of(n.network, chosen.address)
        END AS address6
    FROM chosen, n
), judged AS MATERIALIZED (
    SELECT chosen.address, chosen.address6,
        $4 IS NOT NULL AND NOT (chosen.address << n.subnet AND chosen.address > set_masklen(network(n.subnet)::inet, 32)
            AND chosen.address < set_masklen(broadcast(n.subnet)::inet, 32)) AS outside,
        $4 IS NOT NULL AND (chosen.address = n.gateway OR EXISTS (
            SELECT FROM endpoints e WHERE e.network_id = n.id AND e.address = chosen.address)) AS taken,
        chosen.address IS NULL AS no_room,
        $8 IS NOT NULL AND NOT coalesce(chosen.address6 << n.subnet6
            AND chosen.address6 <> set_masklen(network(n.subnet6)::inet, 128), false) AS outside6,
        coalesce($8 IS NOT NULL AND (chosen.address6 = n.gateway6 OR EXISTS (
            SELECT FROM endpoints e WHERE e.network_id = n.id AND e.address6 = chosen.address6)), false) AS taken6,
        n.subnet6 IS NOT NULL AND chosen.address6 IS NULL AS no_room6
    FROM chosen6 AS chosen, n
), interface AS MATERIALIZED (
    SELECT 'eth' || min(i) AS name FROM generate_series(0, 255) i
    WHERE NOT EXISTS (
        SELECT FROM endpoints e WHERE e.tenant_id = $1 AND e.container_id = $3 AND e.interface = 'eth' || i)
), plugged AS (
    INSERT INTO endpoints (tenant_id, network_id, container_id, endpoint_id, interface, address, mac, aliases, address_given,
        address6)
    SELECT $1, n.id, c.id, $7, interface.name, judged.address, coalesce($5, mac_of(judged.address)), $6::text[], $4 IS NOT NULL,
        judged.address6
    FROM judged, n, c, interface WHERE NOT judged.outside AND NOT judged.taken AND NOT judged.no_room
        AND NOT judged.outside6 AND NOT judged.taken6 AND NOT judged.no_room6
    RETURNING *
), heard AS (
    UPDATE networks SET generation = networks.generation + 1 FROM plugged
    WHERE networks.tenant_id = $1 AND networks.id = $2
)
SELECT coalesce((SELECT outside FROM judged), false) AS outside,
    coalesce((SELECT outside6 FROM judged), false) AS outside6,
    coalesce((SELECT taken OR taken6 FROM judged), false) AS taken,
    coalesce((SELECT no_room FROM judged), false) AS "full",
    coalesce((SELECT no_room6 FROM judged), false) AS full6,
    (SELECT json_build_object(
        'network', n.id, 'network_name', n.name, 'vni', n.vni, 'subnet', n.subnet::text, 'gateway', host(n.gateway),
        'address', host(p.address), 'mac', p.mac, 'interface', p.interface,
        'mtu', coalesce(n.mtu, (c.facts->>'underlay_mtu')::int - 50),
        'internal', n.internal, 'aliases', p.aliases, 'endpoint_id', p.endpoint_id,
        'ipv6', endpoint_ipv6(n.network, p.address6))
     FROM plugged p, n, c) AS endpoint
